"""Scores audio files, of any system, by the paper's measures and later ones.

  python -m eval.score inception --audio_dir A --classifier clf/
  python -m eval.score all --audio_dir A --reference_dir sc09/ --classifier clf/

Prints a Markdown table: a row for each folder, 95% intervals in brackets, and
in parentheses what the paper divides by its value for held-out real clips.
Clips are judged by their first second, at 16 kHz.
"""

import pathlib
import sys

if not __package__:  # started as a script: the package is one folder up
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from system import console

console.quiet_tensorflow()

import argparse
import dataclasses
import json
import platform
from typing import Any

import tensorflow as tf

from eval import classifier, clips, memorisation, metrics, report, scoring

ALL = "all"


def find_heldout(reference_dir: pathlib.Path) -> pathlib.Path | None:
    """test/ or valid/ beside the train/ that is the reference, or None."""
    parent = reference_dir
    if reference_dir.name == "train":
        parent = reference_dir.parent
    elif not (reference_dir / "train").is_dir():
        return None
    splits = (parent / name for name in ("test", "valid"))
    return next((split for split in splits if split.is_dir()), None)


def make_job(arguments: argparse.Namespace) -> scoring.Job:
    """Finds the clips that a command line asks for."""
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
    job = scoring.Job(names, systems, real, arguments.k, seed)
    if ALL in arguments.metrics:
        lacks = {name: job.lack(name) for name in names}
        for lack in filter(None, lacks.values()):
            print(f"left out: {lack}", file=sys.stderr)
        names = [name for name in names if not lacks[name]]
    return dataclasses.replace(job, names=names)


def describe(
    job: scoring.Job, judge: classifier.Judge, arguments: argparse.Namespace
) -> dict[str, Any]:
    """What the scores were made with: they mean nothing without it."""
    return {
        "classifier": {
            "name": judge.name,
            "fingerprint": judge.card["fingerprint"],
            "accuracy": judge.card["accuracy"],
            "dir": str(arguments.classifier),
        },
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
    """Scores and tells."""
    judge = classifier.load(arguments.classifier)
    job = make_job(arguments)
    out_dir = arguments.out_dir
    if out_dir:
        out_dir.mkdir(parents=True, exist_ok=True)
    outcomes = scoring.run(job, judge)
    settings = describe(job, judge, arguments)
    line = json.dumps({**settings, "rows": report.rows(outcomes)})
    table = report.markdown(job.names, outcomes, judge.words)
    print(line if arguments.json else f"{table}\n\n{report.footnote(settings)}")
    if out_dir:
        (out_dir / "scores.json").write_text(line + "\n")
    if out_dir and "memorisation" in job.names:
        for i in range(len(arguments.audio_dir)):
            memorisation.write_report(
                out_dir / f"memorisation_{i + 1}",
                outcomes[i],
                job.real["reference"],
            )


def parser() -> console.Parser:
    """What the command line may say."""
    result = console.Parser("eval.score", __doc__)
    add = result.add_argument
    add(
        "metrics",
        nargs="+",
        choices=[*metrics.METRICS, ALL],
        metavar="METRIC",
        help=f"of {', '.join(metrics.METRICS)}; or {ALL} that the clips allow",
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
        help="real audio that the generator learnt from; if it has a folder "
        "train/, that one",
    )
    add(
        "--heldout_dir",
        type=pathlib.Path,
        help="other real audio; test/ or valid/ beside the reference's train/ "
        "if left out",
    )
    add(
        "--classifier",
        type=pathlib.Path,
        required=True,
        help="folder that eval.train_classifier made",
    )
    add("--n", type=console.positive, default=0, help="clips to score; all")
    add("--k", type=console.positive, default=10, help="splits of inception")
    add("--seed", type=int, default=0, help="of order and draws")
    add(
        "--normalize",
        action="store_true",
        help="bring the peak of each clip to 1, as training with "
        "--data_normalize does, real clips too",
    )
    add(
        "--baselines",
        action="store_true",
        help="more rows: real clips, white noise, silence, copies",
    )
    add("--json", action="store_true", help="print one line of JSON instead")
    add(
        "--out_dir",
        type=pathlib.Path,
        help="write scores.json, and what memorisation found, here",
    )
    return result


if __name__ == "__main__":
    console.run(parser(), main)
