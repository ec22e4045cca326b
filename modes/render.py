"""Renders latent vectors as audio, with pictures of it beside."""

import contextlib
import io
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from audio import plots, write
from modes import latents
from networks import audio_model as audio_model_lib
from system import atomic
from training import config as config_lib
from training import dataset, train_dir

BATCH_SIZE = 64  # clips that go through the generator at once
SHOWN_CLIPS = 16  # in a picture
SHOWN_COLUMNS, SHOWN_CELLS = 4, 40  # in one that has a row for each word
POLL_SECS = 5.0  # between two looks for a new checkpoint


def generate_audio(
    generate: Callable[..., tf.Tensor],
    z: np.ndarray,
    labels: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Yields the audio of each latent vector, `[slice_len, channels]`.

    Args:
      generate: Maps some latent vectors, and their labels if there are any, to
        audio; `AudioModel.generate`.
      z: Latent vectors, `[num_clips, latent_dim]`.
      labels: Of each clip, int32, `[num_clips]`; None if there are none.
    """
    inputs = (z,) if labels is None else (z, labels)
    for start in range(0, len(z), BATCH_SIZE):
        part = (array[start : start + BATCH_SIZE] for array in inputs)
        yield from generate(*part).numpy()


def write_clips(
    clips: np.ndarray,
    real: np.ndarray | None,
    step: int,
    rate: int,
    wav: pathlib.Path,
    words: Sequence[str],
) -> None:
    """Writes one WAV of all clips, and a picture of some beside it."""
    write.write(wav, string_together(clips, rate), rate)
    groups = {} if real is None else {"real": real}
    if words:
        rows = clips.reshape(len(words), -1, *clips.shape[1:])
        rows = rows[:, : _shown_columns(rows.shape[1], words)]
        shown = rows.reshape(-1, *clips.shape[1:])
    else:
        shown = clips[:SHOWN_CLIPS]
    groups[f"generated, step {step}"] = shown
    picture = plots.draw_clips(groups, rate, words)
    atomic.write(wav.with_suffix(".png"), picture)


def write_samples(
    audio_model: audio_model_lib.AudioModel,
    config: config_lib.RunConfig,
    step: int,
    folder: pathlib.Path,
    num_clips: int = 32,
) -> None:
    """Writes `samples.wav` and `samples.png`: clips of the first seeds.

    Args:
      audio_model: Generator with the weights of the step.
      config: Config of the run.
      step: Number of generator updates.
      folder: Folder of the two files.
      num_clips: Number of clips, as in a preview.
    """
    words = config.data.words
    num_z = num_vectors(num_clips, words)
    z = latents.sample_z(num_z, audio_model.latent_dim, seed=0)
    real = real_clips(config, num_z)
    clips = generate_rows(audio_model, z, words)
    rate = config.data.sample_rate
    write_clips(clips, real, step, rate, folder / "samples.wav", words)


def num_vectors(num_clips: int, words: Sequence[str]) -> int:
    """Returns how many latent vectors make so many clips of all words."""
    return max(1, num_clips // len(words)) if words else num_clips


def _shown_columns(num_columns: int, words: Sequence[str]) -> int:
    """Columns of a picture with a row for each word."""
    return min(num_columns, SHOWN_COLUMNS, max(1, SHOWN_CELLS // len(words)))


def generate_rows(
    audio_model: audio_model_lib.AudioModel, z: np.ndarray, words: Sequence[str]
) -> np.ndarray:
    """Clips of all words by all latent vectors, word after word."""
    inputs = latents.rows_of_words(z, len(words)) if words else (z,)
    return np.stack(list(generate_audio(audio_model.generate, *inputs)))


def real_clips(
    config: config_lib.RunConfig, num_columns: int
) -> np.ndarray | None:
    """Returns real clips, laid out like those of so many latent vectors."""
    if words := config.data.words:
        shown = _shown_columns(num_columns, words)
        return dataset.real_clips_of_words(config, shown)
    return dataset.real_clips(config, min(num_columns, SHOWN_CLIPS))


def string_together(
    clips: Sequence[np.ndarray] | np.ndarray, sample_rate: int
) -> np.ndarray:
    """Joins clips to one recording, half a second of silence after each."""
    gap = np.zeros((sample_rate // 2, clips[0].shape[-1]), np.float32)
    return np.concatenate([part for clip in clips for part in (clip, gap)])


def fixed_z(path: pathlib.Path, num_clips: int, latent_dim: int) -> np.ndarray:
    """Reads latent vectors from a file, or draws and writes them."""
    # Differs from the original: no pickle, which runs what it reads.
    with contextlib.suppress(OSError, ValueError, EOFError):
        # Mapped, a file whose header asks for more than it holds is an error.
        z = np.load(path, mmap_mode="r", allow_pickle=False)
        if z.shape == (num_clips, latent_dim) and z.dtype == np.float32:
            return np.array(z)
    z = latents.sample_z(num_clips, latent_dim, seed=0)
    buffer = io.BytesIO()
    np.save(buffer, z, allow_pickle=False)
    atomic.write(path, buffer.getvalue())
    return z


def watch(
    audio_model: audio_model_lib.AudioModel,
    directory: train_dir.TrainDir,
    once: bool,
) -> Iterator[int]:
    """Restores each checkpoint as it comes; yields its step.

    It ends after one if `once`, if the train dir names a step, and if it holds
    released weights.
    """
    if once or directory.step or directory.is_release:
        yield train_dir.restore(audio_model, directory)
        return
    seen, tried, waiting = -1, -1, False
    while True:
        newest = directory.checkpoints.latest_step()
        # The newest may be damaged, and restore the one that was seen.
        if newest is not None and newest > tried:
            tried, step = newest, train_dir.restore(audio_model, directory)
            if step > seen:
                seen, waiting = step, False
                yield step
        elif not waiting:
            waiting = True
            logging.info(
                "waiting for a checkpoint in %s (Ctrl-C stops)",
                directory.checkpoints.folder,
            )
        else:
            time.sleep(POLL_SECS)
