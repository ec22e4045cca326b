"""Runs train_wavegan.py, which fails at a chosen moment.

  python tests/failing_worker.py MOMENT FAILURE train TRAIN_DIR [--flags]

MOMENT is a key of MOMENTS, FAILURE one of FAILURES.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import command_runner

from system import console

console.import_tensorflow()

import tensorflow as tf  # noqa: E402

from training import (  # noqa: E402
    checkpoints,
    distributed,
    gan_model,
    log,
    loop,
    peers,
)

STDERR = os.dup(2)  # TensorFlow starts without stderr
# By moment: what is called then, and whether the failure comes after it.
MOMENTS: dict[str, tuple[Any, str, bool]] = {
    "met": (peers.Peers, "meet", True),
    "started": (tf.distribute, "MultiWorkerMirroredStrategy", True),
    "building": (gan_model.GANModel, "build", False),
    "restored": (loop, "_restore", True),
    "stepped": (log.NullLog, "record", True),  # of a worker that is not chief
    "saving": (checkpoints.Checkpoints, "_drop", False),
    "leaving": (distributed, "leave", False),
    "left": (distributed, "leave", True),
}
FAILURES: dict[str, Callable[[], None]] = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stopped": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "waits": lambda: time.sleep(600),
    "nothing": lambda: None,
}


def fail(moment: str, failure: Callable[[], None]) -> None:
    """Makes this process fail at a moment."""
    owner, name, afterwards = MOMENTS[moment]
    function = getattr(owner, name)

    def failing(*args: Any, **options: Any) -> Any:
        result = function(*args, **options) if afterwards else None
        os.write(STDERR, b"now\n")
        failure()
        return result if afterwards else function(*args, **options)

    setattr(owner, name, failing)


if __name__ == "__main__":
    _, moment, kind, *sys.argv[1:] = sys.argv
    sys.argv[0] = str(command_runner.ROOT / command_runner.WAVEGAN)
    fail(moment, FAILURES[kind])
    runpy.run_path(sys.argv[0], run_name="__main__")
