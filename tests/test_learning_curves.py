"""Tests the plot of learning curves."""

import json
import pathlib
import subprocess
import sys

import matplotlib.image
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "learning_curves.py"


def run(*args: object) -> subprocess.CompletedProcess[str]:
    """The script, to its end."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write(path: pathlib.Path, scores: list[float]) -> None:
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
        (path / name).write_text("\n".join(map(json.dumps, lines)) + "\n")


def test_other_scores_give_another_picture(tmp_path: pathlib.Path) -> None:
    pictures = []
    for name, scores in (
        ("a", [1.0, 2.0, 3.0]),
        ("b", [1.0, 2.0, 1.5]),
        ("c", [1.0, 2.0, 1.5]),
    ):
        write(tmp_path / name, scores)
        done = run(tmp_path / name, "--out", tmp_path / f"{name}.png")
        assert done.returncode == 0, done.stderr
        picture = matplotlib.image.imread(tmp_path / f"{name}.png")
        assert picture.shape[:2] == (900, 900)
        pictures.append(picture)
    assert np.any(pictures[0] != pictures[1])
    np.testing.assert_array_equal(pictures[1], pictures[2])
    done = run(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "both.png")
    assert done.returncode == 0, done.stderr


def test_what_is_missing_or_damaged_is_named(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, "--out", tmp_path / "a.png")
    assert done.returncode == 1
    assert "metrics.jsonl" in done.stderr and len(done.stderr.split("\n")) == 2
    (tmp_path / "metrics.jsonl").write_text("{")
    done = run(tmp_path, "--out", tmp_path / "a.png")
    assert done.returncode == 1 and "metrics.jsonl" in done.stderr
