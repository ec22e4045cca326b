r"""Which options learn fastest? Trains variants at equal compute, scores each.

  python benchmarks/efficiency.py --data_dir fsdd --classifier clf \
      --out efficiency.jsonl

Compute is processor time of the training steps alone, which a busy machine
does not stretch as it does the clock. Generators are scored at each mark, as
they are and averaged (EMA). Pairs of variant and seed that --out holds already
are left out, so a stopped study goes on, and several may work side by side on
shares of the variants. --report prints the table of what --out holds.
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import statistics
import sys
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from system import console

console.quiet_tensorflow()

import tensorflow as tf

import gan as gan_lib
import loader
import wavegan
from eval import classifier
from modes import incept, latents
from training import dataset, train_dir

SHAPE: dict[str, Any] = {"slice_len": 8192, "dim": 16, "fade_len": 256}
DATA: dict[str, Any] = {
    "sample_rate": 8000,
    "first_slice": True,
    "normalize": True,
}
BATCH_SIZE = 16
EMA_DECAY = 0.999
MARKS = (0.25, 0.5, 1.0)  # shares of the budget at which to score

# What differs from the paper, in the words of the flags' fields.
RATE = {"learning_rate": 5e-4}
R1 = {"loss": "r1", "critic_steps": 1, "penalty_weight": 0.1, **RATE}
R3GAN = {**R1, "loss": "r3gan"}
VARIANTS: dict[str, dict[str, Any]] = {
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
    "R3GAN, lazy": {**R3GAN, "penalty_interval": 4},
    "R3GAN, per example": {**R3GAN, "phaseshuffle_per_example": True},
    "R3GAN, bf16": {**R3GAN, "precision": "bf16"},
}


def build(variant: dict[str, Any], seed: int) -> gan_lib.GAN:
    """A compiled GAN of a variant."""
    fields = {field.name for field in dataclasses.fields(wavegan.WaveGANConfig)}
    model = wavegan.WaveGANConfig(
        **SHAPE, **{k: v for k, v in variant.items() if k in fields}
    )
    settings = train_dir.TrainConfig(
        ema_decay=EMA_DECAY,
        seed=seed,
        **{k: v for k, v in variant.items() if k not in fields},
    )
    gan = train_dir.build_gan(
        settings,
        lambda: (
            wavegan.build_generator(model),
            wavegan.build_discriminator(model),
        ),
        model.latent_dim,
    )
    train_dir.compile_gan(gan, settings)
    return gan


def train(
    name: str,
    seed: int,
    minutes: float,
    paths: list[str],
    scorer: incept.Scorer,
) -> dict[str, Any]:
    """Trains one variant; returns its row."""
    gan = build(VARIANTS[name], seed)
    batches = loader.make_dataset(
        paths,
        slice_len=SHAPE["slice_len"],
        batch_size=BATCH_SIZE,
        cache="memory",
        seed=seed,
        **DATA,
    ).batch(gan.critic_steps)
    step = tf.function(gan.train_step)
    step.get_concrete_function(batches.element_spec)  # traced off the clock
    spent, marks, rows = 0.0, [60 * minutes * mark for mark in MARKS], []
    for batch in batches:
        start = time.process_time()
        losses = step(batch)
        float(losses["g_loss"])
        spent += time.process_time() - start
        if spent < marks[0]:
            continue
        row = {"minutes": round(marks.pop(0) / 60, 3), "step": int(gan.step)}
        for kind, network in (
            ("raw", gan.generator),
            ("ema", gan.ema_generator),
        ):
            scores = scorer(functools.partial(network, training=False))
            row[f"is_{kind}"] = round(scores["mean"], 3)
            row[f"fid_{kind}"] = round(scores["fid"], 3)
        rows.append(row)
        print(name, seed, row, flush=True)
        if not marks:
            break
    return {"variant": name, "seed": seed, "scores": rows}


def report(rows: list[dict[str, Any]]) -> str:
    """A Markdown table: means over seeds, best last FID first."""
    lines = []
    for name, variant in VARIANTS.items():
        runs = [row["scores"] for row in rows if row["variant"] == name]
        if not runs:
            continue

        def mean(key: str, mark: int = -1, runs: list[Any] = runs) -> float:
            return statistics.mean(run[mark][key] for run in runs)

        fids = [mean("fid_ema", mark) for mark in range(len(MARKS))]
        last = [run[-1]["fid_ema"] for run in runs]
        what = ", ".join(f"{k} {v}" for k, v in variant.items()) or "defaults"
        cells = [name, what, str(len(runs))]
        cells += [f"{fid:.0f}" for fid in fids]
        cells += [f"{min(last):.0f} to {max(last):.0f}"]
        cells += [f"{mean(key):.2f}" for key in ("is_ema", "is_raw")]
        cells += [f"{mean('fid_raw'):.0f}", f"{mean('step'):,.0f}"]
        lines.append((fids[-1], "| " + " | ".join(cells) + " |"))
    marks = " | ".join(f"FID at {mark:.0%}" for mark in MARKS)
    head = f"| variant | differs in | seeds | {marks} | range | IS | "
    head += "IS, no EMA | FID, no EMA | updates of G |"
    rule = "|---|---" + "|--:" * 9 + "|"
    return "\n".join([head, rule, *(line for _, line in sorted(lines))])


def main() -> None:
    """Trains what is not there yet, then prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data_dir", help="folder of spoken digits")
    parser.add_argument("--classifier", help="of eval.train_classifier")
    parser.add_argument("--out", required=True, help="rows, JSON lines")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--n", type=int, default=1000, help="clips to score")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--report", action="store_true", help="table alone")
    args = parser.parse_args()
    out = pathlib.Path(args.out)

    def rows() -> list[dict[str, Any]]:
        lines = out.read_text().splitlines() if out.exists() else []
        return [json.loads(line) for line in lines]

    if not args.report:
        paths = loader.find_audio(args.data_dir)
        scorer = incept.Scorer(
            classifier.load(pathlib.Path(args.classifier)),
            latents.sample_z(
                args.n, wavegan.WaveGANConfig().latent_dim, seed=0
            ),
            DATA["sample_rate"],
            dataset.real_clips(
                {"data": {"dir": args.data_dir, **DATA}, "model": SHAPE},
                incept.MAX_REAL_CLIPS,
            ),
            splits=1,
        )
        for seed in args.seeds:
            for name in args.variants:
                done = {(row["variant"], row["seed"]) for row in rows()}
                if (name, seed) in done:
                    continue
                row = train(name, seed, args.minutes, paths, scorer)
                with out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    print(report(rows()))


if __name__ == "__main__":
    main()
