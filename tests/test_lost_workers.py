"""Tests that no worker of a distributed run waits for ever, at any moment."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import command_runner
import pytest
import test_distributed

pytestmark = pytest.mark.distributed
SURVIVES = "left", "nothing"
SMALL_STEP = "--wavegan_loss=wgan", "--wavegan_disc_nupdates=1"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes, which are killed in the end."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(
    folder: pathlib.Path,
    audio: pathlib.Path,
    failures: list[tuple[str, str]],
    *flags: str,
) -> list[subprocess.Popen[str]]:
    """Starts two workers that train, each with its moment and failure."""
    return [
        subprocess.Popen(
            [
                sys.executable,
                str(command_runner.ROOT / "tests" / "failing_worker.py"),
                *failure,
                *("train", str(folder / "t"), f"--data_dir={audio}"),
                *(*command_runner.TINY, *SMALL_STEP, *flags),
                "--train_save_secs=0",
            ],
            env={
                **os.environ,
                "PYTHONPATH": str(command_runner.ROOT),
                "TF_CONFIG": text,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for failure, text in zip(
            failures, test_distributed.configs(), strict=True
        )
    ]


def wait_until_it_fails(process: subprocess.Popen[str]) -> None:
    """Reads stderr until the moment of the failure."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line == "now\n":
            return
    raise AssertionError("".join(lines))


# Every moment once, and every failure for the first worker and the second.
@pytest.mark.parametrize(
    ("moment", "victim", "failure"),
    [
        ("met", 0, "killed"),
        ("met", 1, "stopped"),
        ("started", 0, "killed"),
        ("building", 0, "killed"),
        ("restored", 1, "killed"),
        ("stepped", 1, "stopped"),
        ("saving", 0, "stopped"),
        ("leaving", 0, "killed"),
        ("left", 0, "killed"),
    ],
)
def test_a_worker_lost_at_any_moment_ends_the_other_within_a_minute(
    audio: pathlib.Path,
    tmp_path: pathlib.Path,
    started: list[subprocess.Popen[str]],
    moment: str,
    victim: int,
    failure: str,
) -> None:
    failures = [SURVIVES, SURVIVES]
    failures[victim] = moment, failure
    started += start(tmp_path, audio, failures, "--train_max_steps=5")
    wait_until_it_fails(started[victim])
    lost_at = time.monotonic()
    survivor = started[1 - victim]
    _, stderr = survivor.communicate(timeout=100)
    print(f"{moment}: {time.monotonic() - lost_at:.1f} s")
    assert time.monotonic() - lost_at < 60
    assert "Traceback" not in stderr
    if moment == "left":
        assert survivor.returncode == 0, stderr
        return
    assert survivor.returncode == 69, stderr
    name = "train_wavegan.py: another worker ended"
    assert stderr.splitlines()[-1].startswith(name), stderr
    assert stderr.count(name) == 1, stderr


@pytest.mark.parametrize(
    ("moment", "waiting", "number"),
    [
        ("met", 0, signal.SIGTERM),
        ("started", 1, signal.SIGTERM),
        ("restored", 1, signal.SIGINT),
        ("stepped", 1, signal.SIGTERM),
        ("saving", 0, signal.SIGINT),
        ("leaving", 0, signal.SIGTERM),
    ],
)
def test_a_worker_that_waits_for_another_can_be_stopped_at_any_moment(
    audio: pathlib.Path,
    tmp_path: pathlib.Path,
    started: list[subprocess.Popen[str]],
    moment: str,
    waiting: int,
    number: signal.Signals,
) -> None:
    failures = [SURVIVES, SURVIVES]
    failures[waiting] = moment, "waits"
    started += start(tmp_path, audio, failures, "--train_max_steps=5")
    wait_until_it_fails(started[waiting])
    stopped = started[1 - waiting]
    time.sleep(3)
    assert stopped.poll() is None
    for _ in range(2):  # within a step, the second signal ends it at once
        stopped.send_signal(number)
        time.sleep(0.5)
    sent_at = time.monotonic()
    _, stderr = stopped.communicate(timeout=60)
    print(f"{moment}: {time.monotonic() - sent_at:.1f} s")
    assert time.monotonic() - sent_at < 10
    assert stopped.returncode == 128 + number, stderr
    assert "Traceback" not in stderr
    # And that one loses who was stopped, unless that one was done.
    if moment != "leaving":
        assert started[waiting].wait(60) == 69
