"""The devices and machines that train together: found, joined, compared.

Several devices of one machine train by `MirroredStrategy`. Several machines do
by `MultiWorkerMirroredStrategy`: each runs the same command as a worker, with
the addresses of all of them in the environment variable TF_CONFIG. The first
worker is the chief; it alone writes.
"""

import contextlib
import json
import math
import os
import reprlib
import signal
import socket
import time
import zlib
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from system import console, settings

POLL_SECS = 0.2  # between two looks for workers that are missing
SAY_SECS = 60.0  # between two lines that name them
LOST = (  # what a collective operation says if another worker is gone
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


class WorkerLostError(ConnectionError):
    """Another worker ended or is out of reach."""


def join(num_gpus: int = -1) -> tf.distribute.Strategy:
    """Chooses the devices of this run, and waits for the other workers.

    Args:
      num_gpus: Of this machine; 0: its CPU alone; -1: all that are visible.

    Raises:
      ValueError: There are fewer, TF_CONFIG cannot be understood, or the
        address that it gives this worker is taken.
    """
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
        _meet(addresses, number)
        handler = signal.getsignal(signal.SIGTERM)
        with console.without_stderr():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        # TensorFlow has taken it for itself, and does nothing.
        signal.signal(signal.SIGTERM, handler)
        return strategy
    # One worker is none; but Mirrored would look for it there.
    os.environ.pop("TF_CONFIG", None)
    if num_gpus > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _meet(addresses: list[str], number: int) -> None:
    """Waits until all workers are there.

    TensorFlow would do so too, but deaf to signals, and without a word.
    """
    missing = addresses[:number] + addresses[number + 1 :]
    dual = socket.has_dualstack_ipv6()
    try:
        server = socket.create_server(
            ("", _split(addresses[number])[1]),
            family=socket.AF_INET6 if dual else socket.AF_INET,
            backlog=1024,
            dualstack_ipv6=dual,
        )
    except OSError as error:
        raise ValueError(
            f"TF_CONFIG: worker {number} cannot listen at {addresses[number]} "
            f"({error.strerror}): give it a free port"
        ) from None
    said_at = -math.inf
    with server:
        while missing:
            if time.monotonic() - said_at > SAY_SECS:
                said_at = time.monotonic()
                logging.info(
                    "worker %d of %d: waiting for %s",
                    *(number, len(addresses), ", ".join(missing)),
                )
            for address in list(missing):
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(_split(address), 1.0),
                ):
                    missing.remove(address)
            time.sleep(POLL_SECS)


def _split(address: str) -> tuple[str, int]:
    """Splits an address into host and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


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
            _split(address)
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
    own = tf.constant([[0, *sums]], tf.int64)  # never empty

    @tf.function
    def gather() -> tf.Tensor:
        return strategy.run(_gather_rows, [own])

    rows = strategy.experimental_local_results(gather())[0].numpy()
    _, *columns = rows.T
    for column, (name, fact) in zip(columns, facts.items(), strict=True):
        if len(set(column)) > 1:
            raise ValueError(
                f"workers differ in their {name} ({reprlib.repr(fact)} here): "
                "give all the same command, and the same folders"
            )


def _gather_rows(row: tf.Tensor) -> tf.Tensor:
    """Returns the rows, `[1, n]` each, of all replicas of all workers."""
    return tf.distribute.get_replica_context().all_gather(row, axis=0)


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
    """Turns what TensorFlow says of a lost worker into a WorkerLostError."""
    try:
        yield
    except LOST:
        if len(workers()[0]) < 2:
            raise
        logging.debug("", exc_info=True)
        raise WorkerLostError(
            "another worker ended or is out of reach: start all workers again, "
            "and they go on at the last checkpoint (--verbosity=1 tells what "
            "TensorFlow says)"
        ) from None
