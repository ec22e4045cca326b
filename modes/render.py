"""What one does with a trained generator: listen, make clips, pass it on.

Each mode is a plain function of a GAN and the train dir that it was restored
from (`train_dir.restore`), or is to be.
"""

import contextlib
import io
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

import gan as gan_lib
from audio import plots, write
from modes import latents
from system import atomic
from training import dataset, train_dir, weights

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
        audio; `gan.GAN.generate`.
      z: Latent vectors, `[num_clips, latent_dim]`.
      labels: Of each clip, int32, `[num_clips]`; None if there are none.
    """
    inputs = (z,) if labels is None else (z, labels)
    for start in range(0, len(z), BATCH_SIZE):
        part = (array[start : start + BATCH_SIZE] for array in inputs)
        yield from generate(*part).numpy()


def preview(
    gan: gan_lib.GAN,
    directory: train_dir.TrainDir,
    *,
    num_clips: int = 32,
    once: bool = False,
) -> None:
    """Makes every new checkpoint heard and seen, by the same latent vectors.

    Writes `preview/00000200.wav` (all clips, half a second apart), a picture
    of them (beside real ones, while the data are there) and TensorBoard audio.
    If the model knows words, the picture has a row for each, the same latent
    vector in all rows of a column; the WAV holds row after row.

    Args:
      gan: Built as the train dir's config says.
      directory: A train dir; it may be training.
      num_clips: Clips in a preview; with words, as many columns as fit in, at
        least one. Latent vectors are drawn once and kept.
      once: Stop after the newest checkpoint there is.

    Raises:
      FileNotFoundError: `once`, and there is no checkpoint.

    Source: the mode `preview` of the authors' code.
    """
    folder = directory.path / "preview"
    config = directory.read_config()
    words = config["data"].get("words", ())
    num_z = _columns(num_clips, words)
    real = None
    for step in watch(gan, directory, once):
        folder.mkdir(exist_ok=True)
        z = fixed_z(folder / "z.npy", num_z, gan.latent_dim)
        if real is None:
            real = _real_clips(config, num_z)
        wav = folder / f"{step:08d}.wav"
        clips = _generate_rows(gan, z, words)
        rate = config["data"]["sample_rate"]
        _write_clips(clips, real, step, rate, wav, words)
        writer = tf.summary.create_file_writer(str(wav.with_name("logs")))
        with writer.as_default(step=step):
            tf.summary.audio("preview", clips, rate, max_outputs=len(clips))
        writer.close()
        print(f"step {step}: {wav} {wav.with_suffix('.png')}", flush=True)


def _write_clips(
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


def _columns(num_clips: int, words: Sequence[str]) -> int:
    """Latent vectors that so many clips are made of, each with all words."""
    return max(1, num_clips // len(words)) if words else num_clips


def _shown_columns(num_columns: int, words: Sequence[str]) -> int:
    """Columns of a picture with a row for each word."""
    return min(num_columns, SHOWN_COLUMNS, max(1, SHOWN_CELLS // len(words)))


def _generate_rows(
    gan: gan_lib.GAN, z: np.ndarray, words: Sequence[str]
) -> np.ndarray:
    """Clips of all words by all latent vectors, word after word."""
    inputs = latents.rows_of_words(z, len(words)) if words else (z,)
    return np.stack(list(generate_audio(gan.generate, *inputs)))


def _real_clips(
    config: dict[str, dict[str, Any]], num_columns: int
) -> np.ndarray | None:
    """Real clips for a picture, laid out like those by so many vectors."""
    if words := config["data"].get("words", ()):
        shown = _shown_columns(num_columns, words)
        return dataset.real_clips_of_words(config, shown)
    return dataset.real_clips(config, min(num_columns, SHOWN_CLIPS))


def string_together(
    clips: Sequence[np.ndarray] | np.ndarray, sample_rate: int
) -> np.ndarray:
    """One recording of all clips, half a second of silence behind each."""
    gap = np.zeros((sample_rate // 2, clips[0].shape[-1]), np.float32)
    return np.concatenate([part for clip in clips for part in (clip, gap)])


def release(
    gan: gan_lib.GAN,
    directory: train_dir.TrainDir,
    *,
    num_clips: int = 32,
    out_dir: pathlib.Path,
) -> None:
    """Writes what is worth keeping of a run: weights, config, samples.

    `config.json`, `generator.npz` (averaged, if the run averages) and
    `discriminator.npz`, both float16; `samples.wav` and `samples.png`, the
    clips of the first seeds, unchosen, laid out as in a preview.

    Args:
      gan: Built as the train dir's config says.
      directory: A train dir.
      num_clips: In the samples, as in a preview.
      out_dir: Where to; made if missing. `generate` and `export` take it.

    Raises:
      FileNotFoundError: There is no checkpoint.
    """
    step = train_dir.restore(gan, directory)
    config = directory.read_config()
    words = config["data"].get("words", ())
    num_z = _columns(num_clips, words)
    z = latents.sample_z(num_z, gan.latent_dim, seed=0)
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, network in (
        (weights.GENERATOR, gan.ema_generator),
        (weights.DISCRIMINATOR, gan.discriminator),
        *((f"{critic.name}.npz", critic) for critic in gan.spectral_critics),
    ):
        atomic.write(out_dir / name, weights.pack(network, step))
    real = _real_clips(config, num_z)
    directory.copy_settings(out_dir)
    # The folder of the data means nothing on another machine.
    config["data"]["dir"] = ""
    train_dir.TrainDir(out_dir).write_config(config)
    # As whoever unpacks them will hear them.
    weights.load(gan, out_dir)
    clips = _generate_rows(gan, z, words)
    rate = config["data"]["sample_rate"]
    _write_clips(clips, real, step, rate, out_dir / "samples.wav", words)
    print(f"step {step}: {out_dir}")


def fixed_z(path: pathlib.Path, num_clips: int, latent_dim: int) -> np.ndarray:
    """Latent vectors kept in a file, `[num_clips, latent_dim]`."""
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
    gan: gan_lib.GAN, directory: train_dir.TrainDir, once: bool
) -> Iterator[int]:
    """Restores each checkpoint as it comes; yields its step."""
    if once:
        yield train_dir.restore(gan, directory)
        return
    seen, tried, waiting = -1, -1, False
    while True:
        newest = directory.checkpoints.latest_step()
        # The newest may be damaged, and restore the one that was seen.
        if newest is not None and newest > tried:
            tried, step = newest, train_dir.restore(gan, directory)
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
