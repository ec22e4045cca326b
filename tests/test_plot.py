"""Tests the picture of a run's scores and losses."""

import json
import pathlib

import command_runner
import matplotlib.image
import numpy as np
import pytest

from modes import plot
from training import train_dir


def write(path: pathlib.Path, scores: list[float]) -> train_dir.TrainDir:
    """A train dir of a hundred reports and some scores."""
    (path / "incept").mkdir(parents=True)
    metrics = [
        {"step": i, "seconds": 9.0 * i, "d_loss": -1.0, "g_loss": 0.1 * i}
        for i in range(1, 101)
    ]
    rows = [
        {"step": 40 * i + 1, "mean": score, "std": 0.1, "fid": 20 / score}
        for i, score in enumerate(scores)
    ]
    for name, lines in (
        ("metrics.jsonl", metrics),
        ("incept/scores.jsonl", rows),
    ):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (path / name).write_text(text)
    return train_dir.TrainDir(path)


def test_other_scores_give_another_picture(tmp_path: pathlib.Path) -> None:
    pictures = []
    for name, scores in (
        ("a", [1.0, 2.0, 3.0]),
        ("b", [1.0, 2.0, 1.5]),
        ("c", [1.0, 2.0, 1.5]),
    ):
        plot.plot(write(tmp_path / name, scores))
        picture = matplotlib.image.imread(tmp_path / name / plot.NAME)
        assert picture.shape[:2] == (900, 900)
        pictures.append(picture)
    assert np.any(pictures[0] != pictures[1])
    np.testing.assert_array_equal(pictures[1], pictures[2])


def test_a_run_without_scores_has_losses_alone(tmp_path: pathlib.Path) -> None:
    plot.plot(write(tmp_path / "t", []))
    picture = matplotlib.image.imread(tmp_path / "t" / plot.NAME)
    assert picture.shape[:2] == (480, 900)


def test_the_command_names_the_picture(tmp_path: pathlib.Path) -> None:
    directory = write(tmp_path / "t", [1.0, 2.0])
    done = command_runner.run("plot", directory.path)
    assert done.stdout == f"{directory.path / plot.NAME}\n", done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ("metrics.jsonl", "train first")),
        ("{\n", ("metrics.jsonl", "damaged")),
        ("[1]\n", ("metrics.jsonl", "damaged")),
    ],
)
def test_missing_or_damaged_metrics_are_named(
    tmp_path: pathlib.Path, text: str | None, words: tuple[str, ...]
) -> None:
    if text:
        (tmp_path / "metrics.jsonl").write_text(text)
    done = command_runner.run("plot", tmp_path)
    command_runner.assert_one_line(done, *words)
