"""Draws scores and losses of a run over updates and hours: the mode plot."""

import json
import pathlib
from typing import Any

import matplotlib.axes
import matplotlib.figure
import numpy as np

from system import atomic
from training import train_dir

# Names of losses in `metrics.jsonl`; others are shown by their names there.
LOSSES = {
    "d_loss": "loss of the discriminator",
    "g_loss": "loss of the generator",
}
NO_LOSSES = ("step", "seconds", "clips_per_sec", "data_wait")
# Scores that are drawn, by their names in `incept/scores.jsonl`.
SCORES = {
    "mean": "inception score",
    "fid": "Fréchet distance",
    "accuracy": "share heard as asked",
}
NAME = "curves.png"


def plot(directory: train_dir.TrainDir) -> None:
    """Draws the scores and losses of a run, and writes `curves.png`.

    Losses are those of `metrics.jsonl`, also smoothed; scores are those of
    `incept`, if it has scored the run. Hours are hours of training, without
    pauses.

    Args:
      directory: A train dir; it may be training.

    Raises:
      FileNotFoundError: The run has no metrics yet.
      ValueError: A file of metrics or scores is damaged.
    """
    metrics = _read(directory.metrics)
    if not metrics:
        raise FileNotFoundError(
            f"{directory.metrics} holds no metrics: train first"
        )
    scores = _read(directory.path / "incept/scores.jsonl")
    losses = {
        key: LOSSES.get(key, key.replace("_", " "))
        for key in metrics[0]
        if key not in NO_LOSSES
    }
    panels = [
        (key, label, [row for row in rows if key in row])
        for rows, labels in ((scores, SCORES), (metrics, losses))
        for key, label in labels.items()
    ]
    panels = [panel for panel in panels if panel[2]]
    figure = matplotlib.figure.Figure(
        figsize=(9, 0.6 + 2.1 * len(panels)), layout="constrained"
    )
    axes = figure.subplots(len(panels), 2, sharex="col", squeeze=False)
    steps, seconds = np.array(
        [(row["step"], row["seconds"]) for row in metrics], float
    ).T
    for (key, label, rows), pair in zip(panels, axes, strict=True):
        x = np.array([row["step"] for row in rows], float)
        hours = np.interp(x, steps, seconds) / 3600
        y = np.array([row[key] for row in rows], float)
        pair[0].set_ylabel(label)
        for axis, place in zip(pair, (x, hours), strict=True):
            _draw(axis, place, y, smoothed=key in losses)
            if key == "fid":
                axis.set_yscale("log")
                axis.yaxis.set_major_formatter("{x:g}")
                axis.yaxis.set_minor_formatter("{x:g}")
    axes[-1, 0].set_xlabel("training steps")
    axes[-1, 1].set_xlabel("hours of training")
    path = directory.path / NAME
    with atomic.file(path) as draft:
        figure.savefig(draft, format="png", dpi=100)
    print(path)


def _read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the rows of a file of JSON lines by step; none if it is missing.

    Raises:
      ValueError: The file is damaged.
    """
    if not path.exists():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return sorted(rows, key=lambda row: row["step"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): remove the damaged line"
        ) from None


def _draw(
    axis: matplotlib.axes.Axes, x: np.ndarray, y: np.ndarray, smoothed: bool
) -> None:
    """Draws one curve: its points, or a smooth line above a faint one."""
    if smoothed:
        axis.plot(x, y, linewidth=0.3, alpha=0.3, color="0.5")
        axis.plot(x, _smooth(y, len(y) // 50 + 1))
    else:
        axis.plot(x, y, ".-", markersize=4)
    axis.grid(alpha=0.3)


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Smooths values by the mean of each value and its neighbours."""
    weights = np.ones(window)
    counts = np.convolve(np.ones(len(values)), weights, "same")
    return np.convolve(values, weights, "same") / counts
