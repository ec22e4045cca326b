"""Reports progress: metrics.jsonl, TensorBoard, terminal, warnings."""

import contextlib
import json
import math
import sys
import textwrap
import time
from collections.abc import Iterator

import tensorflow as tf
import tqdm
from absl import logging

from audio import plots
from networks import audio_model as audio_model_lib
from system import atomic
from training import collapse, train_dir
from training import config as config_lib
from training import dataset as dataset_lib

REPORT_STEPS = 10  # steps between two lines of metrics.jsonl
PRINT_SECS = 5.0  # at least, between two lines where there is no terminal
SUMMARY_CLIPS = 4


PACE_STEPS = 5  # steps after the first, of which the pace is estimated
PAPER_STEPS = 200_000  # generator updates of the paper's training
PATIENCE_DAYS = 3.0  # if it would take longer, faster settings are suggested


def _warn_of_skipped(path: str, reason: str) -> None:
    """Warns that a file failed while it was streamed and is left out."""
    logging.warning("skipped: %r: %s", path, reason)


class NullLog:
    """Log of a worker that is not the chief: it reports skipped files only."""

    def time_waits(self, dataset: tf.data.Dataset) -> Iterator[tf.Tensor]:
        """Iterates over the batches."""
        return iter(dataset)

    def record(
        self, step: int, losses: dict[str, tf.Tensor], batches: tf.Tensor
    ) -> None:
        """Does nothing: the chief reports."""

    def skip(self, path: str, reason: str) -> None:
        """Warns that a file failed while it was streamed and is left out."""
        _warn_of_skipped(path, reason)

    def close(self) -> None:
        """Does nothing: no file is open."""


class _Pace:
    """Measures the time of a step, without the first one, which is compiled."""

    def __init__(self) -> None:
        self._num_steps = -1
        self._since = 0.0

    @property
    def step_seconds(self) -> float:
        """Mean seconds of a step; 0 while too few are known."""
        if self._num_steps < PACE_STEPS:
            return 0.0
        return (time.monotonic() - self._since) / self._num_steps

    def add_step(self, goal: int) -> None:
        """Counts a step; says once how long `goal` steps take at this pace."""
        self._num_steps += 1
        if not self._num_steps:
            self._since = time.monotonic()
        if self._num_steps != PACE_STEPS:
            return
        total = goal * self.step_seconds
        remedy = ""
        if total > PATIENCE_DAYS * 86400:
            remedy = (
                "; smaller networks (--wavegan_dim=16 or --specgan_dim=16) and "
                "batches are faster, and flagfiles/fast.cfg learns faster"
            )
        logging.info(
            "%s updates at this pace: %s%s",
            f"{goal:,}",
            _duration(total),
            remedy,
        )


def _duration(seconds: float) -> str:
    """Formats a duration in the unit that suits it."""
    for unit, length in (("days", 86400), ("hours", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


class Log:
    """Reports the progress of a training; a full disk is reported, too.

    Args:
      audio_model: The model that is trained.
      directory: Its train dir.
      config: Config of its run.
      step: Step at which the training starts or continues.
    """

    def __init__(
        self,
        audio_model: audio_model_lib.AudioModel,
        directory: train_dir.TrainDir,
        config: config_lib.RunConfig,
        step: int,
    ) -> None:
        self._audio_model = audio_model
        self._sample_rate = config.data.sample_rate
        self._settings = settings = config.train
        self._path = directory.metrics
        self._skipped = directory.skipped
        self._logs = directory.path / "logs"
        self._step = step
        self._losses: dict[str, tf.Tensor] = {}
        self._seconds = self._cut_metrics(step)
        self._writer = tf.summary.create_file_writer(str(self._logs))
        self._reported_at = time.monotonic()
        self._pace = _Pace()
        self._waited = 0.0
        self._printed_at = self._summarised_at = -math.inf
        self._warned: set[str] = set()
        z = tf.random.stateless_uniform(
            [SUMMARY_CLIPS, audio_model.latent_dim],
            [settings.seed, 0],
            -1.0,
            1.0,
        )
        self._shown = (
            z,
            dataset_lib.labels_in_turn(SUMMARY_CLIPS, audio_model.num_labels),
        )
        self._bar = tqdm.tqdm(
            initial=step,
            total=settings.max_steps or None,
            unit="step",
            disable=not sys.stdout.isatty(),
            file=sys.stdout,
        )
        text = json.dumps(config_lib.to_json(config), indent=2)
        with self._events(step):  # indented: Markdown shows it as it is
            tf.summary.text("config", textwrap.indent(text, "    "))

    def close(self) -> None:
        """Closes the progress bar and TensorBoard's file."""
        self._bar.close()
        with contextlib.suppress(tf.errors.OpError):
            self._writer.close()

    def _cut_metrics(self, step: int) -> float:
        """Drops lines of later steps; returns the seconds trained so far."""
        if not self._path.exists():
            return 0.0
        text = self._path.read_text()
        kept = []
        for line in text.splitlines():
            # A killed process may have left half a line, the last.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                if row["step"] <= step and row["seconds"] >= 0:
                    kept.append(row)
        whole = "".join(json.dumps(row) + "\n" for row in kept)
        if whole != text:
            atomic.write(self._path, whole.encode())
        return kept[-1]["seconds"] if kept else 0.0

    def time_waits(self, dataset: tf.data.Dataset) -> Iterator[tf.Tensor]:
        """Iterates over the batches and measures how long each takes."""
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
        """Reports one step.

        Args:
          step: Its number.
          losses: Its losses, which must be finite.
          batches: Its batches of real clips.
        """
        self._losses = losses
        self._bar.update()
        self._pace.add_step(self._settings.max_steps or PAPER_STEPS)
        last = step == self._settings.max_steps
        if is_due(step) or last:
            self._report(step, last)
        now = time.monotonic()
        if now - self._summarised_at >= self._settings.summary_secs or last:
            x = batches[0] if self._audio_model.num_labels else batches
            self._summarise(step, x[-1])
            self._summarised_at = time.monotonic()

    def skip(self, path: str, reason: str) -> None:
        """Warns of a file that failed, and adds it to skipped.txt."""
        _warn_of_skipped(path, reason)
        with contextlib.suppress(OSError), self._skipped.open("a") as file:
            file.write(f"{path!r}: {reason}\n")

    def _report(self, step: int, last: bool) -> None:
        now = time.monotonic()
        seconds = now - self._reported_at
        clips = self._settings.batches_per_step * self._settings.batch_size
        clips_per_sec = (step - self._step) * clips / seconds
        data_wait = self._waited / seconds
        self._seconds += seconds
        self._reported_at, self._step, self._waited = now, step, 0.0
        losses = self._read_losses()
        line = {
            "step": step,
            **losses,
            "seconds": round(self._seconds, 3),
            "clips_per_sec": round(clips_per_sec, 2),
            "data_wait": round(data_wait, 4),
        }
        self._append(json.dumps(line) + "\n")
        with self._events(step):
            for name, loss in losses.items():
                tf.summary.scalar(name.capitalize(), loss)
            tf.summary.scalar("clips_per_sec", clips_per_sec)
            tf.summary.scalar("data_wait", data_wait)
        text = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
        self._bar.set_postfix_str(f"{text}, {clips_per_sec:.0f} clips/s")
        if self._bar.disable and (last or now - self._printed_at > PRINT_SECS):
            self._printed_at = now
            goal = self._settings.max_steps
            eta = ""
            if goal and not last and (seconds := self._pace.step_seconds):
                eta = f", {_duration((goal - step) * seconds)} left"
            print(
                f"step {step}{f'/{goal}' if goal else ''}: {text}, "
                f"{clips_per_sec:.1f} clips/s{eta}",
                flush=True,
            )

    def _read_losses(self) -> dict[str, float]:
        """Waits for the losses of the last step, and returns them by name."""
        return {name: float(loss) for name, loss in self._losses.items()}

    def _append(self, line: str) -> None:
        """Appends a line to the metrics, whole or not at all."""
        try:
            with self._path.open("ab", buffering=0) as file:
                end = file.tell()
                if file.write(line.encode()) < len(line):
                    file.truncate(end)
                    raise OSError(f"the disk of {self._path} is full")
        except OSError as error:
            self._warn("metrics", True, f"metrics are lost: {error}")
        else:
            self._warn("metrics", False)

    def _summarise(self, step: int, x: tf.Tensor) -> None:
        """Writes audio and pictures of real and generated clips."""
        rate = self._sample_rate
        x = x[:SUMMARY_CLIPS]
        fake = self._audio_model.generate(*self._shown)
        signs = collapse.Signs(
            fake.numpy(),
            self._read_losses(),
            self._audio_model.has_bounded_loss,
        )
        with self._events(step, whole=True):
            for name, clips in (("x", x), ("G_z", fake)):
                rms = tf.sqrt(tf.reduce_mean(clips**2, axis=[1, 2]))
                tf.summary.audio(name, clips, rate, max_outputs=SUMMARY_CLIPS)
                tf.summary.histogram(f"{name}_rms_batch", rms)
                tf.summary.scalar(f"{name}_rms", tf.reduce_mean(rms))
            picture = plots.draw_clips(
                {"x": x.numpy(), "G_z": signs.fake}, rate
            )
            tf.summary.image("mel", tf.image.decode_png(picture)[tf.newaxis])
            for name, raised in collapse.raised(signs).items():
                raised &= step >= collapse.FIRST_STEP
                tf.summary.scalar(f"alarm/{name}", float(raised))
                text = f"{collapse.ALARMS[name][1]}: {collapse.REMEDY}"
                self._warn(name, raised, f"step {step}: {text}")

    @contextlib.contextmanager
    def _events(self, step: int, whole: bool = False) -> Iterator[None]:
        """Writes events for TensorBoard; warns if they are lost.

        Args:
          step: Step of the events.
          whole: Flush, and check that the file grew: TensorFlow does not
            always report that a disk is full or a folder missing.
        """
        before = self._event_bytes() if whole else 0
        try:
            with self._writer.as_default(step=step):
                yield
            if whole:
                self._writer.flush()
            lost = whole and self._event_bytes() <= before
        except tf.errors.OpError:
            lost = True
        if lost or whole:
            text = f"step {step}: TensorBoard's file in {self._logs} is stuck"
            self._warn("logs", lost, text)

    def _event_bytes(self) -> int:
        with contextlib.suppress(OSError):
            return sum(file.stat().st_size for file in self._logs.iterdir())
        return 0

    def _warn(self, name: str, wrong: bool, text: str = "") -> None:
        """Warns once, and again if the fault was absent in between."""
        if wrong and name not in self._warned:
            logging.warning("%s", text)
        (self._warned.add if wrong else self._warned.discard)(name)


def is_due(step: int) -> bool:
    """Returns whether a step gets a line of metrics."""
    return step % REPORT_STEPS == 0 or step == 1
