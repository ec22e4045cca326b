"""Tests the VAE against closed forms and NumPy."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tones

from alternatives import autoencoder, vae
from networks import audio_model
from system import settings

SMALL: dict[str, Any] = {"slice_len": 256, "dim": 2, "latent_dim": 3}
NORMAL = statistics.NormalDist()


def build(seed: int = 0, **fields: Any) -> vae.VAE:
    """A compiled VAE of small networks."""
    tf.keras.utils.set_random_seed(seed)
    model = vae.VAE(vae.VAEConfig(**{**SMALL, **fields}), seed=seed)
    model.compile()
    return model


def test_divergence_is_the_integral_that_defines_it() -> None:
    mean = np.array([[0.0, 1.5, -0.7]], np.float32)
    log_variance = np.array([[0.0, -1.0, 1.2]], np.float32)
    x = np.linspace(-30, 30, 200001)
    expected = 0.0
    for m, v in zip(mean[0], np.exp(log_variance[0]), strict=True):
        log_q = -0.5 * ((x - m) ** 2 / v + np.log(2 * np.pi * v))
        log_p = -0.5 * (x**2 + np.log(2 * np.pi))
        expected += np.trapz(np.exp(log_q) * (log_q - log_p), x)
    found = vae.kl_divergence(tf.constant(mean), tf.constant(log_variance))
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


def test_divergence_of_the_standard_normal_distribution_is_0() -> None:
    zeros = tf.zeros([2, 5])
    np.testing.assert_array_equal(vae.kl_divergence(zeros, zeros), [0, 0])


def test_uniform_numbers_become_normal_ones() -> None:
    z = np.linspace(-0.999, 0.999, 101).astype(np.float32)
    expected = [NORMAL.inv_cdf((number + 1) / 2) for number in z.astype(float)]
    np.testing.assert_allclose(
        audio_model.to_normal(z), expected, rtol=1e-5, atol=1e-6
    )
    ends = audio_model.to_normal(np.array([-1, 1], np.float32)).numpy()
    np.testing.assert_allclose(ends, [-4.89, 4.89], atol=0.02)


def test_draws_have_the_moments_and_their_gradients(
    rng: np.random.Generator,
) -> None:
    # Of the square of a normal number, the mean is m^2 + v, whose derivatives
    # are 2 m and, with respect to log v, v.
    m, v = np.array([0.3, -1.2]), np.array([0.5, 2.0])
    shape = (200_000, 2)
    mean = tf.constant(np.broadcast_to(m, shape), tf.float32)
    log_variance = tf.constant(np.broadcast_to(np.log(v), shape), tf.float32)
    uniform = tf.constant(rng.uniform(-1, 1, shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([mean, log_variance])
        drawn = vae.reparametrise(mean, log_variance, uniform)
        squares = tf.reduce_sum(drawn**2)
    np.testing.assert_allclose(np.mean(drawn, axis=0), m, atol=0.02)
    np.testing.assert_allclose(np.var(drawn, axis=0), v, rtol=0.02)
    for found, expected in zip(
        tape.gradient(squares, [mean, log_variance]), (2 * m, v), strict=True
    ):
        np.testing.assert_allclose(np.mean(found, axis=0), expected, rtol=0.05)


def magnitude(clips: np.ndarray, length: int) -> np.ndarray:
    """Magnitudes of mono clips, whose last frames are padded."""
    padded = np.pad(clips[..., 0], [(0, 0), (0, length)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)
    frames = frames[:, : clips.shape[1] : length // 2]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return np.abs(np.fft.rfft(frames * window)) / np.sqrt(np.sum(window**2))


def reference_distance(
    real: np.ndarray, made: np.ndarray, weight: float
) -> float:
    """The distance of mono batches, in NumPy."""
    spectral = []
    for length in (256, 512, 1024):
        a, b = magnitude(real, length), magnitude(made, length)
        spectral.append(
            np.mean(np.abs(np.log((a + 3e-3) / (b + 3e-3))))
            + np.sum(np.abs(a - b)) / np.sum(a + 1e-4)
        )
    return float(np.mean(spectral) + weight * np.mean(np.abs(real - made)))


def test_distance_is_that_of_spectrograms_and_samples(
    rng: np.random.Generator,
) -> None:
    real, made = rng.normal(0, 0.2, (2, 3, 1024, 1)).astype(np.float32)
    found = autoencoder.distance(real, made, 0.7)
    expected = reference_distance(real, made, 0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert autoencoder.distance(real, real, 1.0) == 0


def test_distance_has_a_slope_near_silence(rng: np.random.Generator) -> None:
    # Otherwise, a decoder that starts almost silent would stay so.
    real = tf.constant(rng.normal(0, 0.2, (2, 1024, 1)), tf.float32)
    for loudness in (1e-1, 1e-3, 1e-5):
        faint = tf.constant(rng.normal(0, loudness, (2, 1024, 1)), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(faint)
            loss = autoencoder.distance(real, faint, 1.0)
        # Louder is better.
        assert tf.reduce_sum(tape.gradient(loss, faint) * faint) < 0


def test_loss_is_the_weighted_evidence_lower_bound() -> None:
    model = build(seed=5, kl_weight=0.02, kl_warmup=10, waveform_weight=0.5)
    model.step.assign(3)
    clips = tones.batch(4, 256)[0]
    losses = {k: float(v) for k, v in model.losses(clips, None).items()}
    mean, log_variance = (
        np.asarray(value, float)
        for value in model.networks["encoder"](clips, training=True)
    )
    uniform = np.asarray(model._draws.z(4, 3, model.step), float)
    noise = np.vectorize(lambda u: NORMAL.inv_cdf((u + 1) / 2))(uniform)
    vectors = mean + np.sqrt(np.exp(log_variance)) * noise
    made = model.networks["generator"](
        vectors.astype(np.float32), training=True
    ).numpy()
    reconstruction = reference_distance(clips, made, 0.5)
    kl = np.mean(
        np.sum((mean**2 + np.exp(log_variance) - log_variance - 1) / 2, axis=1)
    )
    assert kl > 1e-4
    np.testing.assert_allclose(
        [losses["reconstruction"], losses["kl"]],
        [reconstruction, kl],
        rtol=1e-4,
    )
    expected = reconstruction + 0.02 * (4 / 10) * kl
    np.testing.assert_allclose(losses["loss"], expected, rtol=1e-5)


def test_the_weight_of_the_divergence_rises_and_stays() -> None:
    model = build(kl_weight=0.5, kl_warmup=4)
    found = []
    for step in range(6):
        model.step.assign(step)
        found.append(float(model.kl_weight()))
    assert found == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    assert float(build(kl_weight=0.5, kl_warmup=0).kl_weight()) == 0.5


@pytest.mark.parametrize(
    "jit", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_it_learns_tones(jit: bool) -> None:
    model = build(dim=8, latent_dim=8)
    model.compile(learning_rate=3e-3)
    step = tf.function(model.train_step, autograph=False, jit_compile=jit)
    losses = [
        float(step(tones.batch(16, 256, seed=i))["reconstruction"])
        for i in range(100)
    ]
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:10])
    assert model.first_nonfinite_step.numpy() == tf.int64.max


def test_clips_are_decoded_normal_vectors(rng: np.random.Generator) -> None:
    model = build(channels=2)
    z = rng.uniform(-1, 1, (4, 3)).astype(np.float32)
    normal = np.vectorize(lambda u: NORMAL.inv_cdf((u + 1) / 2))(z)
    expected = model.networks["generator"](normal.astype(np.float32))
    found = model.generate(z)
    assert found.shape == (4, 256, 2)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_labels_reach_the_decoder(rng: np.random.Generator) -> None:
    model = build(num_labels=3)
    z = np.repeat(rng.uniform(-1, 1, (1, 3)), 3, axis=0).astype(np.float32)
    clips = model.generate(z, tf.constant([0, 1, 1])).numpy()
    assert np.any(clips[0] != clips[1])
    np.testing.assert_array_equal(clips[1], clips[2])
    labels = tf.constant([[0, 1, 2, 0]])
    before = model.networks["generator"].get_layer("label_project")
    before = before.get_weights()[0]
    model.train_step((tf.constant(tones.batch(4, 256)), labels))
    after = model.networks["generator"].get_layer("label_project")
    assert np.all(np.any(before != after.get_weights()[0], axis=1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slice_len", 128),
        ("slice_len", 1000),
        ("dim", 0),
        ("dim", 2**20),
        ("kl_weight", -1.0),
        ("kl_warmup", 1.5),
    ],
)
def test_invalid_settings_are_named(field: str, value: Any) -> None:
    with pytest.raises(settings.SettingError) as error:
        vae.VAEConfig(**{field: value})
    assert error.value.field == field
