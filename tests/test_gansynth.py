"""Tests GANSynth: its representation against NumPy, its networks, its training.

The twins are written from the definitions: frames that are cut and transformed
one by one, in float64.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import gan
import specgan
from alternatives import gansynth
from digits import formants
from system import settings

Array = np.ndarray
Random = np.random.Generator

RATE = 16000
SMALL: dict[str, Any] = {"dim": 1, "latent_dim": 3, "kernel_len": 3}


def tone(hertz: float, amplitude: float = 0.5, phase: float = 0.3) -> Array:
    """A steady tone, `[16384]`."""
    time = np.arange(16384) / RATE
    return amplitude * np.cos(2 * np.pi * hertz * time + phase)


def as_batch(*clips: Array) -> tf.Tensor:
    """Mono clips, `[batch, 16384, 1]`."""
    return tf.constant(np.stack(clips)[..., np.newaxis], tf.float32)


def snr(wanted: Any, got: Any) -> float:
    """Level of a signal above that of its error, in dB."""
    wanted, got = np.asarray(wanted, float), np.asarray(got, float)
    return 10 * np.log10(np.sum(wanted**2) / np.sum((got - wanted) ** 2))


def build(seed: int = 0, kind: Any = gansynth.GANSynth, **fields: Any) -> Any:
    """A compiled GAN of small networks, of always the same weights."""
    config = gansynth.GANSynthConfig(**{**SMALL, **fields})
    keras.utils.set_random_seed(0)
    model = kind(
        gansynth.build_generator(config),
        gansynth.build_discriminator(config),
        latent_dim=3,
        critic_steps=2,
        seed=seed,
    )
    model.compile("wgan-gp")
    return model


def noise_batches(rng: Random, batch: int = 3, channels: int = 1) -> tf.Tensor:
    """Noise for one training step."""
    shape = (2, batch, 16384, channels)
    return tf.constant(rng.normal(0, 0.1, shape), tf.float32)


# The twin --------------------------------------------------------------------


def mel_bins() -> Array:
    """Places of 128 mel bins among 256 linear bins of 31.25 Hz."""
    mels = np.linspace(0, 1127 * np.log(1 + 255 * 31.25 / 700), 128)
    return 700 * (np.exp(mels / 1127) - 1) / 31.25


def spectrum_of(clip: Array) -> Array:
    """Spectra of frames whose middle is time 0, `[128, 256]`."""
    padded = np.pad(np.asarray(clip, np.float64), 192)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    offset = np.arange(512) - 256
    waves = np.exp(-2j * np.pi * np.outer(offset, np.arange(256)) / 512)
    return np.stack(
        [window * padded[i * 128 : i * 128 + 512] @ waves for i in range(128)]
    )


def analyse(clip: Array) -> Array:
    """Log-magnitudes and frequencies, `[128, 128, 2]`."""
    spectrum, places = spectrum_of(clip), mel_bins()
    result = np.zeros((128, 128, 2))
    for m, place in enumerate(places):
        width = max(1.0, np.gradient(places)[m])
        shares = np.maximum(0, 1 - np.abs(np.arange(256) - place) / width)
        power = np.abs(spectrum) ** 2 @ shares / shares.sum()
        result[:, m, 0] = np.log(np.sqrt(power) + np.exp(-5)) / 5
        nearest = spectrum[:, round(place)]
        # A wave of the bin's frequency makes a quarter of a turn for each bin.
        phase = np.angle(nearest) / (2 * np.pi)
        phase -= np.arange(1, 129) * round(place) / 4
        turns = np.diff(
            np.where(np.abs(nearest) > np.exp(-5), phase, 0), prepend=0
        )
        result[:, m, 1] = 2 * (turns - np.round(turns))
    return result


# The representation ----------------------------------------------------------


def test_the_analysis_is_that_of_the_definitions(rng: Random) -> None:
    clip = 0.3 * rng.standard_normal(16384) * np.linspace(0, 1, 16384) ** 2
    ours = gansynth.analyse(as_batch(clip))[0].numpy()
    theirs = analyse(clip)
    np.testing.assert_allclose(ours[..., 0], theirs[..., 0], atol=2e-5)
    # 1 and -1 are the same frequency; a phase is rounded where it is weak.
    difference = np.abs(ours[..., 1] - theirs[..., 1])
    difference = np.minimum(difference, 2 - difference)
    assert np.quantile(difference, 0.999) < 1e-3
    assert np.abs(ours).max() <= 1


@pytest.mark.parametrize("hertz", [187.5, 440.0, 1234.5, 3000.0, 6400.0])
def test_the_frequency_of_a_tone_is_its_distance_from_the_bin(
    hertz: float,
) -> None:
    example = gansynth.analyse(as_batch(tone(hertz)))[0].numpy()
    loudest = example[64, :, 0].argmax()
    expected = (hertz - round(mel_bins()[loudest]) * 31.25) / 62.5
    assert abs(expected) < 1
    frames = example[4:-4, loudest, 1]
    np.testing.assert_allclose(frames, expected, atol=2e-3)


def test_the_magnitude_of_a_tone_is_that_of_its_window() -> None:
    # The last mel bin lies on a linear one; its filter reaches to many others.
    example = gansynth.analyse(as_batch(tone(255 * 31.25)))[0].numpy()
    # Half of the amplitude times the sum of the window; beside it, half of it.
    magnitudes = 0.5 * 256 / 2 * np.array([1, 0.5])
    width = 255 - mel_bins()[-2]
    shares = np.maximum(0, 1 - np.arange(20) / width)
    power = shares[:2] @ magnitudes**2 / shares.sum()
    expected = np.log(np.sqrt(power)) / 5
    np.testing.assert_allclose(example[4:-4, -1, 0], expected, atol=0.002)


def test_frequencies_add_up_to_the_phases(rng: Random) -> None:
    clip = 0.3 * rng.standard_normal(16384)
    spectrum = spectrum_of(clip)[:, np.rint(mel_bins()).astype(int)]
    frequency = gansynth.analyse(as_batch(clip))[0, ..., 1].numpy()
    turns = np.rint(mel_bins()) / 4
    phase = np.cumsum(np.pi * frequency + 2 * np.pi * turns, axis=0)
    loud = np.abs(spectrum) > 0.1
    assert loud.mean() > 0.99
    error = np.angle(np.exp(1j * phase) * np.conj(spectrum))[loud]
    assert np.abs(error).max() < 5e-3


def test_angles_are_wrapped() -> None:
    angles = np.array([-7.0, -3.2, -3.0, 0.0, 3.1, 3.2, 100.0])
    wrapped = gansynth.wrap(tf.constant(angles)).numpy()
    np.testing.assert_array_equal(gansynth.wrap(angles), wrapped)
    assert np.all(np.abs(wrapped) <= np.pi)
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * angles))


def test_mel_filters_are_means_around_their_places() -> None:
    filters = gansynth.mel_filters()
    places = mel_bins()
    np.testing.assert_allclose(gansynth.MEL_BINS, places, atol=1e-9)
    assert filters.shape == (256, 128)
    assert filters.min() >= 0
    np.testing.assert_allclose(filters.sum(axis=0), 1, rtol=1e-6)
    # Where mel bins are closer than linear ones, they interpolate.
    fine = np.flatnonzero(np.gradient(places) < 1)
    np.testing.assert_allclose(
        np.arange(256) @ filters[:, fine], places[fine], atol=1e-5
    )
    # Elsewhere no linear bin is left out.
    assert np.all(filters.sum(axis=1) > 0)


def test_the_inverse_transform_is_exact_up_to_both_ends(rng: Random) -> None:
    hertz = rng.uniform(50, 7500, 20)
    clip = np.sum([tone(f, 0.05, rng.uniform(0, 6)) for f in hertz], axis=0)
    audio = as_batch(clip, clip[::-1])
    spectrum = gansynth._stft(audio)
    again = gansynth._inverse_stft(
        tf.math.real(spectrum), tf.math.imag(spectrum)
    )
    np.testing.assert_allclose(again, audio, atol=2e-3)
    np.testing.assert_allclose(
        again[:, 300:-300], audio[:, 300:-300], atol=1e-4
    )


@pytest.mark.parametrize(
    ("clip", "expected"),
    [(tone(200), 30), (tone(440.3) + tone(1107, 0.2), 18), (tone(5000), 6)],
)
def test_tones_survive_the_round_trip(clip: Array, expected: float) -> None:
    audio = as_batch(clip)
    again = gansynth.synthesise(gansynth.analyse(audio))
    assert snr(audio, again) > expected


def test_spoken_words_survive_the_round_trip(rng: Random) -> None:
    words = ("zero", "three", "six")
    clips = np.zeros((3, 16384))
    for clip, word in zip(clips, words, strict=True):
        spoken = formants.render_word(word, formants.draw_speaker(rng), rng)
        spoken = 0.5 * spoken / np.abs(spoken).max()
        clip[: len(spoken)] = spoken[:16384]
    audio = as_batch(*clips)
    again = gansynth.synthesise(gansynth.analyse(audio))
    for wanted, got in zip(audio, again, strict=True):
        assert snr(wanted, got) > 12


def test_silence_stays_silent() -> None:
    example = gansynth.analyse(tf.zeros([1, 16384, 1])).numpy()
    np.testing.assert_allclose(example[..., 0], -1, atol=1e-6)
    assert not np.any(example[..., 1])
    assert np.abs(gansynth.synthesise(example)).max() < 1e-6


def test_channels_are_converted_each_by_itself(rng: Random) -> None:
    left, right = 0.1 * rng.standard_normal((2, 16384))
    both = tf.constant(np.stack([left, right], -1)[np.newaxis], tf.float32)
    examples = gansynth.analyse(both)
    assert examples.shape == (1, 128, 128, 4)
    for channel, clip in enumerate((left, right)):
        alone = gansynth.analyse(as_batch(clip))
        np.testing.assert_allclose(
            examples[..., channel::2], alone, rtol=0, atol=2e-5
        )
        np.testing.assert_allclose(
            gansynth.synthesise(examples)[..., channel : channel + 1],
            gansynth.synthesise(alone),
            atol=1e-4,
        )


# The networks ----------------------------------------------------------------


def test_pixel_norm_gives_each_position_a_mean_square_of_1(rng: Random) -> None:
    x = rng.normal(0, 5, (2, 3, 4, 8)).astype(np.float32)
    inputs = keras.Input(x.shape[1:])
    layer = keras.Model(inputs, gansynth.pixel_norm(inputs))
    expected = x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True))
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)
    assert np.all(np.isfinite(layer(np.zeros_like(x))))


@pytest.mark.parametrize("upsample", ["zeros", "nn"])
def test_the_generator_normalises_what_its_layers_get(
    upsample: str, rng: Random
) -> None:
    model = build(dim=2, upsample=upsample).generator
    z = rng.uniform(-1, 1, (2, 3)).astype(np.float32)
    before = model(z).numpy()
    assert before.shape == (2, 128, 128, 2)
    for name in ("z_project", "upconv_1", "upconv_3"):  # biases are 0
        layer = model.get_layer(name)
        layer.set_weights([5 * weight for weight in layer.get_weights()])
    np.testing.assert_allclose(model(z), before, atol=1e-4)
    layer = model.get_layer("upconv_4")
    layer.set_weights([5 * weight for weight in layer.get_weights()])
    assert np.abs(model(z) - before).max() > 0.01


def test_it_has_the_layout_of_specgan() -> None:
    ours = gansynth.GANSynthConfig(dim=2, num_labels=3)
    theirs = specgan.SpecGANConfig(dim=2, num_labels=3)
    for build_one, build_other in (
        (gansynth.build_generator, specgan.build_generator),
        (gansynth.build_discriminator, specgan.build_discriminator),
    ):
        one, other = build_one(ours), build_other(theirs)
        differing = [
            (a.path, a.shape)
            for a, b in zip(one.weights, other.weights, strict=True)
            if a.shape != b.shape
        ]
        # Two channels instead of one.
        assert {path.split("/")[0] for path, _ in differing} <= {
            "upconv_4",
            "downconv_0",
        }
        assert differing


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"slice_len": 8192}, "slice_len"),
        ({"channels": 0}, "channels"),
        ({"channels": 65}, "channels"),
        ({"kernel_len": 0}, "kernel_len"),
        ({"batchnorm": True}, "batchnorm"),
        ({"dim": 10**5}, "dim"),
        ({"upsample": "sinc"}, "upsample"),
    ],
)
def test_wrong_settings_are_refused(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(settings.SettingError) as error:
        gansynth.GANSynthConfig(**fields)
    assert error.value.field == name


# Training and generation -----------------------------------------------------


@pytest.mark.usefixtures("eagerly")
def test_it_learns_the_examples_of_the_audio(rng: Random) -> None:
    audio = noise_batches(rng)
    model, twin = build(), build(kind=gan.GAN)
    before = [np.array(w) for w in model.trainable_variables]
    losses = model.train_step(audio)
    assert losses == twin.train_step(
        tf.stack([gansynth.analyse(part) for part in audio])
    )
    for ours, theirs in zip(model.variables, twin.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    moved = [
        np.any(old != new)
        for old, new in zip(before, model.trainable_variables, strict=True)
    ]
    assert np.mean(moved) > 0.9


def test_its_critic_learns_to_hear_tones(rng: Random) -> None:
    clips = [tone(f) for f in rng.uniform(200, 2000, 8)]
    audio = tf.reshape(as_batch(*clips), [2, 4, 16384, 1])
    model = build(dim=2)
    model.compile("wgan-gp", learning_rate=3e-3)
    step = tf.function(model.train_step, autograph=False)
    losses = [float(step(audio)["d_loss"]) for _ in range(12)]
    assert losses[-1] < losses[0] - 1
    assert np.all(np.isfinite(losses))


def test_labels_change_what_is_generated(rng: Random, randomize: Any) -> None:
    model = build(num_labels=2)
    randomize(model.generator)
    z = rng.uniform(-1, 1, (1, 3)).astype(np.float32).repeat(2, axis=0)
    first, second = model.generate(z, np.array([0, 1])).numpy()
    assert np.abs(first - second).max() > 0.01
