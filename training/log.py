"""What a run tells of itself: metrics.jsonl, TensorBoard, terminal, alarms."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Iterator

import tensorflow as tf
import tqdm
from absl import logging

import gan as gan_lib
from audio import plots
from system import atomic
from training import collapse, train_dir
from training import config as config_lib
from training import dataset as dataset_lib

REPORT_STEPS = 10  # steps between two lines of metrics.jsonl
PRINT_SECS = 5.0  # at least, between two lines where there is no terminal
SUMMARY_CLIPS = 4


def name_skipped(path: str, reason: str) -> None:
    """Names a file that breaks on the way and is left out from then on."""
    logging.warning("skipped: %r: %s", path, reason)


class Silence:
    """The journal of a worker that is not the chief: it tells nothing."""

    def time_waits(self, dataset: tf.data.Dataset) -> Iterator[tf.Tensor]:
        """Passes batches on."""
        return iter(dataset)

    def record(
        self, step: int, losses: dict[str, tf.Tensor], batches: tf.Tensor
    ) -> None:
        """Lets the chief tell."""

    def skip(self, path: str, reason: str) -> None:
        """Names a file that breaks on the way, but on the terminal."""
        name_skipped(path, reason)

    def close(self) -> None:
        """Leaves all as it is."""


class Journal:
    """Reports the progress of a training; a full disk is reported, too.

    Args:
      gan: That is trained.
      directory: Its train dir.
      sample_rate: Of its sound, in Hz.
      settings: Of the run.
      step: That it goes on from.
    """

    def __init__(
        self,
        gan: gan_lib.GAN,
        directory: train_dir.TrainDir,
        sample_rate: int,
        settings: config_lib.TrainConfig,
        step: int,
    ) -> None:
        self._gan = gan
        self._sample_rate = sample_rate
        self._settings = settings
        self._path = directory.metrics
        self._skipped = directory.skipped
        self._logs = directory.path / "logs"
        self._step = step
        self._losses: dict[str, tf.Tensor] = {}
        self._seconds = self._cut_metrics(step)
        self._writer = tf.summary.create_file_writer(str(self._logs))
        self._reported_at = time.monotonic()
        self._waited = 0.0
        self._printed_at = self._summarised_at = -math.inf
        self._said: set[str] = set()
        z = tf.random.stateless_uniform(
            [SUMMARY_CLIPS, gan.latent_dim], [settings.seed, 0], -1.0, 1.0
        )
        self._shown = (
            z,
            dataset_lib.labels_in_turn(SUMMARY_CLIPS, gan.num_labels),
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
        with contextlib.suppress(tf.errors.OpError):
            self._writer.close()

    def _cut_metrics(self, step: int) -> float:
        """Drops lines of steps to come again; returns seconds so far."""
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
        """Takes in what one step gave, which has to be numbers."""
        self._losses = losses
        self._bar.update()
        last = step == self._settings.max_steps
        if is_due(step) or last:
            self._report(step, last)
        now = time.monotonic()
        if now - self._summarised_at >= self._settings.summary_secs or last:
            x = batches[0] if self._gan.num_labels else batches
            self._summarise(step, x[-1])
            self._summarised_at = time.monotonic()

    def skip(self, path: str, reason: str) -> None:
        """Names a file that breaks on the way and is left out from then on."""
        name_skipped(path, reason)
        with contextlib.suppress(OSError), self._skipped.open("a") as file:
            file.write(f"{path!r}: {reason}\n")

    def _report(self, step: int, last: bool) -> None:
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
        self._append(json.dumps(line) + "\n")
        with self._events(step):
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

    def _append(self, line: str) -> None:
        """Adds a whole line to the metrics, or none."""
        try:
            with self._path.open("ab", buffering=0) as file:
                end = file.tell()
                if file.write(line.encode()) < len(line):
                    file.truncate(end)
                    raise OSError(f"no room in {self._path}")
        except OSError as error:
            self._say("metrics", True, f"metrics are lost: {error}")
        else:
            self._say("metrics", False)

    def _summarise(self, step: int, x: tf.Tensor) -> None:
        """Lets TensorBoard play and show real clips x and generated ones."""
        rate = self._sample_rate
        x = x[:SUMMARY_CLIPS]
        fake = self._gan.generate(*self._shown)
        signs = collapse.Signs(
            fake.numpy(),
            float(self._losses["d_loss"]),
            self._gan.objective.bounded,
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
            for name, goes_off in collapse.raised(signs).items():
                goes_off &= step > 1  # a fresh generator may well be silent
                tf.summary.scalar(f"alarm/{name}", float(goes_off))
                text = f"{collapse.ALARMS[name][1]}: {collapse.REMEDY}"
                self._say(name, goes_off, f"step {step}: {text}")

    @contextlib.contextmanager
    def _events(self, step: int, whole: bool = False) -> Iterator[None]:
        """Writes for TensorBoard; tells if that is lost.

        Args:
          step: That the events are of.
          whole: Flush, and look whether the file grew: TensorFlow does not
            always say that a disk is full or a folder gone.
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
            self._say("logs", lost, text)

    def _event_bytes(self) -> int:
        with contextlib.suppress(OSError):
            return sum(file.stat().st_size for file in self._logs.iterdir())
        return 0

    def _say(self, name: str, wrong: bool, text: str = "") -> None:
        """Warns once, and again when it was well in between."""
        if wrong and name not in self._said:
            logging.warning("%s", text)
        (self._said.add if wrong else self._said.discard)(name)


def is_due(step: int) -> bool:
    """Whether a step gets a line of metrics."""
    return step % REPORT_STEPS == 0 or step == 1
