"""Tests the diffusion model against NumPy, and against perfect denoisers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import scipy.signal
import scipy.stats
import tensorflow as tf
import tones

from alternatives import diffusion, unet
from networks import dcgan
from networks import random as random_lib
from system import settings
from training import config as config_lib

Array = np.ndarray
Random = np.random.Generator

SHAPE = (64, 32)  # of an example of 2048 samples


def config_of(**fields: Any) -> diffusion.DiffusionConfig:
    """A small configuration, some fields replaced."""
    small = {"slice_len": 2048, "dim": 8, "sampling_steps": 3}
    return diffusion.DiffusionConfig(**{**small, **fields})


def build(seed: int = 0, **fields: Any) -> diffusion.Diffusion:
    """A compiled model of always the same weights."""
    keras.utils.set_random_seed(0)
    model = diffusion.Diffusion(config_of(**fields), seed=seed)
    model.compile()
    return model


def batches(model: diffusion.Diffusion, rng: Random) -> Any:
    """Batches of one training step, with labels if the model knows any."""
    audio = tf.constant(tones.batch(8, 2048, model.config.channels))
    if not model.num_labels:
        return audio
    labels = rng.integers(0, model.num_labels, (1, 8))
    return audio, tf.constant(labels, tf.int32)


def draw_z(model: diffusion.Diffusion, rng: Random, count: int = 2) -> Array:
    """Latent vectors."""
    return rng.uniform(-1, 1, (count, model.latent_dim)).astype(np.float32)


def time_of(features: Any) -> Array:
    """The time that features stand for, `[batch, 1, 1]`."""
    half = features.shape[1] // 2
    sine, cosine = np.asarray(features)[:, 0], np.asarray(features)[:, half]
    time = np.abs(np.arctan2(sine, cosine)) / np.pi
    return time[:, np.newaxis, np.newaxis]


# The process -----------------------------------------------------------------


def test_clips_are_mixed_with_noise_of_the_cosine_schedule(rng: Random) -> None:
    clip, noise = rng.normal(size=(2, 5, 3))
    time = np.array([[0.0], [0.2], [0.5], [0.9], [1.0]])
    noisy, velocity = diffusion.mix(*map(tf.constant, (clip, noise, time)))
    signal, level = np.cos(np.pi / 2 * time), np.sin(np.pi / 2 * time)
    np.testing.assert_allclose(signal**2 + level**2, 1)
    np.testing.assert_allclose(noisy, signal * clip + level * noise)
    np.testing.assert_allclose(noisy[0], clip[0])
    np.testing.assert_allclose(noisy[-1], noise[-1])
    # The velocity is the derivative with respect to the angle.
    step = 1e-6
    later, _ = diffusion.mix(clip, noise, tf.constant(time + step))
    slope = (later - noisy) / (np.pi / 2 * step)
    np.testing.assert_allclose(velocity, slope, atol=1e-4)


def test_velocities_give_clips_and_noise(rng: Random) -> None:
    clip, noise = rng.normal(size=(2, 4, 6))
    time = rng.uniform(0, 1, (4, 1))
    noisy, velocity = diffusion.mix(*map(tf.constant, (clip, noise, time)))
    a, b = np.cos(np.pi / 2 * time), np.sin(np.pi / 2 * time)
    np.testing.assert_allclose(a * noisy - b * velocity, clip, atol=1e-12)
    np.testing.assert_allclose(b * noisy + a * velocity, noise, atol=1e-12)


@pytest.mark.parametrize("then", [0.0, 0.3, 0.55])
def test_a_step_is_that_of_ddim(then: float, rng: Random) -> None:
    now = 0.6
    clip, noise = 9 * rng.normal(size=(2, 4, 500))
    noisy, velocity = diffusion.mix(
        *(tf.constant(x, tf.float32) for x in (clip, noise, [[now]]))
    )
    moved = diffusion.move(noisy, velocity, now, then)
    # Song et al. (2021), equation 12: alpha is the square of the signal's part.
    alpha, alpha_then = (np.cos(np.pi / 2 * t) ** 2 for t in (now, then))
    predicted = np.clip(clip, -19, 19)
    assert np.any(predicted != clip)
    epsilon = (noisy - np.sqrt(alpha) * predicted) / np.sqrt(1 - alpha)
    expected = np.sqrt(alpha_then) * predicted
    expected += np.sqrt(1 - alpha_then) * epsilon
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-4)


def sample(
    denoise: Callable[[Array, Array, Array], Array], rng: Random, steps: int
) -> tuple[Array, Array]:
    """Generates examples by a function instead of a network.

    Args:
      denoise: Expected clip, given a noisy one and its shares of clip and
        noise.
      rng: Draws the latent vectors.
      steps: Number of steps.

    Returns:
      Noise, and the examples that were made of it.
    """
    model = build(sampling_steps=steps)

    def network(inputs: list[Any], training: bool) -> Any:
        assert not training
        noisy, time = np.asarray(inputs[0], np.float64), time_of(inputs[1])
        a, b = np.cos(np.pi / 2 * time), np.sin(np.pi / 2 * time)
        velocity = (a * noisy - denoise(noisy, a, b)) / b
        return tf.constant(velocity, tf.float32)

    z = draw_z(model, rng)
    noise = scipy.stats.norm.ppf((z.astype(np.float64) + 1) / 2)
    examples = model.generate_by({"generator": network}, z).numpy()
    assert examples.shape == (2, *SHAPE)
    return noise.reshape(examples.shape), examples


@pytest.mark.parametrize("steps", [1, 7])
def test_the_only_clip_is_found(steps: int, rng: Random) -> None:
    clip = rng.uniform(-1, 1, SHAPE)
    _, examples = sample(lambda noisy, a, b: clip, rng, steps)
    np.testing.assert_allclose(examples, [clip, clip], atol=1e-5)


def test_normally_distributed_clips_are_scaled_noise(rng: Random) -> None:
    spread = np.array([0.2, 1.5])[:, np.newaxis, np.newaxis]  # of each clip

    def expected(noisy: Array, a: Array, b: Array) -> Array:
        return a * spread**2 / (a**2 * spread**2 + b**2) * noisy

    noise, examples = sample(expected, rng, 100)
    np.testing.assert_allclose(examples, spread * noise, rtol=0.04)
    _, rough = sample(expected, rng, 5)
    assert np.abs(rough.std() / examples.std() - 1) > 0.02


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_guidance_weighs_what_the_label_adds(guidance: float) -> None:
    model = build(num_labels=2, sampling_steps=1, guidance=guidance)
    asked = []

    def network(inputs: list[Any], training: bool) -> Any:
        noisy, _, known, label = inputs
        asked.append(float(known[0, 0]))
        label = tf.cast(label, tf.float32)[:, tf.newaxis, tf.newaxis]
        # Without the label, the clip is 1; the label adds itself.
        clip = 1 + label * known[:, :, tf.newaxis]
        return tf.broadcast_to(-clip, tf.shape(noisy))

    z = np.zeros((2, 2048), np.float32)
    examples = model.generate_by({"generator": network}, z, np.array([0, 3]))
    np.testing.assert_allclose(examples[0], 1, atol=1e-5)
    np.testing.assert_allclose(examples[1], 1 + 3 * guidance, atol=1e-5)
    assert asked == ([1.0] if guidance == 1 else [1.0, 0.0])


def test_uniform_numbers_become_normal_ones() -> None:
    z = np.array([-1, -0.999, -0.5, 0, 0.1, 0.9, 1], np.float32)
    normal = np.asarray(diffusion.to_normal(z))
    expected = scipy.stats.norm.ppf((z[1:-1].astype(np.float64) + 1) / 2)
    np.testing.assert_allclose(normal[1:-1], expected, rtol=1e-4, atol=1e-6)
    assert 4.5 < normal[-1] < 5.5
    np.testing.assert_allclose(normal[0], -normal[-1], rtol=0.01)
    # Between two latent vectors, numbers may be larger than 1.
    np.testing.assert_allclose(
        diffusion.to_normal(np.float32(1.25)),
        diffusion.to_normal(np.float32(0.75)),
        rtol=1e-5,
    )


def test_half_way_between_two_latent_vectors_is_noise_like_other(
    rng: Random,
) -> None:
    first, second = rng.uniform(-1, 1, (2, 100_000))
    middle = (first + second) / np.sqrt(2)
    noise = np.asarray(diffusion.to_normal(middle.astype(np.float32)))
    assert abs(noise.std() - 1) < 0.1
    assert np.mean(np.abs(noise) > 3) < 0.003  # 0.0027 of a normal number


def test_features_are_sines_and_cosines_of_the_time() -> None:
    time = np.array([[0.0], [0.3], [1.0]], np.float32)
    angle = np.pi * time * 2.0 ** np.arange(8)
    expected = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    features = unet.time_features(tf.constant(time))
    np.testing.assert_allclose(features, expected, atol=1e-4)
    np.testing.assert_allclose(
        time_of(features).ravel(), time.ravel(), atol=1e-6
    )


# The representation ----------------------------------------------------------


def test_audio_is_filtered_and_back(rng: Random) -> None:
    audio = rng.uniform(-1, 1, (2, 2048, 2)).astype(np.float32)
    filtered = diffusion.emphasise(tf.constant(audio))
    expected = scipy.signal.lfilter([1, -0.9], [1], audio, axis=1)
    np.testing.assert_allclose(filtered, expected, atol=1e-6)
    inverse = diffusion.deemphasise(tf.constant(audio))
    expected = scipy.signal.lfilter([1], [1, -0.9], audio, axis=1)
    np.testing.assert_allclose(inverse, expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_audio_survives_the_round_trip(channels: int, rng: Random) -> None:
    model = build(channels=channels)
    audio = rng.uniform(-1, 1, (3, 2048, channels)).astype(np.float32)
    examples = model.from_audio(tf.constant(audio))
    assert examples.shape == (3, 64, 32 * channels)
    assert np.abs(examples).max() <= diffusion.LIMIT
    np.testing.assert_allclose(model.to_audio(examples), audio, atol=1e-5)
    # The samples of a position are neighbours.
    filtered = 10 * np.asarray(diffusion.emphasise(tf.constant(audio)))
    np.testing.assert_allclose(
        examples[:, 1], filtered[:, 32:64].reshape(3, -1), atol=1e-5
    )


# The network -----------------------------------------------------------------


def test_it_predicts_0_before_it_has_learned(rng: Random) -> None:
    model = build()
    noisy = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    features = np.zeros((2, 16), np.float32)
    assert not np.any(model.generator([noisy, features]))


def test_time_label_and_noise_all_matter(rng: Random, randomize: Any) -> None:
    network = randomize(build(num_labels=3).generator)
    noisy = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    time = rng.normal(size=(2, 16)).astype(np.float32)
    known, label = np.ones((2, 1), np.float32), np.array([0, 2])
    first = network([noisy, time, known, label]).numpy()
    others = (
        [noisy[::-1], time, known, label],
        [noisy, time[::-1], known, label],
        [noisy, time, known, label[::-1]],
        [noisy, time, 0 * known, label],
    )
    for other in others:
        assert np.abs(network(other) - first).max() > 0.01
    unknown = network([noisy, time, 0 * known, label])
    np.testing.assert_array_equal(
        network([noisy, time, 0 * known, label[::-1]]), unknown
    )


@pytest.mark.slow
def test_words_can_be_mixed(rng: Random, randomize: Any) -> None:
    model = build(num_labels=3)
    randomize(model.averages["generator"])
    network = model.generating_networks["generator"]
    z, label = draw_z(model, rng), tf.constant([2, 0])
    mixed = {"generator": dcgan.mix_labels(network)}
    shares = tf.one_hot(label, 3)
    expected = model.generate_by({"generator": network}, z, label)
    np.testing.assert_allclose(
        model.generate_by(mixed, z, shares), expected, atol=1e-4
    )
    blend = model.generate_by(mixed, z, tf.fill([2, 3], 1 / 3))
    assert np.abs(blend - expected).max() > 0.01


# Settings --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"slice_len": 2047}, "slice_len"),
        ({"slice_len": 2048 + 32}, "slice_len"),
        ({"slice_len": 2**21}, "slice_len"),
        ({"dim": 12}, "dim"),
        ({"dim": 4096}, "dim"),
        ({"channels": 65}, "channels"),
        ({"sampling_steps": 0}, "sampling_steps"),
        ({"guidance": -1.0}, "guidance"),
        ({"label_dropout": 1.5}, "label_dropout"),
        ({"num_labels": -1}, "num_labels"),
    ],
)
def test_wrong_settings_are_refused(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(settings.SettingError) as error:
        diffusion.DiffusionConfig(**fields)
    assert error.value.field == name


def test_the_size_of_z_follows_from_the_clips() -> None:
    run = config_lib.default(diffusion.DiffusionConfig)
    assert run.model.latent_dim == 16384
    run = run.replace(slice_len=4096, channels=2)
    assert run.model.latent_dim == 8192
    again = config_lib.from_json(
        config_lib.to_json(run), diffusion.DiffusionConfig
    )
    assert again == run


# Training --------------------------------------------------------------------


def test_times_are_spread_evenly() -> None:
    draws = random_lib.Draws(tf.Variable(3, dtype=tf.int64))
    steps = [tf.constant(step, tf.int64) for step in (0, 1)]
    first, second = (draws.times(8, step).numpy() for step in steps)
    for times in (first, second):
        np.testing.assert_array_equal(np.floor(8 * times), np.arange(8))
    assert np.all(first != second)


def test_the_loss_is_the_error_of_the_velocities(rng: Random) -> None:
    model = build(seed=5)
    audio = batches(model, rng)
    draws = random_lib.Draws(tf.Variable(5, dtype=tf.int64))
    zero = tf.constant(0, tf.int64)
    noise = draws.normal([8, *SHAPE], zero, random_lib.NOISE).numpy()
    time = draws.times(8, zero).numpy()[:, np.newaxis, np.newaxis]
    filtered = scipy.signal.lfilter([1, -0.9], [1], audio[0, ..., 0])
    clip = 10 * filtered.reshape(8, *SHAPE)
    velocity = (
        np.cos(np.pi / 2 * time) * noise - np.sin(np.pi / 2 * time) * clip
    )
    # A new network predicts 0.
    loss = model.train_step(audio)["loss"]
    np.testing.assert_allclose(loss, np.mean(velocity**2), rtol=1e-5)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_labels_can_be_left_out(
    share: float, rng: Random, randomize: Any
) -> None:
    model = build(num_labels=2, label_dropout=share)
    randomize(model.generator)
    weights = model.generator.get_weights()
    audio, labels = batches(model, rng)
    losses = []
    for label in (labels, 1 - labels):
        model.generator.set_weights(weights)
        model.step.assign(0)
        losses.append(model.train_step((audio, label))["loss"])
    assert (losses[0] == losses[1]) == (share == 1)


@pytest.mark.slow
def test_the_loss_falls(rng: Random) -> None:
    model = build()
    model.compile(learning_rate=5e-3)
    audio = batches(model, rng)
    step = tf.function(model.train_step, autograph=False)
    losses = [float(step(audio)["loss"]) for _ in range(100)]
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:3])


@pytest.mark.slow
def test_clips_are_generated_by_the_averaged_weights(rng: Random) -> None:
    model = build()
    for _ in range(3):
        model.train_step(batches(model, rng))
    z = draw_z(model, rng)
    audio = model.generate(z)
    own = model.to_audio(model.generate_by(model.networks, z))
    assert np.any(own != audio)
    model.averages["generator"].set_weights(model.generator.get_weights())
    np.testing.assert_array_equal(model.generate(z), own)


def test_a_nonfinite_loss_is_noted(rng: Random) -> None:
    model = build()
    audio = batches(model, rng)
    model.train_step(audio)
    assert model.first_nonfinite_step == tf.int64.max
    model.train_step(audio * np.nan)
    assert model.first_nonfinite_step == 2
