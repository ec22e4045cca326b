"""The training loop: audio in, checkpoints and reports out."""

import contextlib
import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

import gan as gan_lib
import loader
import pictures
import traindir

REPORT_STEPS = 10  # steps between two lines of metrics.jsonl
PRINT_SECS = 5.0  # at least, between two lines where there is no terminal
KEPT_CHECKPOINTS = 3
SUMMARY_CLIPS = 4


def find_data(config: dict[str, dict[str, Any]]) -> list[str]:
    """Finds the audio files of a run, and says what it found.

    Args:
      config: Of a run.

    Returns:
      Paths of the usable files.

    Raises:
      FileNotFoundError: The folder is missing.
      ValueError: It holds no audio, or too many files that cannot be used.
    """
    data = traindir.DataConfig(**config["data"])
    paths = loader.find_audio(data.dir)
    infos, skipped = loader.scan_audio(paths)
    if len(skipped) > data.max_bad * len(paths):
        path, reason = next(iter(skipped.items()))
        share = math.ceil(100 * len(skipped) / len(paths)) / 100
        raise ValueError(
            f"{len(skipped)} of {len(paths)} audio files cannot be used, the "
            f"first is {path}: {reason} - mend or remove them, or accept more "
            f"by --data_max_bad={share}"
        )
    for info in infos:
        if data.fast_wav and not info.is_standard_wav(data.sample_rate):
            raise ValueError(
                f"--data_fast_wav takes 16-bit or float WAV at "
                f"{data.sample_rate} Hz alone, which {info.path} is not: leave "
                "the flag out, and files are converted"
            )
    for path, reason in skipped.items():
        logging.warning("skipped: %s: %s", path, reason)
    index = loader.index_slices(infos, **_slicing(data, config["model"]))
    logging.info(
        "data: %d files, %.1f minutes, %d slices; %d files skipped",
        len(infos),
        index.seconds / 60,
        index.num_slices,
        len(skipped),
    )
    return [info.path for info in infos]


def real_clips(
    config: dict[str, dict[str, Any]], num_clips: int
) -> np.ndarray | None:
    """Real clips as a run sees them, or None if its data are gone.

    Args:
      config: Of a train dir.
      num_clips: How many.

    Returns:
      Mono audio, `[num_clips, slice_len, 1]`, from starts of random files.
    """
    data = traindir.DataConfig(**config["data"])
    try:
        infos, _ = loader.scan_audio(loader.find_audio(data.dir))
        paths = [info.path for info in infos]
        random.Random(0).shuffle(paths)
        clips = loader.load_clips(
            paths[:num_clips], config["model"]["slice_len"], data.sample_rate
        )
    except (OSError, ValueError) as error:
        logging.info("no real clips to compare with: %s", error)
        return None
    if data.normalize:
        clips /= np.maximum(np.abs(clips).max(axis=1, keepdims=True), 1e-9)
    return clips[..., np.newaxis]


def _slicing(
    data: traindir.DataConfig, model: dict[str, Any]
) -> dict[str, Any]:
    """How files are cut, in the words of `loader`."""
    return {
        "slice_len": model["slice_len"],
        "channels": model["channels"],
        "sample_rate": data.sample_rate,
        "overlap_ratio": data.overlap_ratio,
        "first_slice": data.first_slice,
        "pad_end": data.pad_end,
        # As the original: slices start anywhere, unless only the first counts.
        "random_offset": not data.first_slice,
    }


def train(
    gan: gan_lib.GAN,
    directory: traindir.TrainDir,
    config: dict[str, dict[str, Any]],
    paths: list[str],
) -> None:
    """Trains until `max_steps`, or until SIGINT or SIGTERM; saves on the way.

    The folder must be locked. A run that is there goes on where it stopped.

    Args:
      gan: Compiled.
      directory: Where the run lives.
      config: `model`, `data` and `train`, as they will stand in config.json.
      paths: Audio files.

    Raises:
      FloatingPointError: A loss is no longer a number; nothing was saved since
        the last checkpoint.
      SystemExit: A signal came; its code is 128 + the signal's number.
    """
    data = traindir.DataConfig(**config["data"])
    settings = traindir.TrainConfig(**config["train"])
    step = 0
    if directory.latest_step() is not None:
        step = traindir.restore(gan, directory)
        logging.info("resuming %s at step %d", directory.path, step)
    directory.write_config(config)
    if 0 < settings.max_steps <= step:
        logging.info("nothing to do: --train_max_steps is reached")
        return
    dataset = loader.make_dataset(
        paths,
        batch_size=settings.batch_size,
        normalize=data.normalize,
        cache=data.cache,
        seed=settings.seed,
        start=step * settings.critic_steps * settings.batch_size,
        cache_dir=directory.path,
        **_slicing(data, config["model"]),
    ).batch(settings.critic_steps)
    gpus = tf.config.list_logical_devices("GPU")
    if 0 <= data.prefetch_gpu_num < len(gpus):
        device = gpus[data.prefetch_gpu_num].name
        dataset = dataset.apply(tf.data.experimental.prefetch_to_device(device))
    log = _Log(gan, directory, data.sample_rate, settings, step)
    manager = tf.train.CheckpointManager(
        traindir.checkpoint(gan),
        str(directory.checkpoints),
        max_to_keep=KEPT_CHECKPOINTS,
        checkpoint_name="ckpt",
    )
    train_step = tf.function(gan.train_step, jit_compile=settings.jit)
    saved, saved_at = step, time.monotonic()

    def save() -> None:
        nonlocal saved, saved_at
        log.check(step)
        manager.save(checkpoint_number=step)
        saved, saved_at = step, time.monotonic()

    with _catch_signals() as caught, contextlib.closing(log):
        try:
            for batches in log.time_waits(dataset):
                losses = train_step(batches)
                step += 1
                log.record(step, losses, batches)
                if time.monotonic() - saved_at >= settings.save_secs:
                    save()
                if caught or step == settings.max_steps:
                    break
        finally:
            # Even if a file could not be read: no step is lost.
            if step > saved:
                save()
    if caught:
        logging.info("stopped by a signal; saved at step %d", step)
        raise SystemExit(128 + caught[0])


@contextlib.contextmanager
def _catch_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM; the second one ends the process at once."""
    caught: list[int] = []

    def note(number: int, _: Any) -> None:
        if caught:
            os._exit(128 + number)
        caught.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.signal(number, note) for number in numbers]
    try:
        yield caught
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


class _Log:
    """Tells how the training goes: metrics.jsonl, TensorBoard, terminal."""

    def __init__(
        self,
        gan: gan_lib.GAN,
        directory: traindir.TrainDir,
        sample_rate: int,
        settings: traindir.TrainConfig,
        step: int,
    ) -> None:
        self._gan = gan
        self._sample_rate = sample_rate
        self._settings = settings
        self._path = directory.metrics
        self._step = step
        self._losses: dict[str, tf.Tensor] = {}
        self._seconds = self._cut_metrics(step)
        self._writer = tf.summary.create_file_writer(
            str(directory.path / "logs")
        )
        self._reported_at = time.monotonic()
        self._waited = 0.0
        self._printed_at = self._summarised_at = -math.inf
        self._z = tf.random.stateless_uniform(
            [SUMMARY_CLIPS, gan.latent_dim], [settings.seed, 0], -1.0, 1.0
        )
        self._bar = tqdm.tqdm(
            initial=step,
            total=settings.max_steps or None,
            unit="step",
            disable=not sys.stdout.isatty(),
            file=sys.stdout,
        )

    def close(self) -> None:
        """Ends the bar and the event file."""
        self._bar.close()
        self._writer.close()

    def _cut_metrics(self, step: int) -> float:
        """Drops lines of steps to come again; returns seconds so far."""
        if not self._path.exists():
            return 0.0
        kept = []
        for text in self._path.read_text().splitlines():
            # A killed process may have left half a line, the last.
            with contextlib.suppress(json.JSONDecodeError):
                line = json.loads(text)
                if line["step"] <= step:
                    kept.append(line)
        text = "".join(json.dumps(line) + "\n" for line in kept)
        traindir.write_atomically(self._path, text.encode())
        return kept[-1]["seconds"] if kept else 0.0

    def check(self, step: int) -> None:
        """Raises FloatingPointError if the losses are no numbers."""
        losses = {name: float(loss) for name, loss in self._losses.items()}
        if not all(map(math.isfinite, losses.values())):
            raise FloatingPointError(
                f"step {step}: the losses are {losses}: train anew with other "
                "settings (a smaller --train_learning_rate, another "
                "--wavegan_loss, --data_normalize)"
            )

    def time_waits(self, dataset: tf.data.Dataset) -> Iterator[tf.Tensor]:
        """Passes batches on and notes how long each let the step wait."""
        batches = iter(dataset)
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            self._waited += time.monotonic() - asked
            if batch is None:
                return
            yield batch

    def record(
        self, step: int, losses: dict[str, tf.Tensor], batches: tf.Tensor
    ) -> None:
        """Takes in what one step gave."""
        self._losses = losses
        self._bar.update()
        last = step == self._settings.max_steps
        if step % REPORT_STEPS == 0 or step == 1 or last:
            self._report(step, last)
        now = time.monotonic()
        if now - self._summarised_at >= self._settings.summary_secs or last:
            self._summarise(step, batches[-1])
            self._summarised_at = time.monotonic()

    def _report(self, step: int, last: bool) -> None:
        self.check(step)
        now = time.monotonic()
        seconds = now - self._reported_at
        clips = self._settings.critic_steps * self._settings.batch_size
        clips_per_sec = (step - self._step) * clips / seconds
        data_wait = self._waited / seconds
        self._seconds += seconds
        self._reported_at, self._step, self._waited = now, step, 0.0
        losses = {name: float(loss) for name, loss in self._losses.items()}
        line = {
            "step": step,
            **losses,
            "seconds": round(self._seconds, 3),
            "clips_per_sec": round(clips_per_sec, 2),
            "data_wait": round(data_wait, 4),
        }
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        with self._writer.as_default(step=step):
            tf.summary.scalar("D_loss", losses["d_loss"])
            tf.summary.scalar("G_loss", losses["g_loss"])
            tf.summary.scalar("clips_per_sec", clips_per_sec)
            tf.summary.scalar("data_wait", data_wait)
        text = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
        self._bar.set_postfix_str(f"{text}, {clips_per_sec:.0f} clips/s")
        if self._bar.disable and (last or now - self._printed_at > PRINT_SECS):
            self._printed_at = now
            goal = self._settings.max_steps
            eta = ""
            if goal:
                left = (goal - step) * clips / clips_per_sec
                eta = f", {left / 60:.1f} min left"
            print(
                f"step {step}{f'/{goal}' if goal else ''}: {text}, "
                f"{clips_per_sec:.1f} clips/s{eta}",
                flush=True,
            )

    def _summarise(self, step: int, x: tf.Tensor) -> None:
        """Lets TensorBoard play and show real clips x and generated ones."""
        rate = self._sample_rate
        x = x[:SUMMARY_CLIPS]
        fake = self._gan.ema_generator(self._z, training=False)
        with self._writer.as_default(step=step):
            for name, clips in (("x", x), ("G_z", fake)):
                rms = tf.sqrt(tf.reduce_mean(clips**2, axis=[1, 2]))
                tf.summary.audio(name, clips, rate, max_outputs=SUMMARY_CLIPS)
                tf.summary.histogram(f"{name}_rms_batch", rms)
                tf.summary.scalar(f"{name}_rms", tf.reduce_mean(rms))
            picture = pictures.draw_clips(
                {"x": x.numpy(), "G_z": fake.numpy()}, rate
            )
            tf.summary.image("mel", tf.image.decode_png(picture)[tf.newaxis])
            self._writer.flush()
