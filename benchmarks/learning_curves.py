"""Plots scores and losses of training runs over updates and over hours.

  python benchmarks/learning_curves.py TRAIN_DIR --out curves.png

Losses are from `metrics.jsonl`, scores from `incept/scores.jsonl`. Hours are
hours of training, without pauses. Several train dirs are plotted into the same
figure.
"""

import argparse
import json
import pathlib
from typing import Any

import matplotlib.axes
import matplotlib.figure
import numpy as np

PANELS = {
    "mean": "inception score",
    "fid": "Fréchet distance",
    "d_loss": "loss of the critic",
    "g_loss": "loss of the generator",
}


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the rows of a file of JSON lines.

    Raises:
      SystemExit: The file does not exist, or is damaged.
    """
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise SystemExit(f"learning_curves.py: {path}: {error}") from None
    return sorted(rows, key=lambda row: row["step"])


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Smooths values by the mean of each value and its neighbours."""
    weights = np.ones(window)
    counts = np.convolve(np.ones(len(values)), weights, "same")
    return np.convolve(values, weights, "same") / counts


def draw(
    axes: np.ndarray, name: str, metrics: list[dict], scores: list[dict]
) -> None:
    """Plots one run into the axes, `[len(PANELS), 2]`."""
    steps, seconds = np.array(
        [(row["step"], row["seconds"]) for row in metrics], float
    ).T
    for (key, label), pair in zip(PANELS.items(), axes, strict=True):
        many = key.endswith("loss")
        rows = [row for row in (metrics if many else scores) if key in row]
        x = np.array([row["step"] for row in rows], float)
        y = np.array([row[key] for row in rows], float)
        hours = np.interp(x, steps, seconds) / 3600
        pair[0].set_ylabel(label)
        for axis, place in zip(pair, (x, hours), strict=True):
            if many:
                axis.plot(place, y, linewidth=0.3, alpha=0.3, color="0.5")
                axis.plot(place, smooth(y, len(y) // 50 + 1), label=name)
            else:
                axis.plot(place, y, ".-", markersize=4, label=name)
            axis.grid(alpha=0.3)
            if key == "fid":
                axis.set_yscale("log")


def main() -> None:
    """Writes the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "train_dirs", type=pathlib.Path, nargs="+", metavar="TRAIN_DIR"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, help="figure"
    )
    args = parser.parse_args()
    figure = matplotlib.figure.Figure(figsize=(9, 9), layout="constrained")
    axes = figure.subplots(len(PANELS), 2, sharex="col", squeeze=False)
    for path in args.train_dirs:
        draw(
            axes,
            path.resolve().name,
            read(path / "metrics.jsonl"),
            read(path / "incept/scores.jsonl"),
        )
    axes[-1, 0].set_xlabel("updates of the generator")
    axes[-1, 1].set_xlabel("hours of training")
    if len(args.train_dirs) > 1:
        axes[0, 0].legend()
    figure.savefig(args.out, dpi=100)
    print(args.out)


if __name__ == "__main__":
    main()
