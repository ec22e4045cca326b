"""Saves checkpoints whole, with checksums, and restores the newest valid one.

`ckpt-STEP.index`, `ckpt-STEP.data-*` are TensorFlow's; `ckpt-STEP.sha256` is
what `sha256sum -c` reads.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from networks import audio_model as audio_model_lib
from system import atomic

KEPT = 3  # checkpoints of a run, unless it says otherwise


class CorruptError(ValueError):
    """There are checkpoints, and none can be read."""


class Checkpoints:
    """The checkpoints of one run.

    Args:
      folder: Their folder; the first `save` makes it.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """Returns the steps of all checkpoints, in order."""
        return self._find_steps("index")

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint, or None."""
        return max(self.steps(), default=None)

    def path(self, step: int) -> str:
        """Returns the path of a checkpoint as TensorFlow expects it."""
        return str(self.folder / f"ckpt-{step}")

    def save(
        self,
        audio_model: audio_model_lib.AudioModel,
        step: int,
        keep: int = KEPT,
    ) -> None:
        """Saves a run's state, whole or not at all; drops the oldest.

        Where the disk is too small for one more, only the newest is kept.

        Args:
          audio_model: The model.
          step: Its step.
          keep: Number of checkpoints to keep, the newest.

        Raises:
          OSError: It cannot be saved; the newest that was there still is.
        """
        draft = self._draft
        shutil.rmtree(draft, ignore_errors=True)
        try:
            self.folder.mkdir(exist_ok=True)
            draft.mkdir()
            made = draft.stat()
            if shutil.disk_usage(draft).free < size(audio_model):
                self._drop_all_but(1)
            variables(audio_model).write(str(draft / f"ckpt-{step}"))
            if not os.path.samestat(draft.stat(), made):
                # TensorFlow made the folders of a removed run anew.
                shutil.rmtree(draft)
                for folder in (self.folder, self.folder.parent):
                    with contextlib.suppress(OSError):  # it is in use again
                        folder.rmdir()
                raise FileNotFoundError(f"{self.folder} was removed")
            sums = draft / f"ckpt-{step}.sha256"
            sums.write_bytes(_checksums(_files(draft, step)))
            self._drop(step)
            files = _index_last(draft.iterdir())
            atomic.move(files, [self.folder / file.name for file in files])
        except tf.errors.OpError as error:
            # Without TensorFlow's names of its own operations.
            text = re.sub(r"{{.*?}} ?| ?\[Op:.*", "", error.message)
            raise OSError(" ".join(text.split())) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._drop_all_but(keep)

    def restore(
        self, audio_model: audio_model_lib.AudioModel, repair: bool = False
    ) -> int:
        """Restores the newest valid checkpoint; warns of damaged ones.

        Args:
          audio_model: Of the shape that was trained; if it is compiled, the
            optimizers are restored as well.
          repair: Rename damaged ones to `*.corrupt` if there is a valid one.
            Only the process that trains may.

        Returns:
          Its step.

        Raises:
          FileNotFoundError: There is no checkpoint.
          CorruptError: None of them can be read.
          ValueError: It is of another shape.
        """
        faults: dict[int, str] = {}
        # What lost its index is no checkpoint any more, but it was one.
        while steps := [s for s in self._find_steps(".*") if s not in faults]:
            step = steps[-1]
            fault = self._fault(step) or _read(audio_model, self.path(step))
            if not fault:
                for damaged in faults if repair else ():
                    self._put_aside(damaged)
                return step
            # If training dropped it meanwhile, there are newer ones.
            if step in self._find_steps(".*"):
                logging.warning(
                    "%s is damaged (%s): trying the one before",
                    self.path(step),
                    fault,
                )
            faults[step] = fault
        if not faults:
            raise FileNotFoundError(
                f"{self.folder} holds no checkpoint yet: train first, or wait "
                "for the first save"
            )
        raise CorruptError(
            f"no checkpoint in {self.folder} can be read ({fault}): restore "
            "one from a backup, or start anew in another train dir"
        )

    def restore_step(
        self, audio_model: audio_model_lib.AudioModel, step: int
    ) -> None:
        """Restores the checkpoint of one step.

        Raises:
          CorruptError: It is damaged.
          ValueError: It is of another shape.
        """
        if fault := self._fault(step) or _read(audio_model, self.path(step)):
            raise CorruptError(
                f"{self.path(step)} is damaged ({fault}): choose another step"
            )

    def recover(self) -> None:
        """Completes or undoes a killed save; only for the training process."""
        files = _index_last(self._draft.glob("ckpt-*.*"))
        begun = [file for file in files if file.suffix == ".index"]
        for index in begun:
            outside = self._all_files(int(index.stem.split("-")[1]))
            # All are flushed before the first is moved.
            if outside and outside[-1].suffix != ".index":
                atomic.move(files, [self.folder / file.name for file in files])
        shutil.rmtree(self._draft, ignore_errors=True)

    def copy(self, step: int, folder: pathlib.Path) -> None:
        """Copies one checkpoint into another folder, which is made."""
        folder.mkdir(parents=True)
        sums = self.folder / f"ckpt-{step}.sha256"
        for file in [sums, *_files(self.folder, step)]:
            if file.exists():
                shutil.copy(file, folder)

    def check_room(self, audio_model: audio_model_lib.AudioModel) -> None:
        """Raises an OSError unless the disk holds two checkpoints."""
        self.folder.mkdir(exist_ok=True)
        space = shutil.disk_usage(self.folder).free
        space += sum(file.stat().st_size for file in self.folder.glob("ckpt-*"))
        if space < 2 * size(audio_model):
            raise OSError(
                f"{self.folder} has space for {space / 1e6:.1f} MB, but two "
                f"checkpoints take {2 * size(audio_model) / 1e6:.1f} MB: free "
                "some space, or choose another train dir"
            )

    @property
    def _draft(self) -> pathlib.Path:
        return self.folder / ".part"

    def _fault(self, step: int) -> str:
        """Describes what is wrong with a checkpoint's files, if anything."""
        sums = self.folder / f"ckpt-{step}.sha256"
        try:
            # Without checksums, TensorFlow's own have to do.
            wanted = sums.read_bytes() if sums.exists() else None
            found = _checksums(_files(self.folder, step))
        except FileNotFoundError as error:
            return f"{error.filename} is missing"
        return "" if wanted in (None, found) else f"{sums} does not match"

    def _put_aside(self, step: int) -> None:
        for file in reversed(self._all_files(step)):
            file.rename(file.with_name(file.name + ".corrupt"))

    def _drop(self, step: int) -> None:
        for file in reversed(self._all_files(step)):
            file.unlink()

    def _drop_all_but(self, number: int) -> None:
        """Drops the oldest, and lists the others for TensorFlow."""
        kept = self.steps()[-number:]
        for step in self._find_steps(".*"):
            if kept and step < kept[0]:
                self._drop(step)
        names = [f'"ckpt-{step}"' for step in self.steps()]
        lines = [f"all_model_checkpoint_paths: {name}\n" for name in names]
        lines[:0] = [f"model_checkpoint_path: {name}\n" for name in names[-1:]]
        with contextlib.suppress(OSError):  # nothing here depends on it
            atomic.write(self.folder / "checkpoint", "".join(lines).encode())

    def _all_files(self, step: int) -> list[pathlib.Path]:
        files = self.folder.glob(f"ckpt-{step}.*")
        return _index_last(f for f in files if f.suffix != ".corrupt")

    def _find_steps(self, ending: str) -> list[int]:
        """Steps of the files with an ending, a pattern, in order.

        They are read from the files, since TensorFlow's list may be lost. A
        folder that cannot be read is an error: it is not empty.
        """
        try:
            names = [file.name for file in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        pattern = re.compile(rf"ckpt-(\d+)\.{ending}(?<!\.corrupt)")
        return sorted({int(m[1]) for m in map(pattern.fullmatch, names) if m})


def _index_last(files: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Sorts files with the index last: it makes a checkpoint visible."""
    return sorted(files, key=lambda file: (file.suffix == ".index", file.name))


def _files(folder: pathlib.Path, step: int) -> list[pathlib.Path]:
    """Returns the files that TensorFlow wrote, the index last."""
    index = folder / f"ckpt-{step}.index"
    return [*sorted(folder.glob(f"ckpt-{step}.data-*-of-?????")), index]


def _checksums(files: list[pathlib.Path]) -> bytes:
    """Returns the SHA-256 of files, as `sha256sum` writes them."""
    lines = []
    for path in files:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        lines.append(f"{digest.hexdigest()}  {path.name}\n")
    return "".join(lines).encode()


def _read(audio_model: audio_model_lib.AudioModel, path: str) -> str:
    """Reads a checkpoint; returns what kept it from being read, or nothing."""
    try:
        status = variables(audio_model).read(path)
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError):
        raise ValueError(
            f"{path} does not fit the networks of config.json: one of the two "
            "comes from another run"
        ) from None
    except Exception as error:  # TensorFlow has many words for damage
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def size(audio_model: audio_model_lib.AudioModel) -> int:
    """Bytes that a checkpoint of a model takes."""
    return sum(
        variable.shape.num_elements() * variable.dtype.size
        for variable in tf.nest.flatten(_parts(audio_model))
    )


def variables(audio_model: audio_model_lib.AudioModel) -> tf.train.Checkpoint:
    """Returns all variables of a run, by names that do not depend on Keras."""
    return tf.train.Checkpoint(**_parts(audio_model))


def _parts(audio_model: audio_model_lib.AudioModel) -> dict[str, Any]:
    def weights(network: keras.Model) -> dict[str, tf.Variable]:
        return {weight.path: weight.value for weight in network.weights}

    parts: dict[str, Any] = {
        **{name: weights(net) for name, net in audio_model.networks.items()},
        **{
            f"ema_{name}": weights(average)
            for name, average in audio_model.averages.items()
        },
        "step": audio_model.step,
        "seed": audio_model.seed,
    }
    if audio_model.compiled:
        for name, optimizer in audio_model.optimizers.items():
            parts[name] = [variable.value for variable in optimizer.variables]
    return parts
