"""Prints the paper's table 1 with our rows below the published ones.

  python -m eval.table DIR...

Each DIR holds a scores.json that `eval.score --out_dir DIR` wrote, with the
metrics `inception`, `similarity` and `noise`, or some of them.
"""

import pathlib
import sys

if not __package__:  # started as a script: the package is one folder up
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from system import platforms

platforms.check("eval.table")

import argparse
import json
from typing import Any

from system import console

# Columns: inception score and its standard deviation over 10 splits, |D|self,
# |D|train and noise; the last three are divided by those of the test set.
PUBLISHED = (
    ("Real (train)", 9.18, 0.04, 1.1, 0.0, 1.0),
    ("Real (test)", 8.01, 0.24, 1.0, 1.0, 1.0),
    ("Parametric", 5.02, 0.06, 0.7, 1.1, 0.2),
    ("WaveGAN", 4.12, 0.03, 1.4, 2.0, 1.2),
    ("+ Phase shuffle n = 2", 4.67, 0.01, 0.8, 2.3, 1.8),
    ("+ Phase shuffle n = 4", 4.54, 0.03, 1.0, 2.3, 1.5),
    ("+ Nearest neighbour", 3.77, 0.02, 1.8, 2.6, 1.4),
    ("+ Linear interpolation", 2.88, 0.02, 1.7, 2.7, 1.2),
    ("+ Cubic interpolation", 2.60, 0.01, 1.3, 3.6, 1.1),
    ("+ Post-processing", 3.92, 0.03, 1.4, 2.9, 1.0),
    ("+ DCGAN loss, batch normalisation", 2.01, 0.01, 0.9, 4.3, 0.0),
    ("+ Dropout", 3.93, 0.03, 1.0, 2.6, 1.6),
    ("SpecGAN", 6.03, 0.04, 1.1, 1.4, 1.5),
    ("SpecGAN + Phase shuffle n = 1", 3.71, 0.03, 0.8, 1.6, 3.1),
)
AUTHORS = "by_the_authors"  # key of scores.json
COLUMNS = ("inception", "self_distance", "train_distance", "noise")


def read(folder: pathlib.Path) -> dict[str, Any]:
    """Reads a scores.json that eval.score wrote.

    Raises:
      FileNotFoundError: The folder holds no scores.json.
      ValueError: The file is damaged.
    """
    path = folder / "scores.json"
    try:
        scores = json.loads(path.read_text())
        if not scores["rows"]:
            raise ValueError("no rows")
        if scores["classifier"] is not None:
            dict(scores["classifier"])["name"]
        dict(scores["real"])
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder} holds no scores.json: make one with `python -m "
            f"eval.score inception similarity noise ... --out_dir {folder}`"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): score anew with eval.score"
        ) from None
    return scores


def row_of(row: dict[str, Any], classifier: str) -> list[str]:
    """Formats one of our rows, with the ratios to held-out clips.

    Args:
      row: Row of scores.json.
      classifier: Name of the classifier that the scores were computed with;
        "" if they depend on none.
    """
    cells = []
    for key in COLUMNS:
        score = row["scores"].get(key)
        if score is None:
            cells.append("")
        elif key == "inception":
            cells.append(f"{score['value']:.2f} ± {score['std']:.2f}")
        elif "relative" in score:
            cells.append(f"{score['relative']:.1f}")
        else:
            cells.append("no held-out clips")
    return [row["name"], *cells, f"{row['num_clips']:,}", classifier]


def main(arguments: argparse.Namespace) -> None:
    """Prints the table and its notes."""
    results = [read(folder) for folder in arguments.dirs]
    lines = [
        ["", "inception score ↑", r"\|D\|self", r"\|D\|train", "noise"],
        ["---"] * 7,
    ]
    lines[0] += ["clips", "classifier"]
    for name, score, std, *relative in PUBLISHED:
        cells = [f"{score:.2f} ± {std:.2f}", *(f"{x:.1f}" for x in relative)]
        clips = "" if name.startswith("Real") else "50,000"
        lines.append([f"*{name}*", *cells, clips, "the authors', 93% on test"])
    for result in results:
        classifier = (result["classifier"] or {"name": ""})["name"]
        if _by_the_authors(result):
            classifier = f"the authors', {classifier}"
        lines += [row_of(row, classifier) for row in result["rows"]]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    print(f"\n{notes(results)}")


def _by_the_authors(result: dict[str, Any]) -> bool:
    """Returns whether the authors' own classifier computed the scores."""
    return bool(result["classifier"] and result["classifier"].get(AUTHORS))


def notes(results: list[dict[str, Any]]) -> str:
    """Explains which rows can be compared with one another."""
    classifiers = {
        result["classifier"]["fingerprint"]
        for result in results
        if result["classifier"]
    }
    lines = ["*Published* rows are of SC09, arXiv:1802.04208v1, table 1."]
    if any(r["classifier"] and not _by_the_authors(r) for r in results):
        lines.append(
            "Inception scores by another classifier cannot be compared with "
            "theirs: `python -m eval.import_classifier` imports the authors'."
        )
    if len(classifiers) > 1:
        lines.append(
            f"{len(classifiers)} classifiers scored the other rows: only "
            "inception scores by the same classifier can be compared."
        )
    if len({json.dumps(result["real"]) for result in results}) > 1:
        lines.append(
            "Rows were scored against different real clips: distances and "
            "noise can be compared only where these are the same."
        )
    return "\n".join(lines)


def parser() -> console.Parser:
    """Builds the parser of the command line."""
    result = console.Parser("eval.table", __doc__)
    result.add_argument(
        "dirs",
        type=pathlib.Path,
        nargs="+",
        metavar="DIR",
        help="folder with a scores.json",
    )
    return result


if __name__ == "__main__":
    console.run(parser(), main)
