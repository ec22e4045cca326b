"""The config of a run: the settings of its data and its training."""

import dataclasses
import math
from typing import Any, TypeVar

import gan as gan_lib
import loader
import losses
from eval import labels
from networks import augmentation, precision, spectral_critic

LABELS = ("", "words")
Section = TypeVar("Section")  # a dataclass


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which audio to learn, and how to cut it. See `loader.make_dataset`.

    Attributes:
      dir: Folder of audio files.
      sample_rate: In Hz; other files are resampled.
      overlap_ratio: Of one slice with the next.
      first_slice: Only the first slice of each file, padded.
      pad_end: Keep, padded, what is left at a file's end.
      normalize: Bring each file's peak to 1.
      fast_wav: Promise that no file needs conversion; refuse those that do.
      prefetch_gpu_num: The GPU that batches wait on; negative: none.
      cache: Where decoded audio is kept: none, memory, disk or auto.
      max_bad: Share of unusable files above which training does not start.
      labels: What both networks learn of each clip beside its sound: "words",
        read from the names of the files (see `eval.labels`); "": nothing.
      words: Those words, in the order of the labels; known once a run began.

    Raises:
      ValueError: A field is out of its range.
    """

    dir: str = ""
    sample_rate: int = 16000
    overlap_ratio: float = 0.0
    first_slice: bool = False
    pad_end: bool = False
    normalize: bool = False
    fast_wav: bool = False
    prefetch_gpu_num: int = 0
    cache: str = "auto"
    max_bad: float = 0.01
    labels: str = ""
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks what only a command line can get wrong."""
        _check_range("sample_rate", self.sample_rate, 1, math.inf)
        _check_range("overlap_ratio", self.overlap_ratio, 0, 0.999)
        _check_range("max_bad", self.max_bad, 0, 1)
        if self.cache not in loader.CACHES:
            raise ValueError(
                f"cache is {self.cache!r}: expected one of "
                + ", ".join(loader.CACHES)
            )
        if self.labels not in LABELS:
            raise ValueError(
                f"labels is {self.labels!r}: expected one of "
                + ", ".join(map(repr, LABELS))
            )
        labels.check_words(self.words)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How to train. The defaults are the paper's.

    Attributes:
      loss: A key of `losses.OBJECTIVES`.
      critic_steps: Discriminator updates for each generator update.
      batch_size: Clips in each of them.
      learning_rate: Of both optimizers; 0: the loss's own (1e-4 for wgan-gp).
      disc_learning_rate: Of the discriminator's; 0: as the generator's.
      penalty_weight: Of the loss's slope penalty; 0: the loss's own.
      penalty_interval: Discriminator updates from one penalty to the next.
      ema_decay: Of the generator's running average, a step; 0: none.
      augment: How clips are changed before the discriminator hears them: names
        of `augmentation.KINDS`, between commas; "": not at all.
      spectral_critics: Discriminators of spectrograms beside the waveform's.
      spectral_dim: Channels of their first layers.
      seed: Of weights, data order and all other draws.
      deterministic: Use no operation whose result depends on its timing.
      jit: Compile the step by XLA, which draws other numbers from a seed.
      precision: A key of `precision.POLICIES`.
      max_steps: Generator updates to stop after; 0: never.
      save_secs: Between two checkpoints.
      summary_secs: Between two sounds and pictures for TensorBoard.

    Raises:
      ValueError: A field is out of its range.
    """

    loss: str = "wgan-gp"
    critic_steps: int = 5
    batch_size: int = 64
    learning_rate: float = 0.0
    disc_learning_rate: float = 0.0
    penalty_weight: float = 0.0
    penalty_interval: int = 1
    ema_decay: float = 0.0
    augment: str = ""
    spectral_critics: int = 0
    spectral_dim: int = 8
    seed: int = 0
    deterministic: bool = False
    jit: bool = False
    precision: str = "fp32"
    max_steps: int = 0
    save_secs: float = 300.0
    summary_secs: float = 120.0

    def __post_init__(self) -> None:
        """Checks every field."""
        losses.find(self.loss)
        gan_lib.check(self.critic_steps, self.ema_decay, self.penalty_interval)
        augmentation.parse(self.augment)
        most = spectral_critic.MAX_CRITICS
        _check_range("spectral_critics", self.spectral_critics, 0, most)
        _check_range("spectral_dim", self.spectral_dim, 1, 1024)
        _check_range("batch_size", self.batch_size, 1, math.inf)
        _check_range("learning_rate", self.learning_rate, 0, 1)
        _check_range("disc_learning_rate", self.disc_learning_rate, 0, 1)
        _check_range("penalty_weight", self.penalty_weight, 0, math.inf)
        _check_range("seed", self.seed, 0, 2**31 - 1)
        precision.check(self.precision)
        _check_range("max_steps", self.max_steps, 0, math.inf)
        _check_range("save_secs", self.save_secs, 0, math.inf)
        _check_range("summary_secs", self.summary_secs, 0, math.inf)


# What may differ when a run goes on: it does not change what is learnt.
RESUMABLE = {
    ("data", "dir"),
    ("data", "fast_wav"),
    ("data", "prefetch_gpu_num"),
    ("data", "cache"),
    ("data", "max_bad"),
    ("model", "iterations"),
    ("train", "max_steps"),
    ("train", "save_secs"),
    ("train", "summary_secs"),
}


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        limit = f" to {high}" if math.isfinite(high) else " or more"
        raise ValueError(f"{name} is {value}: expected {low}{limit}")


def from_json(kind: type[Section], values: dict[str, Any]) -> Section:
    """Makes a section of a config from what a file, maybe a stranger's, holds.

    Raises:
      ValueError: A field is of the wrong type, or out of its range.
      TypeError: There is no such field.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{values!r} is no section")
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        value = values.get(field.name, field.default)
        wanted = type(field.default)
        if wanted is tuple and isinstance(value, list):  # JSON's tuples
            values = {**values, field.name: (value := tuple(value))}
        if type(value) is not wanted and (type(value), wanted) != (int, float):
            raise ValueError(
                f"{field.name} is {value!r}: expected {wanted.__name__}"
            )
    return kind(**values)
