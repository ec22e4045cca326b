"""What one does with a trained generator: listen, score, make clips, export.

Each mode is a plain function of a GAN and the train dir that it was restored
from (`traindir.restore`), or is to be.
"""

import io
import itertools
import json
import pathlib
import shutil
import time
from collections.abc import Iterator

import numpy as np
import soundfile
import tensorflow as tf
from absl import logging

import gan as gan_lib
import loader
import pictures
import traindir
import trainer
from eval import classifier, features, inception, recipes

BATCH_SIZE = 64  # clips that go through the generator at once
SHOWN_CLIPS = 16  # in a picture
POLL_SECS = 5.0  # between two looks for a new checkpoint


def sample_z(num_clips: int, latent_dim: int, seed: int) -> np.ndarray:
    """Draws latent vectors, `[num_clips, latent_dim]`, uniform in [-1, 1).

    The first k of them do not depend on how many follow.

    Raises:
      ValueError: `num_clips` is below 1.
    """
    if num_clips < 1:
        raise ValueError(f"number of clips is {num_clips}: expected at least 1")
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (num_clips, latent_dim)).astype(np.float32)


def generate_audio(gan: gan_lib.GAN, z: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the audio of each latent vector, `[slice_len, channels]`."""
    for start in range(0, len(z), BATCH_SIZE):
        yield from gan.ema_generator(
            z[start : start + BATCH_SIZE], training=False
        ).numpy()


def write_wav(path: pathlib.Path, audio: np.ndarray, sample_rate: int) -> None:
    """Writes audio, `[num_samples, channels]`, as a 16-bit WAV, or nothing."""
    # Differs from the original: the nearest of 2**16 steps, the inverse of
    # reading; the original scales by 32767 and cuts off the fraction.
    wav = io.BytesIO()
    soundfile.write(
        wav, loader.to_int16(audio), sample_rate, "PCM_16", format="WAV"
    )
    traindir.write_atomically(path, wav.getvalue())


def preview(
    gan: gan_lib.GAN,
    directory: traindir.TrainDir,
    *,
    num_clips: int = 32,
    once: bool = False,
) -> None:
    """Makes every new checkpoint heard and seen, by the same latent vectors.

    Writes `preview/00000200.wav` (all clips, half a second apart), a picture
    of them (beside real ones, while the data are there) and TensorBoard audio.

    Args:
      gan: Built as the train dir's config says.
      directory: A train dir; it may be training.
      num_clips: Clips in a preview. Latent vectors are drawn once and kept.
      once: Stop after the newest checkpoint there is.

    Raises:
      FileNotFoundError: `once`, and there is no checkpoint.

    Source: the mode `preview` of the authors' code.
    """
    folder = directory.path / "preview"
    config = directory.read_config()
    real = None
    for step in _checkpoints(gan, directory, once):
        folder.mkdir(exist_ok=True)
        z = _fixed_z(folder / "z.npy", num_clips, gan.latent_dim)
        if real is None:
            real = trainer.real_clips(config, min(num_clips, SHOWN_CLIPS))
        wav = folder / f"{step:08d}.wav"
        clips = np.stack(list(generate_audio(gan, z)))
        _write_preview(clips, real, step, config["data"]["sample_rate"], wav)
        print(f"step {step}: {wav} {wav.with_suffix('.png')}", flush=True)


def _write_preview(
    clips: np.ndarray,
    real: np.ndarray | None,
    step: int,
    rate: int,
    wav: pathlib.Path,
) -> None:
    """Writes the WAV, the picture beside it, and TensorBoard's sound."""
    gap = np.zeros((rate // 2, clips.shape[-1]), np.float32)
    write_wav(wav, np.concatenate([a for c in clips for a in (c, gap)]), rate)
    groups = {} if real is None else {"real": real}
    groups[f"generated, step {step}"] = clips[:SHOWN_CLIPS]
    traindir.write_atomically(
        wav.with_suffix(".png"), pictures.draw_clips(groups, rate)
    )
    writer = tf.summary.create_file_writer(str(wav.with_name("logs")))
    with writer.as_default(step=step):
        tf.summary.audio("preview", clips, rate, max_outputs=len(clips))
    writer.close()


def incept(
    gan: gan_lib.GAN,
    directory: traindir.TrainDir,
    *,
    classifier_dir: pathlib.Path | None = None,
    num_clips: int = 5000,
    splits: int = 10,
    once: bool = False,
) -> None:
    """Scores every new checkpoint, by the same latent vectors; keeps the best.

    Writes a line of `incept/scores.jsonl` and TensorBoard scalars for each, and
    copies the best so far to `incept/best`, a train dir for the other modes.

    Args:
      gan: Built as the train dir's config says.
      directory: A train dir; it may be training.
      classifier_dir: What `eval.train_classifier` made. If left out, one is
        trained from the names of the training files, in `incept/classifier`.
      num_clips: To score. Latent vectors are drawn once and kept.
      splits: Of the inception score.
      once: Stop after the newest checkpoint there is.

    Raises:
      FileNotFoundError: There is no classifier; or `once`, and no checkpoint.
      ValueError: Names tell no words; or there are too few clips for a split.

    Source: the paper, section 6.1; the mode `incept` of the authors' code.
    """
    if num_clips < 10 * splits or splits < 1:
        raise ValueError(
            f"--incept_n is {num_clips}: expected at least 10 clips for each "
            f"of --incept_k={splits} splits, 1 or more"
        )
    config = directory.read_config()
    folder = directory.path / "incept"
    folder.mkdir(exist_ok=True)
    judge = _find_judge(classifier_dir, folder, config["data"]["dir"])
    settings = {"n": num_clips, "k": splits, "classifier": judge.name}
    path = folder / "scores.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [
        row for row in map(json.loads, lines) if settings.items() <= row.items()
    ]
    writer = tf.summary.create_file_writer(str(folder / "logs"))
    for step in _checkpoints(gan, directory, once):
        row = next((row for row in rows if row["step"] == step), None)
        best = max((row["mean"] for row in rows), default=0.0)
        if row is None:
            # At once: the trainer keeps but a few.
            draft = directory.copy(step, folder / "draft")
            z = _fixed_z(folder / "z.npy", num_clips, gan.latent_dim)
            probs = _listen(gan, z, judge, config["data"]["sample_rate"])
            mean, std = inception.inception_score(probs, splits)
            # Differs from the original: the best is a train dir of its own.
            if mean > best:
                shutil.rmtree(folder / "best", ignore_errors=True)
                draft.rename(folder / "best")
            row = {"step": step, "mean": mean, "std": std, **settings}
            rows.append(row)
            lines.append(json.dumps(row))
            traindir.write_atomically(path, "\n".join([*lines, ""]).encode())
            with writer.as_default(step=step):
                tf.summary.scalar("incept_mean", mean)
                tf.summary.scalar("incept_std", std)
            writer.flush()
        best_row = max(rows, key=lambda row: row["mean"])
        print(
            f"step {step}: inception score {row['mean']:.3f} ± "
            f"{row['std']:.3f} ({num_clips} clips, {splits} splits, classifier "
            f"{judge.name}); best {best_row['mean']:.3f} at step "
            f"{best_row['step']}: {folder / 'best'}",
            flush=True,
        )


def _find_judge(
    classifier_dir: pathlib.Path | None, folder: pathlib.Path, data_dir: str
) -> classifier.Judge:
    """Loads the judge that was given, or trained before; or trains one."""
    own = folder / "classifier"
    if classifier_dir or own.exists():
        return classifier.load(classifier_dir or own)
    logging.info("no --incept_classifier: training one on %s", data_dir)
    try:
        judge, _ = recipes.train(pathlib.Path(data_dir))
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(
            f"no classifier can be trained ({error}); give one by "
            "--incept_classifier"
        ) from None
    judge.save(own)
    return judge


def _listen(
    gan: gan_lib.GAN, z: np.ndarray, judge: classifier.Judge, sample_rate: int
) -> np.ndarray:
    """What a judge hears in generated clips, `[num_clips, num_words]`."""
    audio = generate_audio(gan, z)
    probs = []
    while clips := list(itertools.islice(audio, BATCH_SIZE)):
        heard = features.fit(np.stack(clips), sample_rate)
        probs.append(classifier.predict(judge.model, heard))
    return np.concatenate(probs)


def generate(
    gan: gan_lib.GAN,
    directory: traindir.TrainDir,
    *,
    num_clips: int,
    seed: int,
    out_dir: pathlib.Path,
) -> None:
    """Writes clips `00000.wav`, ... made by the newest checkpoint.

    Args:
      gan: Built as the train dir's config says.
      directory: A train dir; it may be training.
      num_clips: How many.
      seed: Of the latent vectors: the same clips for the same seed.
      out_dir: Where to; made if missing.

    Raises:
      FileNotFoundError: There is no checkpoint.
      ValueError: `num_clips` is below 1.
    """
    z = sample_z(num_clips, gan.latent_dim, seed)
    step = traindir.restore(gan, directory)
    rate = directory.read_config()["data"]["sample_rate"]
    out_dir.mkdir(parents=True, exist_ok=True)
    for i, audio in enumerate(generate_audio(gan, z)):
        write_wav(out_dir / f"{i:05d}.wav", audio, rate)
    print(f"step {step}: {num_clips} clips in {out_dir}")


def infer(gan: gan_lib.GAN, directory: traindir.TrainDir) -> None:
    """Exports the generator as a SavedModel, which needs TensorFlow alone.

    Its default signature maps `z` to `G_z`, float32 audio in [-1, 1], and
    `G_z_int16`, both `[batch, slice_len, channels]`.

    Args:
      gan: Built as the train dir's config says.
      directory: A train dir.

    Raises:
      FileNotFoundError: There is no checkpoint.

    Source: the mode `infer` of the authors' code.
    """
    step = traindir.restore(gan, directory)
    module = tf.Module()
    module.generator = gan.ema_generator

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, gan.latent_dim], tf.float32, name="z")
        ]
    )
    def serve(z: tf.Tensor) -> dict[str, tf.Tensor]:
        audio = module.generator(z, training=False)
        samples = tf.clip_by_value(tf.round(audio * 32768), -32768, 32767)
        return {"G_z": audio, "G_z_int16": tf.cast(samples, tf.int16)}

    module.serve = serve
    target = directory.path / "export" / "saved_model"
    draft = target.with_name("saved_model.part")
    shutil.rmtree(draft, ignore_errors=True)
    tf.saved_model.save(module, str(draft), signatures=serve)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    print(f"step {step}: {target}")


def _fixed_z(path: pathlib.Path, num_clips: int, latent_dim: int) -> np.ndarray:
    """Latent vectors kept in a file, `[num_clips, latent_dim]`."""
    # Differs from the original: no pickle, which runs what it reads.
    if path.exists():
        z = np.load(path, allow_pickle=False)
        if z.shape == (num_clips, latent_dim):
            return z
    z = sample_z(num_clips, latent_dim, seed=0)
    buffer = io.BytesIO()
    np.save(buffer, z, allow_pickle=False)
    traindir.write_atomically(path, buffer.getvalue())
    return z


def _checkpoints(
    gan: gan_lib.GAN, directory: traindir.TrainDir, once: bool
) -> Iterator[int]:
    """Restores each checkpoint as it comes; yields its step."""
    if once:
        yield traindir.restore(gan, directory)
        return
    seen, waiting = -1, None
    while True:
        step = directory.latest_step()
        if step is not None and step > seen:
            seen = traindir.restore(gan, directory)
            yield seen
        elif waiting != seen:
            waiting = seen
            logging.info(
                "waiting for a checkpoint in %s (Ctrl-C stops)",
                directory.checkpoints,
            )
        else:
            time.sleep(POLL_SECS)
