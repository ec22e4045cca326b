"""Runs the project's commands in processes and checks their output."""

import contextlib
import ctypes
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from training import train_dir as train_dir_lib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TINY = (
    "--data_slice_len=256",
    "--wavegan_dim=2",
    "--wavegan_latent_dim=8",
    "--train_batch_size=4",
    "--wavegan_disc_nupdates=2",
)
EMA = "--train_ema_decay=0.9"
WAVEGAN = "train_wavegan.py"
TIMEOUT = 300  # seconds; seldom more than 60 on a machine with nothing else


def command(*args: object, program: str = WAVEGAN) -> list[str]:
    """The command line with its interpreter."""
    return [sys.executable, str(ROOT / program), *map(str, args)]


def run(
    *args: object,
    program: str = WAVEGAN,
    cwd: pathlib.Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, in a process of the command server."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [pathlib.Path(folder, name) for name in ("out", "err")]
        for path in outputs:
            path.touch()
        argv = command(*args, program=program)
        request = {
            "argv": argv[1:],
            "cwd": str(cwd or pathlib.Path.cwd()),
            "env": dict(os.environ),
            "stdout": str(outputs[0]),
            "stderr": str(outputs[1]),
            "timeout": TIMEOUT,
        }
        server = _server()
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = json.loads(server.stdout.readline())
        texts = [path.read_text() for path in outputs]
    if code is None:
        raise subprocess.TimeoutExpired(argv, TIMEOUT, *texts)
    return subprocess.CompletedProcess(argv, code, *texts)


@functools.cache
def _server() -> subprocess.Popen[str]:
    """Starts the command server of this test process; it ends with it."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "command_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def start(*args: object, program: str = WAVEGAN) -> subprocess.Popen[str]:
    """Starts a command; it is killed if it takes far too long."""
    process = _open(*args, program=program)
    _kill_later(process)
    return process


def _open(*args: object, program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*args, program=program),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _kill_later(process: subprocess.Popen[str]) -> threading.Timer:
    """Ends the wait for a line that never comes, unless it is cancelled."""
    watchdog = threading.Timer(120, process.kill)
    watchdog.daemon = True
    watchdog.start()
    return watchdog


@contextlib.contextmanager
def play(
    *args: object, program: str = WAVEGAN
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serves the page, as long as it is used; yields process and address."""
    process = _open("play", *args, program=program)
    try:
        assert process.stdout is not None
        watchdog = _kill_later(process)
        line = process.stdout.readline()
        assert line.endswith("(Ctrl-C stops)\n"), process.communicate()
        watchdog.cancel()
        yield process, line.split()[2]
    finally:
        process.kill()
        process.communicate()


def wait_for_step(process: subprocess.Popen[str], step: int) -> None:
    """Reads reports until one of that step or later."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step ") and int(line.split()[1][:-1]) >= step:
            return
    raise AssertionError(process.communicate()[1])


def wait_for_checkpoint(
    process: subprocess.Popen[str], train_dir: pathlib.Path, beyond: int = -1
) -> int:
    """Waits for a checkpoint of a later step; returns its step."""
    store = train_dir_lib.TrainDir(train_dir).checkpoints
    deadline = time.monotonic() + 100
    while (step := store.latest_step()) is None or step <= beyond:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return step


def train(
    train_dir: pathlib.Path, audio: pathlib.Path, *flags: str
) -> subprocess.CompletedProcess[str]:
    """Trains a tiny model to its end, which must be a good one."""
    done = run("train", train_dir, f"--data_dir={audio}", *TINY, *flags)
    assert done.returncode == 0, done.stderr
    return done


def weights(train_dir: pathlib.Path) -> dict[str, np.ndarray]:
    """All variables of the newest checkpoint."""
    directory = train_dir_lib.TrainDir(train_dir)
    step = directory.checkpoints.latest_step()
    assert step is not None
    reader = tf.train.load_checkpoint(directory.checkpoints.path(step))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "OBJECT_GRAPH" not in name and "save_counter" not in name
    }


def assert_same_run(a: pathlib.Path, b: pathlib.Path) -> None:
    """Both runs ended with the same bits."""
    ours, theirs = weights(a), weights(b)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def losses(train_dir: pathlib.Path) -> dict[int, tuple[float, float]]:
    """What metrics.jsonl says, each step once."""
    lines = (train_dir / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len({row["step"] for row in rows}) == len(rows)
    return {row["step"]: (row["d_loss"], row["g_loss"]) for row in rows}


def bind_permissions() -> None:
    """Before a command starts: permissions shall bind it, even as root."""
    drop_capability, dac_override, dac_read_search = 24, 1, 2
    for capability in (dac_override, dac_read_search):
        ctypes.CDLL(None).prctl(drop_capability, capability, 0, 0, 0)


def assert_one_line(
    done: subprocess.CompletedProcess[str],
    *words: str,
    code: int = 1,
    program: str = WAVEGAN,
) -> None:
    """A refusal: its exit code, and one line that says all these words."""
    assert done.returncode == code, done
    # Before an error, training says what it found and what it does.
    progress = ("data: ", "CPU: ", "GPU: ", "building the training step")
    lines = [
        line
        for line in done.stderr.splitlines()
        if not line.startswith(progress)
    ]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"{program}: ")
    for word in words:
        assert word in lines[0]
