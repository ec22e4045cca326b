"""Runs commands in processes that have imported TensorFlow already.

  python tests/command_server.py

Reads a request a line from stdin, JSON: `argv`, `cwd`, `env`, `stdout` and
`stderr` (files to write) and `timeout` in seconds. Each is run in a fork of
this process, which has imported what the programs import but has not used
TensorFlow, and answered by a line on stdout: the exit code, or null after the
timeout. This saves the seconds of the import, which most tests would spend.
"""

from __future__ import annotations

import gc
import json
import os
import pathlib
import runpy
import signal
import sys
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np
import tensorflow as tf

import specgan  # noqa: F401
import wavegan  # noqa: F401
from audio import plots
from commandline import program  # noqa: F401
from digits import speech_commands  # noqa: F401
from eval import scoring  # noqa: F401


def _become(request: dict[str, Any]) -> None:
    """Turns this process into the program that was asked for, and runs it."""
    files = os.devnull, request["stdout"], request["stderr"]
    for number, path in enumerate(files):
        file = os.open(path, os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    sys.path[0] = str(pathlib.Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


def _wait(pid: int, timeout: float) -> int | None:
    """Waits for a process; kills it after the timeout and returns None."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def main() -> None:
    """Answers requests until stdin ends."""
    plots.draw_clips({"": np.zeros([1, 256, 1])}, 16000)  # imports librosa
    assert tf.summary.audio  # imports TensorBoard
    gc.freeze()  # so that no fork's collector copies the memory of all modules
    while line := sys.stdin.readline():
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(request)
            return  # ends as an interpreter does
        print(json.dumps(_wait(pid, request["timeout"])), flush=True)


if __name__ == "__main__":
    main()
