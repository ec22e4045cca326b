"""Manages the train dir: the files of a run, its config and its lock."""

import contextlib
import fcntl
import json
import math
import os
import pathlib
import platform
import shutil
import socket
import time
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from networks import audio_model as audio_model_lib
from system import atomic, disk
from training import checkpoints, weights
from training import config as config_lib


def versions() -> dict[str, str]:
    """Returns the versions of the numerical libraries."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


class LockedError(ValueError):
    """Another process trains in the train dir."""


class TrainDir:
    """The folder of a run.

    Args:
      path: Its folder, which need not exist yet.
      step: Step of the checkpoint that `restore` reads; 0: the newest.
    """

    def __init__(self, path: str | os.PathLike[str], step: int = 0) -> None:
        self.path = pathlib.Path(path)
        self.step = step
        self.milestones = self.path / "milestones"
        self.checkpoints = checkpoints.Checkpoints(self.path / "checkpoints")
        self.metrics = self.path / "metrics.jsonl"
        self.skipped = self.path / "skipped.txt"
        self.moments = self.path / "moments.npz"
        self._config = self.path / "config.json"
        self._lock = self.path / ".lock"

    def read_config(
        self, model: type[audio_model_lib.Config]
    ) -> config_lib.RunConfig:
        """Reads the config of the run from `config.json`.

        Args:
          model: Dataclass of the networks' settings.

        Raises:
          FileNotFoundError: This is no train dir.
          ValueError: The file is damaged, or of another model.
        """
        try:
            values = json.loads(self._config.read_text())
            return config_lib.from_json(values, model)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{self.path} holds no training ({self._config} is missing): "
                f"start one with the mode `train`"
            ) from None
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(
                f"{self._config} is of another model or damaged ({error}): use "
                "the program that made it, restore it, or start anew in "
                "another train dir"
            ) from None

    @property
    def is_release(self) -> bool:
        """Whether the folder holds released weights and no checkpoint."""
        released = (self.path / weights.GENERATOR).exists()
        return released and self.checkpoints.latest_step() is None

    def exists(self) -> bool:
        """Returns whether a run was started here.

        Raises:
          PermissionError: That cannot be seen.
        """
        try:
            self._config.stat()
        except FileNotFoundError:
            return False
        return True

    def write_config(self, config: config_lib.RunConfig) -> None:
        """Writes `config.json` atomically, with the versions of libraries."""
        values = {**config_lib.to_json(config), "versions": versions()}
        text = json.dumps(values, indent=2) + "\n"
        # A full disk could not hold it a second time.
        if not self.exists() or self._config.read_text() != text:
            atomic.write(self._config, text.encode())

    def copy(self, step: int, target: pathlib.Path) -> pathlib.Path:
        """Copies config and a checkpoint or released weights to a train dir.

        Raises:
          FileNotFoundError: There is no such checkpoint.
        """
        shutil.rmtree(target, ignore_errors=True)
        if self.is_release:
            target.mkdir(parents=True)
            for path in self.path.glob("*.npz"):
                shutil.copy(path, target)
        else:
            self.checkpoints.copy(step, TrainDir(target).checkpoints.folder)
        self.copy_settings(target)
        return target

    def keep_milestone(self, step: int) -> None:
        """Copies a checkpoint to milestones/STEP, a train dir of its own."""
        draft = self.copy(step, self.milestones / ".part")
        target = self.milestones / str(step)
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)

    def milestone_steps(self) -> list[int]:
        """Steps of all milestones, in order."""
        names = [path.name for path in self.milestones.glob("*")]
        return sorted(int(name) for name in names if name.isdecimal())

    def seconds_since_milestone(self) -> float:
        """Seconds since the last milestone; infinite if there is none."""
        times = [
            (self.milestones / str(step)).stat().st_mtime
            for step in self.milestone_steps()
        ]
        return time.time() - max(times, default=-math.inf)

    def copy_settings(self, target: pathlib.Path) -> None:
        """Copies the files that the networks need besides their weights."""
        for path in (self._config, self.moments):
            if path.exists():  # not all models have moments
                atomic.write(target / path.name, path.read_bytes())

    def copy_moments(self, target: "TrainDir") -> None:
        """Copies the moments of spectrograms to another train dir, if any."""
        if self.moments.exists():
            atomic.write(target.moments, self.moments.read_bytes())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Makes the folder, and locks it against other trainers.

        The lock ends with its process.

        Raises:
          LockedError: Another process trains here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as file:
            loss = "nothing keeps a second training out of this train dir"
            try:
                with disk.optional("lock files", loss):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise LockedError(
                    f"{self.path} is being trained by process {file.read()}: "
                    "stop it, or choose another train dir"
                ) from None
            with contextlib.suppress(OSError):  # the disk may be full
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
            return  # out of reach, not gone: a save will show
        raise FileNotFoundError(
            f"{self.path} was removed or replaced while it was trained: "
            "nothing more is written there; start anew"
        )


def restore(
    audio_model: audio_model_lib.AudioModel, directory: TrainDir
) -> int:
    """Restores the checkpoint of `directory.step`, or released weights.

    If that is 0, the newest valid checkpoint is restored.

    Args:
      audio_model: Built as the train dir's config says.
      directory: Where the weights are.

    Returns:
      Step of the weights.

    Raises:
      FileNotFoundError: There is no checkpoint, or none of that step.
      ValueError: The checkpoint has other shapes or is damaged; for step 0,
        all are damaged.
    """
    if step := directory.step:
        saved, kept = directory.checkpoints.steps(), directory.milestone_steps()
        if step not in {*saved, *kept}:
            there = ", ".join(map(str, sorted({*saved, *kept}))) or "none"
            raise FileNotFoundError(
                f"{directory.path} holds no checkpoint of step {step}: there "
                f"are the steps {there}"
            )
        if step not in saved:
            directory = TrainDir(directory.milestones / str(step))
        directory.checkpoints.restore_step(audio_model, step)
        return step
    if directory.is_release:
        return weights.load(audio_model, directory.path)
    return directory.checkpoints.restore(audio_model)
