"""Tests the kill benchmark: a short run, and that it notices differences."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import chaos


def write_run(path: pathlib.Path, noise: float = 0.0) -> chaos.Run:
    """What a training of twenty steps may leave."""
    run = chaos.Run(path, path)
    weights = np.linspace(-1, 1, 1000).astype(np.float32)
    weights[500] += noise
    tf.train.Checkpoint(
        weights=tf.Variable(weights), step=tf.Variable(20)
    ).write(str(run.checkpoints / "ckpt-20"))
    write_metrics(run, [10, 20])
    return run


def write_metrics(run: chaos.Run, steps: list[int], by: float = 0.0) -> None:
    """A metrics.jsonl of these steps, the last one's loss off by so much."""
    rows = [
        {"step": step, "d_loss": -1 / step, "g_loss": 0.1, "seconds": id(run)}
        for step in steps
    ]
    rows[-1]["d_loss"] += by
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (run.path / "metrics.jsonl").write_text(text)


def test_runs_that_took_other_times_are_the_same(
    tmp_path: pathlib.Path,
) -> None:
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    assert chaos.content(a)["newest checkpoint"] == 20
    assert chaos.differences(a, b) == []


def test_one_bit_of_one_weight_is_seen(tmp_path: pathlib.Path) -> None:
    bit = float(np.spacing(np.float32(1 / 999)))
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", bit)
    (name,) = chaos.differences(a, b)
    assert name.startswith("weights")


@pytest.mark.parametrize(
    ("steps", "by", "seen"),
    [
        ([10, 20], 1e-15, ["losses of step 20"]),
        ([10], 0.0, ["losses of step 20"]),
        ([10, 10, 20], 0.0, ["losses of step 10"]),
        ([5, 10, 20], 0.0, ["losses of step 5"]),
    ],
)
def test_metrics_that_differ_lack_or_come_twice_are_seen(
    tmp_path: pathlib.Path, steps: list[int], by: float, seen: list[str]
) -> None:
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    write_metrics(b, steps, by)
    assert chaos.differences(a, b) == seen


def test_a_later_checkpoint_is_seen(tmp_path: pathlib.Path) -> None:
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    for file in b.checkpoints.glob("ckpt-20.*"):
        file.rename(file.with_name(file.name.replace("20", "21")))
    assert chaos.differences(a, b) == ["newest checkpoint"]


@pytest.mark.parametrize(
    ("log", "code", "before"),
    [
        ("resuming a at step 20\n", 1, 20),  # ended by itself
        ("resuming a at step 20\nTraceback (most recent", -9, 20),
        ("resuming a at step 19\n", -9, 20),  # not the newest
        ("", -9, 19),  # made step 20 from nothing
    ],
)
def test_a_process_that_did_not_go_on_is_seen(
    tmp_path: pathlib.Path, log: str, code: int, before: int
) -> None:
    run = write_run(tmp_path / "a")
    run.log.write_text("resuming a at step 20\n")
    run.check(-9, {-9}, 20)
    run.log.write_text(log)
    with pytest.raises(chaos.ResumeError):
        run.check(code, {-9}, before)


def test_half_a_save_is_told_from_a_whole_one(tmp_path: pathlib.Path) -> None:
    run = write_run(tmp_path / "a")
    (run.checkpoints / "checkpoint").touch()
    (run.checkpoints / "ckpt-20.sha256").touch()
    assert run.newest() == 20 and not run.leftovers()
    (run.checkpoints / "ckpt-21.data-00000-of-00001").touch()
    (run.checkpoints / ".part").mkdir()
    assert run.newest() == 20
    assert {name for name, _ in run.leftovers()} == {
        "ckpt-21.data-00000-of-00001",
        ".part",
    }


@pytest.mark.slow
def test_a_run_that_was_killed_thrice_ends_with_the_same_bits(
    tmp_path: pathlib.Path,
) -> None:
    options = ["--kills", "3", "--work_dir", str(tmp_path / "work")]
    done = subprocess.run(
        [sys.executable, chaos.__file__, *options],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done
    assert done.stdout.count("SIGKILL") == 4
    assert done.stdout.splitlines()[-1] == "bit-identical"
