"""Scores audio files of any system with the paper's metrics and later ones.

  python -m eval.score inception --audio_dir A
  python -m eval.score all --audio_dir A --reference_dir sc09/ --classifier clf/

Prints a Markdown table with a row for each folder and 95% intervals in
brackets. In parentheses stands the ratio to the score of held-out real clips,
for the metrics that the paper reports so. Only the first second of each clip is
scored, at 16 kHz.
"""

import pathlib
import sys

if not __package__:  # started as a script: the package is one folder up
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from system import platforms

platforms.check("eval.score")

from system import atomic, console

console.import_tensorflow()

import argparse
import dataclasses
import json
import platform
from typing import Any

import tensorflow as tf

import loader
from eval import (
    classifier,
    clips,
    embedding,
    memorisation,
    metrics,
    report,
    scoring,
)

ALL = "all"


def find_heldout(reference_dir: pathlib.Path) -> pathlib.Path | None:
    """Returns test/ or valid/ next to the reference's train/, or None."""
    parent = reference_dir
    if reference_dir.name == "train":
        parent = reference_dir.parent
    elif not loader.is_split(reference_dir / "train"):
        return None
    splits = (parent / name for name in ("test", "valid"))
    return next((split for split in splits if loader.is_split(split)), None)


def make_job(arguments: argparse.Namespace) -> scoring.Job:
    """Finds the clips that the arguments of the command line name."""
    seed = arguments.seed

    def level(source: clips.Source) -> clips.Source:
        return clips.normalized(source) if arguments.normalize else source

    def read(folder: pathlib.Path, **options: Any) -> clips.Source:
        return level(clips.from_folder(folder, seed=seed, **options))

    folders = {
        "reference": arguments.reference_dir,
        "heldout": arguments.heldout_dir,
    }
    if arguments.reference_dir and not arguments.heldout_dir:
        folders["heldout"] = find_heldout(arguments.reference_dir)
    real = {
        kind: read(folder, name=f"{kind} {folder}")
        for kind, folder in folders.items()
        if folder
    }
    systems = [
        read(folder, limit=arguments.n) for folder in arguments.audio_dir
    ]
    if arguments.baselines:
        if "reference" not in real:
            raise ValueError(
                "--baselines compares with reference clips: give them by "
                "--reference_dir"
            )
        num_clips = max(source.num_clips for source in systems)
        systems += real.values()
        made = clips.baselines(real["reference"], num_clips, seed)
        systems += map(level, made)
    names = arguments.metrics
    if ALL in names:
        names = list(metrics.METRICS)
    embed = None
    if arguments.embedding:
        if "reference" not in real:
            raise ValueError(
                "--embedding compares with reference clips: give them by "
                "--reference_dir"
            )
        embed = embedding.load(arguments.embedding, real["reference"])
        if ALL in arguments.metrics:
            names = [n for n in names if metrics.METRICS[n].uses != "words"]
    job = scoring.Job(names, systems, real, arguments.k, seed, embed)
    if ALL in arguments.metrics:
        lacks = {name: job.lack(name) for name in names}
        if all(lacks.values()):
            # The metric noise asks for the least.
            raise ValueError(f"no metric can be computed: {lacks['noise']}")
        for lack in filter(None, lacks.values()):
            print(f"left out: {lack}", file=sys.stderr)
        names = [name for name in names if not lacks[name]]
    return dataclasses.replace(job, names=names)


def describe(
    job: scoring.Job,
    word_classifier: classifier.Classifier | None,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Returns the settings and versions that the scores depend on."""
    return {
        "classifier": word_classifier
        and {
            "name": word_classifier.name,
            "fingerprint": word_classifier.card["fingerprint"],
            "accuracy": word_classifier.card["accuracy"],
            "by_the_authors": word_classifier.by_the_authors,
            "dir": str(arguments.classifier),
        },
        "embedding": job.embed
        and {"name": job.embed.name, "fingerprint": job.embed.fingerprint},
        "splits": job.splits,
        "normalize": arguments.normalize,
        "seed": job.seed,
        "real": {
            kind: {"name": source.name, "num_clips": source.num_clips}
            for kind, source in job.real.items()
        },
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
        },
    }


def main(arguments: argparse.Namespace) -> None:
    """Scores the clips, prints the table and writes the reports."""
    job = make_job(arguments)
    word_classifier = None
    if job.uses_classifier:
        word_classifier = classifier.load(arguments.classifier)
    out_dir = arguments.out_dir
    if out_dir:
        out_dir.mkdir(parents=True, exist_ok=True)
    outcomes = scoring.run(job, word_classifier)
    settings = describe(job, word_classifier, arguments)
    line = json.dumps({**settings, "rows": report.rows(outcomes)})
    words = word_classifier.words if word_classifier else []
    table = report.markdown(job.names, outcomes, words)
    print(line if arguments.json else f"{table}\n\n{report.footnote(settings)}")
    if out_dir:
        atomic.write(out_dir / "scores.json", f"{line}\n".encode())
    if out_dir and "memorisation" in job.names:
        for i in range(len(arguments.audio_dir)):
            memorisation.write_report(
                out_dir / f"memorisation_{i + 1}",
                outcomes[i],
                job.real["reference"],
            )


def parser() -> console.Parser:
    """Builds the parser of the command line."""
    result = console.Parser("eval.score", __doc__)
    add = result.add_argument
    add(
        "metrics",
        nargs="+",
        choices=[*metrics.METRICS, ALL],
        metavar="METRIC",
        help=f"metrics to compute, of {', '.join(metrics.METRICS)}; {ALL} "
        "computes all that the given clips allow",
    )
    add(
        "--audio_dir",
        type=pathlib.Path,
        nargs="+",
        required=True,
        help="folders of audio to score",
    )
    add(
        "--reference_dir",
        type=pathlib.Path,
        help="folder of real audio that the generator was trained on; if it "
        "has a folder train/, only that one is used",
    )
    add(
        "--heldout_dir",
        type=pathlib.Path,
        help="folder of real audio that the generator was not trained on; "
        "test/ or valid/ next to the reference's train/ if left out",
    )
    add(
        "--classifier",
        type=pathlib.Path,
        default=classifier.SHIPPED,
        help="folder of a classifier from eval.train_classifier or "
        "eval.import_classifier; if left out, the one in "
        "pretrained/classifier, which knows the ten digits",
    )
    add(
        "--embedding",
        help="for sounds without words: the features that frechet, kernel, "
        f"prdc and ndb compare, {embedding.MEL} for principal components of "
        "log-mel spectrograms, or the folder of a SavedModel such as YAMNet; "
        "those of the classifier if left out",
    )
    add(
        "--n",
        type=console.positive,
        default=0,
        help="number of clips to score; all if left out",
    )
    add(
        "--k",
        type=console.positive,
        default=10,
        help="number of splits of the inception score (default: 10)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        help="seed of the order of clips and of all draws (default: 0)",
    )
    add(
        "--normalize",
        action="store_true",
        help="scale the peak of each clip to 1, of real clips too, as training "
        "with --data_normalize does",
    )
    add(
        "--baselines",
        action="store_true",
        help="add rows for real clips, white noise, silence, and copies of "
        "reference clips",
    )
    add("--json", action="store_true", help="print one line of JSON instead")
    add(
        "--out_dir",
        type=pathlib.Path,
        help="folder for scores.json and for the report of the metric "
        "memorisation",
    )
    return result


if __name__ == "__main__":
    console.run(parser(), main)
