"""Writes audio and a picture of each new checkpoint: the mode preview."""

import tensorflow as tf

from modes import render
from networks import audio_model as audio_model_lib
from training import config as config_lib
from training import train_dir


def preview(
    audio_model: audio_model_lib.AudioModel,
    directory: train_dir.TrainDir,
    config: config_lib.RunConfig,
    *,
    num_clips: int = 32,
    once: bool = False,
) -> None:
    """Writes audio and a picture of each new checkpoint, from the same z.

    Writes `preview/00000200.wav` (all clips, half a second apart), a picture
    of them (beside real ones, while the data are there) and TensorBoard audio.
    If the model knows words, the picture has a row for each, the same latent
    vector in all rows of a column; the WAV holds row after row.

    Args:
      audio_model: Built as the config says.
      directory: A train dir; it may be training.
      config: Of its run.
      num_clips: Clips in a preview; with words, as many columns as fit in, at
        least one. Latent vectors are drawn once and kept.
      once: Stop after the newest checkpoint there is.

    Raises:
      FileNotFoundError: `once`, and there is no checkpoint.

    Source: the mode `preview` of the authors' code.
    """
    folder = directory.path / "preview"
    words = config.data.words
    num_z = render.num_vectors(num_clips, words)
    real = None
    for step in render.watch(audio_model, directory, once):
        folder.mkdir(exist_ok=True)
        z = render.fixed_z(folder / "z.npy", num_z, audio_model.latent_dim)
        if real is None:
            real = render.real_clips(config, num_z)
        wav = folder / f"{step:08d}.wav"
        clips = render.generate_rows(audio_model, z, words)
        rate = config.data.sample_rate
        render.write_clips(clips, real, step, rate, wav, words)
        writer = tf.summary.create_file_writer(str(wav.with_name("logs")))
        with writer.as_default(step=step):
            tf.summary.audio("preview", clips, rate, max_outputs=len(clips))
        writer.close()
        print(f"step {step}: {wav} {wav.with_suffix('.png')}", flush=True)
