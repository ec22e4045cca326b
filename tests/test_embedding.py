"""Tests the scores of sounds without words."""

from __future__ import annotations

import json
import pathlib

import command_runner
import numpy as np
import pytest
import tensorflow as tf
import wavs

from eval import clips, embedding, features, frechet

RNG = np.random.default_rng(0)


def source(audio: np.ndarray, name: str = "a") -> clips.Source:
    """A set of clips in memory."""
    return clips.Source(name, len(audio), lambda i, j: audio[i:j])


def hits(hz: float, num_clips: int, seed: int) -> np.ndarray:
    """Decaying tones near a pitch, `[num_clips, 16384]`."""
    rng = np.random.default_rng(seed)
    time = np.arange(features.SLICE_LEN) / features.SAMPLE_RATE
    pitches = hz * rng.uniform(0.8, 1.2, (num_clips, 1))
    decay = np.exp(-time / rng.uniform(0.05, 0.2, (num_clips, 1)))
    tones = 0.5 * decay * np.sin(2 * np.pi * pitches * time)
    return tones.astype(np.float32)


def save_model(folder: pathlib.Path, function: object) -> str:
    """Saves a function of one clip as a SavedModel."""
    module = tf.Module()
    module.__call__ = tf.function(
        function, input_signature=[tf.TensorSpec([None], tf.float32)]
    )
    tf.saved_model.save(module, str(folder))
    return str(folder)


def test_the_components_are_those_of_the_spectrograms() -> None:
    """Against an eigendecomposition of the covariance."""
    audio = np.concatenate([hits(200, 20, 0), hits(2000, 20, 1)])
    embed = embedding.fit_mel(source(audio))
    points = embed(audio)
    assert points.shape == (40, 40)  # as many components as clips
    mel = features.log_mel(features.add_noise_floor(audio)).astype(np.float64)
    coarse = mel.reshape(40, 32, 4, 64, 2).mean(axis=(2, 4)).reshape(40, -1)
    centred = coarse - coarse.mean(axis=0)
    scale = np.sqrt((centred**2).sum() / points.size)
    spread = np.linalg.eigvalsh(centred @ centred.T)[::-1] / scale**2
    np.testing.assert_allclose(
        (points**2).sum(axis=0)[:10], spread[:10], rtol=1e-3
    )
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    whole = np.linalg.norm(coarse[:, None] - coarse[None], axis=-1) / scale
    np.testing.assert_allclose(distance, whole, rtol=1e-3, atol=1e-2)
    assert np.mean(points**2) == pytest.approx(1)


def test_sets_that_sound_alike_are_near() -> None:
    real, alike = hits(200, 100, 0), hits(200, 100, 1)
    higher, noise = hits(400, 100, 2), RNG.normal(0, 0.1, alike.shape)
    embed = embedding.fit_mel(source(real))
    near, far, farther = (
        frechet.frechet_distance(embed(audio), embed(real))
        for audio in (alike, higher, noise)
    )
    assert 5 * near < far < farther


def test_an_embedding_depends_on_its_reference_alone() -> None:
    real, other = hits(200, 30, 0), hits(200, 30, 1)
    first, again = (embedding.fit_mel(source(real)) for _ in range(2))
    assert first.fingerprint == again.fingerprint
    assert embedding.fit_mel(source(other)).fingerprint != first.fingerprint
    np.testing.assert_array_equal(first(other), again(other))


def test_a_saved_model_is_called_clip_by_clip(tmp_path: pathlib.Path) -> None:
    audio = hits(300, 3, 0)
    frames = audio.reshape(3, 16, 1024)
    folder = save_model(
        tmp_path / "frames", lambda x: tf.reshape(x, [16, 1024])[:, :5]
    )
    embed = embedding.load(folder, source(audio))
    assert embed.name == "frames"
    np.testing.assert_allclose(
        embed(audio), frames[..., :5].mean(axis=1), rtol=1e-5
    )
    # As YAMNet: scores, embeddings, spectrogram.
    folder = save_model(
        tmp_path / "three",
        lambda x: (x[:7], tf.reshape(x, [16, 1024])[:, :5], x[:9]),
    )
    np.testing.assert_allclose(
        embedding.load(folder, source(audio))(audio),
        frames[..., :5].mean(axis=1),
        rtol=1e-5,
    )


def test_odd_models_are_named(tmp_path: pathlib.Path) -> None:
    audio = hits(300, 2, 0)
    with pytest.raises(ValueError, match="expected mel, or the folder of a Sa"):
        embedding.load(str(tmp_path / "none"), source(audio))
    folder = save_model(tmp_path / "nan", lambda x: x[None, :4] / 0.0)
    with pytest.raises(ValueError, match="embedding nan is not finite"):
        embedding.load(folder, source(audio))(audio * 0)
    folder = save_model(tmp_path / "long", lambda x: tf.ensure_shape(x, [5]))
    with pytest.raises(ValueError, match="takes no clip of shape"):
        embedding.load(folder, source(audio))(audio)


@pytest.mark.slow
def test_the_command_scores_sounds_without_words(
    tmp_path: pathlib.Path,
) -> None:
    """Copies score best, other sounds worse, and no classifier is read."""
    for name, hz, seed in (
        ("real", 200, 0),
        ("like", 200, 1),
        ("high", 900, 2),
    ):
        for i, audio in enumerate(hits(hz, 200, seed)):
            wavs.write(tmp_path / name / f"{i}.wav", audio, 16000)
    done = command_runner.run(
        *("frechet", "kernel", "prdc", "--embedding=mel", "--json"),
        *("--audio_dir", tmp_path / "like", tmp_path / "high"),
        *(f"--reference_dir={tmp_path / 'real'}", "--baselines"),
        *("--classifier", tmp_path / "none"),
        program="eval/score.py",
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["embedding"]["name"] == "mel"
    like, high, *_ = rows = result["rows"]
    by_name = {row["name"]: row["scores"] for row in rows}
    assert (
        like["scores"]["frechet"]["value"] * 5
        < (high["scores"]["frechet"]["value"])
    )
    assert like["scores"]["precision"]["value"] > 0.7
    assert high["scores"]["precision"]["value"] < 0.2
    copies = by_name["copies of the reference"]
    assert copies["precision"]["value"] == 1
    assert by_name["silence"]["recall"]["value"] == 0
    assert by_name["white noise"]["precision"]["value"] == 0


def test_an_embedding_needs_a_reference(tmp_path: pathlib.Path) -> None:
    wavs.write(tmp_path / "a.wav", hits(200, 1, 0)[0], 16000)
    done = command_runner.run(
        *("frechet", "--embedding=mel", "--audio_dir", tmp_path),
        program="eval/score.py",
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("eval.score: --embedding compares with reference")
