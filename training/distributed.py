"""Finds, joins and compares the devices and machines that train together.

Several devices of one machine train by `MirroredStrategy`. Several machines do
by `MultiWorkerMirroredStrategy`: each runs the same command as a worker, with
the addresses of all of them in the environment variable TF_CONFIG. The first
worker is the chief; it alone writes.
"""

import contextlib
import json
import os
import reprlib
import sys
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from absl import logging
from tensorflow.python.eager import context

from system import console, settings, signals
from training import peers

SIGNAL_SECS = 5.0  # for the main thread to react to a signal
LOST = (  # what a collective operation says if another worker is gone
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)
WorkerLostError = peers.WorkerLostError
_peers: peers.Peers | None = None  # the other workers, once all have met


def join(num_gpus: int = -1) -> tf.distribute.Strategy:
    """Chooses the devices of this run, and waits for the other workers.

    Args:
      num_gpus: Of this machine; 0: its CPU alone; -1: all that are visible.

    Raises:
      ValueError: There are fewer, TF_CONFIG cannot be understood, or the
        address that it gives this worker is taken.
    """
    global _peers
    gpus = tf.config.list_physical_devices("GPU")
    if not -1 <= num_gpus <= len(gpus):
        raise settings.SettingError(
            "num_gpus",
            num_gpus,
            f"-1 (all) to {len(gpus)}, the number of GPUs that TensorFlow sees",
        )
    if num_gpus == -1:
        num_gpus = len(gpus)
    tf.config.set_visible_devices(gpus[:num_gpus], "GPU")
    addresses, number = workers()
    if len(addresses) > 1:
        _peers = peers.Peers(addresses, number)
        _peers.meet()
        # TensorFlow's own service for finding lost workers waits for all of
        # them with Python's global lock held, so that no thread of this process
        # could end it; and it keeps SIGTERM for itself.
        context.context().configure_coordination_service(service_type="")
        # Its thread would add several lines to the one that reports a loss.
        tf.get_logger().setLevel("CRITICAL")
        with console.without_stderr():
            return tf.distribute.MultiWorkerMirroredStrategy()
    # One worker is none; but Mirrored would look for it there.
    os.environ.pop("TF_CONFIG", None)
    if num_gpus > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def workers() -> tuple[list[str], int]:
    """Addresses of all workers, the chief's first, and the own one's number.

    Raises:
      ValueError: TF_CONFIG cannot be understood.
    """
    text = os.environ.get("TF_CONFIG", "") or "{}"
    try:
        config = json.loads(text)
        cluster = config.get("cluster", {})
        kinds = [kind for kind in ("chief", "worker") if kind in cluster]
        addresses = [str(a) for kind in kinds for a in cluster[kind]]
        if cluster.keys() - {"chief", "worker"}:
            raise ValueError(f"it names {', '.join(cluster)}")
        if not addresses:
            return [], 0
        for address in addresses:
            peers.split(address)
        task = config["task"]
        number = range(len(cluster[task["type"]])).index(int(task["index"]))
        if task["type"] == "worker" and "chief" in cluster:
            number += len(cluster["chief"])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as why:
        raise ValueError(
            f"TF_CONFIG is {text!r} ({why}): expected "
            '{"cluster": {"worker": ["HOST:PORT", ...]}, '
            '"task": {"type": "worker", "index": NUMBER}}'
        ) from None
    return addresses, number


def several_workers(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether several processes train together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process is the one that writes."""
    return not several_workers(strategy) or workers()[1] == 0


def agree(strategy: tf.distribute.Strategy, **facts: object) -> None:
    """Waits until all workers come here, with the same facts.

    Args:
      strategy: Of this process.
      **facts: What must not differ.

    Raises:
      ValueError: It does.
    """
    if not several_workers(strategy):
        return
    sums = [zlib.crc32(repr(fact).encode()) for fact in facts.values()]
    assert _peers is not None
    for others in _peers.exchange(sums):
        for own, other, (name, fact) in zip(
            sums, others, facts.items(), strict=True
        ):
            if own != other:
                raise ValueError(
                    f"workers differ in their {name} ({reprlib.repr(fact)} "
                    "here): give all the same command, and the same folders"
                )


def leave() -> None:
    """Waits until all workers are done, if there are several.

    From then on, each may end without being missed.
    """
    if _peers is not None:
        _peers.leave()


def saving() -> contextlib.AbstractContextManager[Any]:
    """Lets a save end within the context, if a worker is lost meanwhile."""
    return contextlib.nullcontext() if _peers is None else _peers.saving()


def end_process(code: int) -> None:
    """Ends this process at once if it is one of several workers.

    TensorFlow's own exit may wait for workers that are gone.
    """
    if _peers is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@contextlib.contextmanager
def chief_first(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Lets the chief do what is inside, and then the others."""
    if not is_chief(strategy):
        agree(strategy)
    yield
    if is_chief(strategy):
        agree(strategy)


@contextlib.contextmanager
def guard() -> Iterator[None]:
    """Ends several workers in good order when one is lost or stopped.

    What TensorFlow says of a lost worker becomes a WorkerLostError. SIGINT and
    SIGTERM end this process, even if the main thread waits in TensorFlow.
    """
    if len(workers()[0]) < 2:
        yield
        return
    with signals.listen(_end_soon):
        try:
            yield
        except (*LOST, WorkerLostError):
            logging.debug("", exc_info=True)
            if _peers is None:
                raise
            raise _peers.report() from None


def _end_soon(number: int) -> None:
    """Ends this process after a signal, unless the main thread does."""
    timer = threading.Timer(SIGNAL_SECS, os._exit, [128 + number])
    timer.daemon = True
    timer.start()
