"""Runs the training loop: streams batches, trains, saves and reports."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from absl import logging

from networks import audio_model as audio_model_lib
from networks import replicas
from system import atomic, device, signals
from system import settings as settings_lib
from training import config as config_lib
from training import dataset as dataset_lib
from training import distributed, learning_rate, train_dir
from training import log as log_lib

MAX_FAILURES = 3  # failed saves in a row at which training stops
ACKNOWLEDGEMENT = (
    b"stopping after this step, which is saved; a second signal stops at once\n"
)


def train(
    audio_model: audio_model_lib.AudioModel,
    directory: train_dir.TrainDir,
    config: config_lib.RunConfig,
    corpus: dataset_lib.Corpus,
) -> None:
    """Trains until `max_steps`, or until SIGINT or SIGTERM; saves on the way.

    A run that is in the train dir continues from its newest checkpoint.

    Args:
      audio_model: A compiled model.
      directory: The train dir, which must be locked.
      config: Config of the run.
      corpus: The audio to learn from.

    Raises:
      FloatingPointError: A loss or gradient is not finite; the last finite
        checkpoint is kept.
      OSError: The checkpoint cannot be written; the last one is kept.
      SystemExit: A signal arrived; the code is 128 + the signal's number.
    """
    settings = config.train
    strategy = audio_model.distribute_strategy
    chief = distributed.is_chief(strategy)
    several = distributed.several_workers(strategy)
    # Made before a restored checkpoint replaces the optimizers' rates.
    rates = learning_rate.LearningRates(audio_model, settings)
    with distributed.chief_first(strategy):
        step = _restore(audio_model, directory, chief)
    distributed.agree(
        strategy,
        step=step,
        settings=(config.model, settings),
        data=[(info.num_samples, info.sample_rate) for info in corpus.infos],
        labels=(corpus.words, corpus.labels),
    )
    if chief:
        directory.write_config(config)
    if 0 < settings.max_steps <= step:
        logging.info("nothing to do: --train_max_steps is reached")
        distributed.leave()
        return
    log: log_lib.Log | log_lib.NullLog = log_lib.NullLog()
    if chief:
        directory.checkpoints.check_room(audio_model)
        dataset_lib.remember(corpus, directory)
        log = log_lib.Log(audio_model, directory, config, step)
        logging.info("%s", device.describe())
        logging.info("building the training step, which takes a while")
    dataset = dataset_lib.stream(
        corpus, config, directory, step, log.skip, strategy
    )
    train_step = _compile(audio_model, settings.jit)
    saver = _Saver(audio_model, directory, config, corpus, step, chief)
    any_stopping = tf.zeros([])
    with _catch_signals() as caught, contextlib.closing(log):
        try:
            for batches in log.time_waits(dataset):
                rates.set(step)
                losses, stop = train_step(batches, tf.constant(len(caught)))
                step += 1
                last = step == settings.max_steps
                if log_lib.is_due(step) or last:
                    saver.check(step)
                log.record(step, losses, _first(strategy, batches))
                if saver.seconds >= settings.save_secs:
                    saver.save(step)
                # All workers must stop at the same step, so each one checks the
                # stop flags that all exchanged in the previous step.
                stopping = any_stopping if several else caught
                if stopping or last:
                    break
                any_stopping = stop
        except distributed.LOST:
            if several:
                saver.give_up()  # the step is half made
            raise
        finally:
            # Even if a file could not be read: no step is lost.
            saver.save_last(step)
    distributed.leave()
    if stopping:
        logging.info("stopped by a signal; saved at step %d", step)
        raise SystemExit(128 + (caught or [signal.SIGTERM])[0])


def _restore(
    audio_model: audio_model_lib.AudioModel,
    directory: train_dir.TrainDir,
    repair: bool,
) -> int:
    """Restores the newest checkpoint; returns its step, 0 without one."""
    if repair:
        directory.checkpoints.recover()
    try:
        step = directory.checkpoints.restore(audio_model, repair=repair)
    except FileNotFoundError:
        return 0
    logging.info("resuming %s at step %d", directory.path, step)
    return step


def _compile(
    audio_model: audio_model_lib.AudioModel, jit: bool
) -> Callable[..., tuple[dict[str, tf.Tensor], tf.Tensor]]:
    """Makes a graph of the training step of all replicas.

    It takes batches, and whether this worker is asked to stop, a number; and
    returns losses, and the mean of these numbers over the replicas.

    Raises:
      SettingError: `jit` is set, but there are several devices.
    """
    strategy = audio_model.distribute_strategy
    if jit and strategy.num_replicas_in_sync > 1:
        raise settings_lib.SettingError("jit", jit, "False on several devices")

    def train_replica(batches: tf.Tensor, stop: tf.Tensor) -> Any:
        losses = audio_model.train_step(batches)
        return losses, *replicas.mean([tf.cast(stop, tf.float32)])

    def train_all(batches: tf.Tensor, stop: tf.Tensor) -> Any:
        results = strategy.run(train_replica, (batches, stop))
        return tf.nest.map_structure(
            lambda value: _first(strategy, value), results
        )

    # AutoGraph takes seconds, and no Python `if` depends on a tensor.
    return tf.function(train_all, jit_compile=jit, autograph=False)


def _first(strategy: tf.distribute.Strategy, value: Any) -> tf.Tensor:
    """Returns the value of the first replica of this process."""
    return strategy.experimental_local_results(value)[0]


@contextlib.contextmanager
def _catch_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM; the second one ends the process at once."""
    caught: list[int] = []

    def react(number: int) -> None:
        if caught:
            os._exit(128 + number)
        caught.append(number)
        os.write(2, ACKNOWLEDGEMENT)

    handlers = [
        signal.signal(number, lambda *_: None) for number in signals.NUMBERS
    ]
    try:
        with signals.listen(react):
            yield caught
    finally:
        for number, handler in zip(signals.NUMBERS, handlers, strict=True):
            signal.signal(number, handler)


class _Saver:
    """Saves checkpoints of finite weights; tolerates failures of the disk."""

    def __init__(
        self,
        audio_model: audio_model_lib.AudioModel,
        directory: train_dir.TrainDir,
        config: config_lib.RunConfig,
        corpus: dataset_lib.Corpus,
        step: int,
        chief: bool,
    ) -> None:
        self._audio_model = audio_model
        self._directory, self._chief = directory, chief
        self._config, self._corpus = config, corpus
        self._saved, self._saved_at = step, time.monotonic()
        self._failures = 0

    @property
    def seconds(self) -> float:
        """Seconds since the last try to save."""
        return time.monotonic() - self._saved_at

    @property
    def _kept(self) -> str:
        if not self._saved:
            return "there is no checkpoint yet"
        return f"the checkpoint of step {self._saved} is kept"

    def check(self, step: int) -> None:
        """Raises an error if a loss was not finite or the train dir is gone."""
        if self._chief:
            self._directory.check_place()
        broken = int(self._audio_model.first_nonfinite_step.numpy())
        if broken > step:
            return
        names = dataset_lib.files_of_step(self._corpus, self._config, broken)
        path = self._directory.path / f"broken_step_{broken}.txt"
        if self._chief:
            with contextlib.suppress(OSError):
                atomic.write(path, "".join(f"{n!r}\n" for n in names).encode())
        raise FloatingPointError(
            f"step {broken}: a loss or a gradient is not finite "
            f"({path} lists the files of its batches); {self._kept}: train "
            "anew with other settings (a smaller --train_learning_rate, "
            "another loss, --data_normalize)"
        )

    def save(self, step: int) -> None:
        """Saves, if this is the chief; only warns of the first failures."""
        self.check(step)
        self._saved_at = time.monotonic()
        if not self._chief:
            return
        with contextlib.suppress(OSError):  # `log` warns of lost lines
            atomic.flush(self._directory.metrics)
        try:
            with distributed.saving():
                self._directory.checkpoints.save(
                    self._audio_model, step, self._config.train.keep
                )
        except OSError as error:
            self._failures += 1
            text = f"step {step} cannot be saved ({error}); {self._kept}"
            if self._failures == MAX_FAILURES:
                raise OSError(
                    f"{text}: free some space or mend the disk, then run the "
                    "same command"
                ) from None
            logging.warning("%s; training goes on", text)
        else:
            self._saved, self._failures = step, 0
            self._keep_milestone(step)

    def _keep_milestone(self, step: int) -> None:
        """Keeps a checkpoint for good if it is time to."""
        seconds = self._config.train.keep_every_secs
        if not 0 < seconds <= self._directory.seconds_since_milestone():
            return
        try:
            self._directory.keep_milestone(step)
        except OSError as error:
            logging.warning("step %d is not kept for good (%s)", step, error)

    def give_up(self) -> None:
        """Disables all further saves."""
        self._failures = MAX_FAILURES

    def save_last(self, step: int) -> None:
        """Saves what is not saved yet; there is no other try."""
        if step > self._saved and self._failures < MAX_FAILURES:
            self._failures = MAX_FAILURES - 1
            self.save(step)
