r"""Compares how fast variants learn, by their scores at equal compute.

  python benchmarks/efficiency.py --data_dir fsdd --classifier clf \
      --out efficiency.jsonl

Compute is the processor time of the training steps only, which other load on
the machine does not lengthen as it does wall-clock time. Generators are scored
at each mark, with their own weights and with averaged ones (EMA). Pairs of
variant and seed that --out holds already are skipped, so that an interrupted
study can be resumed, and several processes can share the variants. --report
prints the table of the results in --out, with the probability that each variant
differs from the first of its study by chance (Welch's t-test over the seeds).

There are two studies: one searches for variants that learn faster than the
paper's settings, the other for variants that learn faster than the best of the
first.
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from system import console

console.import_tensorflow()

import keras
import numpy as np
import scipy.stats
import tensorflow as tf

import gan as gan_lib
import loader
import wavegan
from eval import classifier
from eval import labels as labels_lib
from modes import incept, latents
from networks import audio_model
from training import config as config_lib
from training import dataset
from training import gan_model as model_lib

SHAPE: dict[str, Any] = {"slice_len": 8192, "dim": 16, "fade_len": 256}
DATA: dict[str, Any] = {
    "sample_rate": 8000,
    "first_slice": True,
    "normalize": True,
}
EMA_DECAY = 0.999
MARKS = (0.25, 0.5, 1.0)  # shares of the budget at which to score

# Settings of each variant that differ from the paper's, by fields' names. There
# are two for the data: with `labels`, both networks get the words as labels;
# `synthetic` is the share of the budget for training on synthesised digits
# first.
RATE = {"learning_rate": 5e-4}
R1 = {"loss": "r1", "critic_steps": 1, "penalty_weight": 0.1, **RATE}
R3GAN = {**R1, "loss": "r3gan"}
LAZY = {**R3GAN, "penalty_interval": 4}
LIGHT = {"augment": "polarity,gain"}
FULL = {"augment": "polarity,gain,filter,shift"}
LABELS = {"labels": True}
SPECTRAL = {"spectral_critics": 1}
BOTH = {**LAZY, **LABELS, **SPECTRAL}
STUDIES: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "paper": {},
        "rate": RATE,
        "two rates": {"learning_rate": 2e-4, "disc_learning_rate": 5e-4},
        "lazy": {**RATE, "penalty_interval": 5},
        "one update": {**RATE, "critic_steps": 1},
        "per example": {**RATE, "phaseshuffle_per_example": True},
        "bf16": {**RATE, "precision": "bf16"},
        "R1": R1,
        "R3GAN": R3GAN,
        "R3GAN, rate 2e-4": {**R3GAN, "learning_rate": 2e-4},
        "R3GAN, rate 1e-3": {**R3GAN, "learning_rate": 1e-3},
        "R3GAN, weight .01": {**R3GAN, "penalty_weight": 0.01},
        "R3GAN, weight 1": {**R3GAN, "penalty_weight": 1.0},
        "R3GAN, lazy": LAZY,
        "R3GAN, per example": {**R3GAN, "phaseshuffle_per_example": True},
        "R3GAN, bf16": {**R3GAN, "precision": "bf16"},
    },
    "fast": {
        "fast": LAZY,
        "labels": {**LAZY, **LABELS},
        "spectral critic": {**LAZY, **SPECTRAL},
        "augmentation": {**LAZY, **FULL},
        "labels, spectral": BOTH,
        "labels, spectral, light augmentation": {**BOTH, **LIGHT},
        "labels, spectral, augmentation": {**BOTH, **FULL},
        "labels, two spectral": {**BOTH, "spectral_critics": 2},
        "labels, three spectral": {**BOTH, "spectral_critics": 3},
        "labels, spectral, penalty 1": {**BOTH, "penalty_weight": 1.0},
        "labels, spectral, dim 24": {**BOTH, "dim": 24},
        "labels, spectral, dim 32": {**BOTH, "dim": 32},
        "labels, spectral, batch 32": {**BOTH, "batch_size": 32},
        "labels, spectral, batch 64": {**BOTH, "batch_size": 64},
        "labels, spectral, synthetic first": {**BOTH, "synthetic": 0.5},
    },
}


def build(variant: dict[str, Any], seed: int, num_words: int) -> gan_lib.GAN:
    """Builds and compiles the GAN of a variant."""
    fields = {field.name for field in dataclasses.fields(wavegan.WaveGANConfig)}
    shape = SHAPE | {k: v for k, v in variant.items() if k in fields}
    if variant.get("labels"):
        shape["num_labels"] = num_words
    model = wavegan.WaveGANConfig(**shape)
    train = {field.name for field in dataclasses.fields(config_lib.TrainConfig)}
    settings = config_lib.TrainConfig(
        ema_decay=EMA_DECAY,
        seed=seed,
        **{k: v for k, v in variant.items() if k in train},
    )
    gan = model_lib.build_gan(
        settings,
        lambda: (
            wavegan.build_generator(model),
            wavegan.build_discriminator(model),
        ),
        model.latent_dim,
    )
    model_lib.compile_gan(gan, settings)
    return gan


def stream(
    folder: str, variant: dict[str, Any], seed: int, words: Sequence[str]
) -> tf.data.Dataset:
    """Streams the clips of a folder, labelled if the variant is."""
    paths = loader.find_audio(folder)
    labels = None
    if variant.get("labels"):
        root = loader.audio_root(folder)
        labels = [words.index(labels_lib.word_of(p, root)) for p in paths]
    return loader.make_dataset(
        paths,
        slice_len=SHAPE["slice_len"],
        batch_size=variant.get("batch_size", 16),
        cache="memory",
        seed=seed,
        labels=labels,
        **DATA,
    ).batch(variant.get("critic_steps", 5))


def train(
    variant: dict[str, Any],
    seed: int,
    minutes: float,
    folders: dict[str, str],
    word_classifier: classifier.Classifier,
    scorer: incept.Scorer,
) -> list[dict[str, Any]]:
    """Trains one variant and returns its scores at each mark.

    Args:
      variant: Settings from `STUDIES`.
      seed: Seed of the run.
      minutes: Budget of processor time in minutes.
      folders: Folders of audio: "real", and "synthetic" if the variant needs
        it.
      word_classifier: Classifier whose words are the labels.
      scorer: Scorer of generators.
    """
    gan = build(variant, seed, len(word_classifier.words))
    batches = stream(folders["real"], variant, seed, word_classifier.words)
    step = tf.function(gan.train_step)
    step.get_concrete_function(batches.element_spec)  # not timed
    budget = 60 * minutes
    spent, marks, rows = 0.0, [budget * mark for mark in MARKS], []
    phases = [(budget, batches)]
    if share := variant.get("synthetic"):
        first = stream(
            folders["synthetic"], variant, seed, word_classifier.words
        )
        phases.insert(0, (budget * share, first))
    for end, stretch in phases:
        for batch in stretch:
            start = time.process_time()
            losses = step(batch)
            float(losses["g_loss"])
            spent += time.process_time() - start
            if marks and spent >= marks[0]:
                row = {
                    "minutes": round(marks.pop(0) / 60, 3),
                    "step": int(gan.step),
                }
                for kind, network in (
                    ("raw", gan.generator),
                    ("ema", gan.ema_generator),
                ):
                    generate = functools.partial(_generate, network)
                    row |= {
                        f"{name}_{kind}": round(value, 3)
                        for name, value in scorer(generate).items()
                        if "accuracy" not in name
                        or (name == "accuracy" and gan.num_labels)
                    }
                rows.append(row)
                print(seed, row, flush=True)
            if spent >= end:
                break
    return rows


def _generate(
    network: keras.Model, z: np.ndarray, label: np.ndarray | None = None
) -> tf.Tensor:
    """Generates audio, with labels if the network takes labels."""
    if len(network.inputs) == 1:
        label = None
    return network(audio_model.with_label(z, label), training=False)


COLUMNS = {  # key of the scores at the end: heading, digits
    "mean_ema": ("IS", 2),
    "fid_ema": ("FID", 1),
    "precision_ema": ("precision", 2),
    "recall_ema": ("recall", 2),
    "accuracy_ema": ("heard as asked", 2),
    "mean_raw": ("IS, no EMA", 2),
    "step": ("updates", 0),
}


def report(rows: list[dict[str, Any]], study: str) -> str:
    """Makes a Markdown table of a study: means and ranges over seeds.

    The best inception score comes first. The p next to it is that of Welch's
    t-test against the first variant.
    """
    runs = {
        name: [row["scores"] for row in rows if row["variant"] == name]
        for name in STUDIES[study]
    }
    base = [run[-1]["mean_ema"] for run in runs[next(iter(runs))]]
    lines = []
    for name, scores in runs.items():
        if not scores:
            continue
        last = [run[-1]["mean_ema"] for run in scores]
        cells = [name, str(len(scores))]
        for key, (_, digits) in COLUMNS.items():
            values = [run[-1][key] for run in scores if key in run[-1]]
            cells.append(_range(values, digits))
        chance = "—"
        if min(len(last), len(base)) > 1 and last != base:
            test = scipy.stats.ttest_ind(last, base, equal_var=False)
            chance = f"{test.pvalue:.3f}"
        cells.insert(3, chance)
        lines.append((-statistics.mean(last), "| " + " | ".join(cells) + " |"))
    heads = [head for head, _ in COLUMNS.values()]
    heads.insert(1, "p")
    head = "| variant | seeds | " + " | ".join(heads) + " |"
    rule = "|---|--:" + "|--:" * len(heads) + "|"
    return "\n".join([head, rule, *(line for _, line in sorted(lines))])


def _range(values: list[float], digits: int) -> str:
    """Formats the mean of values with their minimum and maximum."""
    if not values:
        return "—"
    text = f"{statistics.mean(values):,.{digits}f}"
    if len(values) == 1 or not digits:
        return text
    return f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    """Trains the variants without results, then prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data_dir", help="folder of spoken digits")
    parser.add_argument("--classifier", help="folder of a classifier")
    parser.add_argument("--out", required=True, help="results, JSON")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--n", type=int, default=1000, help="clips to score")
    parser.add_argument("--study", choices=STUDIES, default="fast")
    parser.add_argument("--variants", nargs="+", help="all if left out")
    parser.add_argument("--synthetic_dir", help="from `sc09.py`")
    parser.add_argument("--report", action="store_true", help="only print")
    args = parser.parse_args()
    out = pathlib.Path(args.out)

    def rows() -> list[dict[str, Any]]:
        lines = out.read_text().splitlines() if out.exists() else []
        return [json.loads(line) for line in lines]

    study = STUDIES[args.study]
    if not args.report:
        word_classifier = classifier.load(pathlib.Path(args.classifier))
        scorer = incept.Scorer(
            word_classifier,
            latents.sample_z(
                args.n, wavegan.WaveGANConfig().latent_dim, seed=0
            ),
            DATA["sample_rate"],
            dataset.real_clips(
                config_lib.RunConfig(
                    wavegan.WaveGANConfig(**SHAPE),
                    config_lib.DataConfig(dir=args.data_dir, **DATA),
                ),
                incept.MAX_REAL_CLIPS,
            ),
            words=word_classifier.words,
        )
        folders = {"real": args.data_dir, "synthetic": args.synthetic_dir}
        for seed in args.seeds:
            for name in args.variants or study:
                done = {(row["variant"], row["seed"]) for row in rows()}
                if (name, seed) in done:
                    continue
                print(name, flush=True)
                scores = train(
                    study[name],
                    seed,
                    args.minutes,
                    folders,
                    word_classifier,
                    scorer,
                )
                row = {"variant": name, "seed": seed, "scores": scores}
                with out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    print(report(rows(), args.study))


if __name__ == "__main__":
    main()
