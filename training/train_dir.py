"""The train dir: what a run is made of, and where it is kept on disk."""

import contextlib
import dataclasses
import fcntl
import json
import math
import os
import pathlib
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

import gan as gan_lib
import loader
import losses
from eval import labels
from networks import augmentation, precision, spectral_critic
from system import atomic
from training import checkpoints, weights

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


def build_gan(
    settings: TrainConfig,
    build_networks: Callable[[], tuple[keras.Model, keras.Model]],
    latent_dim: int,
    kind: Callable[..., gan_lib.GAN] = gan_lib.GAN,
) -> gan_lib.GAN:
    """Builds a GAN as the settings say, not yet compiled.

    Args:
      settings: Of a run.
      build_networks: Makes generator and discriminator, with weights of the
        run's seed.
      latent_dim: Size of z.
      kind: Its class.
    """
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    with precision.of_layers(settings.precision):
        generator, discriminator = build_networks()
        spectral_critics = spectral_critic.build_beside(
            discriminator, settings.spectral_critics, settings.spectral_dim
        )
    return kind(
        generator,
        discriminator,
        latent_dim=latent_dim,
        critic_steps=settings.critic_steps,
        ema_decay=settings.ema_decay,
        penalty_interval=settings.penalty_interval,
        seed=settings.seed,
        augment=augmentation.parse(settings.augment),
        spectral_critics=spectral_critics,
    )


def compile_gan(gan: gan_lib.GAN, settings: TrainConfig) -> None:
    """Compiles a GAN as the settings say: 0 is the objective's own."""
    gan.compile(
        settings.loss,
        jit_compile=settings.jit,
        learning_rate=settings.learning_rate or None,
        disc_learning_rate=settings.disc_learning_rate or None,
        penalty_weight=settings.penalty_weight or None,
    )


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


def versions() -> dict[str, str]:
    """Those of what calculates."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


class LockedError(ValueError):
    """Another process trains in that train dir."""


class TrainDir:
    """One run on disk.

    Args:
      path: Its folder, which need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        self.checkpoints = checkpoints.Checkpoints(self.path / "checkpoints")
        self.metrics = self.path / "metrics.jsonl"
        self.skipped = self.path / "skipped.txt"
        self.moments = self.path / "moments.npz"
        self._config = self.path / "config.json"
        self._lock = self.path / ".lock"

    def read_config(self) -> dict[str, dict[str, Any]]:
        """Reads `config.json`: model, data, train, versions.

        Raises:
          FileNotFoundError: This is no train dir.
          ValueError: The file is damaged.
        """
        try:
            config = json.loads(self._config.read_text())
            from_json(DataConfig, config["data"])
            from_json(TrainConfig, config["train"])
            model = dict(**config["model"])
            num_words = len(config["data"].get("words", ()))
            if model.get("num_labels", 0) != num_words:
                raise ValueError(f"expected num_labels of {num_words} words")
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{self.path} holds no training ({self._config} is missing): "
                f"start one with the mode `train`"
            ) from None
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(
                f"{self._config} is damaged ({error}): restore it, or start "
                "anew in another train dir"
            ) from None
        return config

    def exists(self) -> bool:
        """Whether a run was started here.

        Raises:
          PermissionError: That cannot be seen.
        """
        try:
            self._config.stat()
        except FileNotFoundError:
            return False
        return True

    def write_config(self, config: dict[str, dict[str, Any]]) -> None:
        """Writes `config.json`, whole or not at all, with the versions."""
        text = json.dumps({**config, "versions": versions()}, indent=2) + "\n"
        # A full disk has no room for what is there already.
        if not self.exists() or self._config.read_text() != text:
            atomic.write(self._config, text.encode())

    def copy(self, step: int, target: pathlib.Path) -> pathlib.Path:
        """Copies config and one checkpoint into a train dir of their own.

        Raises:
          FileNotFoundError: There is no such checkpoint.
        """
        shutil.rmtree(target, ignore_errors=True)
        self.checkpoints.copy(step, TrainDir(target).checkpoints.folder)
        self.copy_settings(target)
        return target

    def copy_settings(self, target: pathlib.Path) -> None:
        """Copies what the networks cannot do without, beside their weights."""
        for path in (self._config, self.moments):
            if path.exists():  # not all models have moments
                shutil.copy(path, target)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Makes the folder, and keeps other trainers out of it.

        The lock dies with its process.

        Raises:
          LockedError: Another process trains here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise LockedError(
                    f"{self.path} is being trained by process {file.read()}: "
                    "stop it, or choose another train dir"
                ) from None
            with contextlib.suppress(OSError):  # a full disk has no room for it
                file.truncate(0)
                owner = f"{os.getpid()} on {socket.gethostname()}"
                os.write(file.fileno(), owner.encode())
            self._lock_file = os.fstat(file.fileno())
            yield

    def check_place(self) -> None:
        """Checks that the folder is the one that was locked.

        Raises:
          FileNotFoundError: It was removed, and maybe made anew by others.
        """
        try:
            if os.path.samestat(self._lock.stat(), self._lock_file):
                return
        except FileNotFoundError:
            pass
        except OSError:
            return  # out of reach, not gone: a save will tell
        raise FileNotFoundError(
            f"{self.path} was removed or replaced while it was trained: "
            "nothing more is written there; start anew"
        )


def restore(gan: gan_lib.GAN, directory: TrainDir) -> int:
    """Restores the newest sound checkpoint, or released weights, into a GAN.

    Args:
      gan: Of the shape that was trained.
      directory: Where the weights are.

    Returns:
      Their step.

    Raises:
      FileNotFoundError: There is no checkpoint.
      ValueError: It is of another shape, or damaged as all others are.
    """
    released = (directory.path / weights.GENERATOR).exists()
    if released and directory.checkpoints.latest_step() is None:
        return weights.load(gan, directory.path)
    return directory.checkpoints.restore(gan)
