"""Tests the import of the authors' classifier, a TensorFlow 1 checkpoint."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from eval import classifier, features, import_classifier
from system import console

v1 = tf.compat.v1


def variable(name: str, shape: list[int]) -> Any:
    """Makes a variable whose values hide no mistake: none is 0 or 1."""
    scale = 2 / np.sqrt(np.prod(shape[:-1])) if len(shape) > 1 else 0.3
    middle = 1.0 if name.endswith(("gamma", "variance")) else 0.0
    seed = [*v1.get_variable_scope().name.encode(), *name.encode()]
    values = np.random.default_rng(seed).uniform(-scale, scale, shape)
    return v1.get_variable(
        name,
        initializer=(middle + values).astype(np.float32),
        use_resource=False,
    )


def batch_norm(x: Any, number: str) -> Any:
    """Normalises the last axis by moving averages, as tf.layers does."""
    with v1.variable_scope(f"batch_normalization{number}"):
        gamma, beta, mean, variance = (
            variable(name, [int(x.shape[-1])])
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
    return gamma * (x - mean) * v1.rsqrt(variance + 0.001) + beta


def logits_of(audio: Any) -> Any:
    """Builds the authors' graph from audio to logits of ten words."""
    spectra = tf.abs(tf.signal.stft(audio, 1024, 128, pad_end=True))
    mels = tf.signal.linear_to_mel_weight_matrix(128, 513, 16000, 40.0, 7800.0)
    x = tf.math.log(tf.tensordot(spectra, mels, 1) + 1e-6)
    x = batch_norm(tf.ensure_shape(x, [None, 128, 128]), "")[..., tf.newaxis]
    for i in range(4):
        with v1.variable_scope(f"conv2d_{i}" if i else "conv2d"):
            kernel = variable("kernel", [5, 5, int(x.shape[-1]), 128])
            x = tf.nn.conv2d(x, kernel, 1, "SAME") + variable("bias", [128])
        x = tf.nn.max_pool2d(tf.nn.relu(x), 2, 2, "VALID")
        if i == 3:
            x = tf.reshape(x, [-1, 8 * 8 * 128])
        x = batch_norm(x, f"_{i + 1}")
    with v1.variable_scope("dense"):
        kernel = variable("kernel", [8 * 8 * 128, 10])
        return tf.matmul(x, kernel) + variable("bias", [10])


@dataclasses.dataclass(frozen=True)
class Theirs:
    """A checkpoint of the authors' network, and its logits of some clips."""

    path: pathlib.Path
    audio: np.ndarray
    logits: np.ndarray


def save(folder: pathlib.Path, step: int, audio: np.ndarray) -> Theirs:
    """Writes best_acc-STEP as the authors' code did."""
    with v1.Graph().as_default(), v1.Session() as session:
        clips = v1.placeholder(tf.float32, [None, 16384])
        with v1.variable_scope("classifier"):
            logits = logits_of(clips)
        v1.train.create_global_step()
        session.run(v1.global_variables_initializer())
        session.run(v1.assign(v1.train.get_global_step(), step))
        path = v1.train.Saver().save(session, str(folder / "best_acc"), step)
        return Theirs(
            pathlib.Path(path), audio, session.run(logits, {clips: audio})
        )


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Theirs:
    """The checkpoint, with random weights."""
    rng = np.random.default_rng(0)
    gains = np.array([[0.3], [0.03], [0.003]])
    audio = (gains * rng.normal(size=[3, 16384])).astype(np.float32)
    folder = tmp_path_factory.mktemp("theirs")
    return save(folder, import_classifier.STEP, audio)


def run(*args: object) -> None:
    """Runs the command in this process."""
    parser = import_classifier.parser()
    import_classifier.main(parser.parse_args([*map(str, args)]))


@pytest.mark.parametrize("ending", ["", ".index"])
def test_an_imported_classifier_computes_the_authors_logits(
    theirs: Theirs,
    ending: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(f"{theirs.path}{ending}", "--out", tmp_path / "clf")
    imported = classifier.load(tmp_path / "clf")
    assert f"{imported.name}\n" in capsys.readouterr().out
    assert imported.name.endswith(" (93.0% on test)")
    assert imported.words[0] == "zero" and imported.words[9] == "nine"
    ours = np.array(imported.model([features.log_mel(theirs.audio)]))
    assert theirs.logits.std() > 0.1
    np.testing.assert_allclose(ours, theirs.logits, atol=1e-3)
    # Through the same door as all scores: without the noise floor.
    probs = classifier.predict(imported.model, theirs.audio)
    expected = np.exp(theirs.logits)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probs, expected, atol=1e-3)


def refuse(path: object, *words: str) -> None:
    """Imports what is no such checkpoint: one line says why."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        run(path, "--out", "never")
    line = console.in_one_line(caught.value)
    assert all(word in line for word in words), line
    assert not pathlib.Path("never").exists()


def test_other_checkpoints_are_refused(
    theirs: Theirs, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refuse(tmp_path / "best_acc-103005", "chrisdonahue/wavegan")
    refuse(save(tmp_path, 7, theirs.audio[:1]).path, "update 7", "103005")
    index = tmp_path / "cut.index"
    index.write_bytes(theirs.path.with_suffix(".index").read_bytes()[:50])
    refuse(index, "damaged")
    (tmp_path / "alone.index").write_bytes(
        theirs.path.with_suffix(".index").read_bytes()
    )
    refuse(tmp_path / "alone", "damaged")
    with v1.Graph().as_default(), v1.Session() as session:
        variable("classifier/dense/bias", [3])
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "other"))
    refuse(tmp_path / "other", "shape None, expected")
