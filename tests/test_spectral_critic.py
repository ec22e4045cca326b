"""Tests the discriminators of log-magnitude spectrograms."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import scipy.signal
import small_gan
import tensorflow as tf

import gan
import losses
import train_wavegan
import wavegan
from modes import release as release_lib
from networks import spectral_critic
from training import checkpoints, train_dir
from training import config as config_lib
from training import gan_model as model_lib
from training import weights as weights_lib

CONFIG = dataclasses.replace(small_gan.SMALL, slice_len=256)
Random = np.random.Generator


def log_magnitude(audio: np.ndarray, frame_len: int) -> np.ndarray:
    """The twin: frames one by one, windowed and transformed in float64."""
    hop = frame_len // 4
    margin = (frame_len - hop) // 2
    padded = np.pad(
        audio.astype(np.float64), [(0, 0), (margin, margin), (0, 0)]
    )
    window = scipy.signal.get_window("hann", frame_len)  # the periodic one
    frames = [
        np.fft.rfft(
            padded[:, start : start + frame_len] * window[:, np.newaxis], axis=1
        )
        for start in range(0, audio.shape[1], hop)
    ]
    power = np.abs(np.stack(frames, axis=1)) ** 2
    return np.log(power[:, :, :-1] + 1e-4) / 8


@pytest.mark.parametrize("frame_len", spectral_critic.FRAME_LENS)
@pytest.mark.parametrize("channels", [1, 2])
def test_log_magnitudes_equal_the_reference(
    rng: Random, frame_len: int, channels: int
) -> None:
    audio = rng.normal(0, 0.1, (3, 2048, channels)).astype(np.float32)
    audio[1, 500:] = 0
    found = spectral_critic.to_log_magnitude(tf.constant(audio), frame_len)
    assert found.shape == (3, 8192 // frame_len, frame_len // 2, channels)
    np.testing.assert_allclose(
        found, log_magnitude(audio, frame_len), atol=1e-5
    )


def test_a_loud_tone_is_about_1_and_silence_below_minus_1() -> None:
    time = np.arange(2048)[np.newaxis, :, np.newaxis]
    tone = tf.constant(np.sin(np.pi / 4 * time), tf.float32)
    found = spectral_critic.to_log_magnitude(tone, 256).numpy()
    assert found[0, 16, 32, 0] == found.max() == pytest.approx(1.04, abs=0.01)
    silent = spectral_critic.to_log_magnitude(0 * tone, 256).numpy()
    np.testing.assert_allclose(silent, np.log(1e-4) / 8)


@pytest.mark.parametrize("level", [0.0, 1e-6, 1.0])
def test_gradients_are_finite_in_silence_too(rng: Random, level: float) -> None:
    audio = tf.constant(level * rng.normal(size=(2, 1024, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(audio)
        logs = spectral_critic.to_log_magnitude(audio, 256)
        total = tf.reduce_sum(logs)
    gradient = tape.gradient(total, audio).numpy()
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient != 0) == (level > 0)


@pytest.mark.parametrize("num_labels", [0, 3])
def test_each_takes_the_spectrograms_of_its_window(num_labels: int) -> None:
    config = wavegan.WaveGANConfig(
        slice_len=1024, channels=2, dim=1, num_labels=num_labels
    )
    discriminator = wavegan.build_discriminator(config)
    built = spectral_critic.build_beside(discriminator, 3, dim=2)
    assert [spectral_critic.frame_len(net) for net in built] == [256, 512, 128]
    audio = tf.random.stateless_normal([2, 1024, 2], [1, 2])
    for network, frame_len in zip(
        built, spectral_critic.FRAME_LENS, strict=True
    ):
        assert network.name == f"spectral_critic_{frame_len}"
        x: Any = spectral_critic.to_log_magnitude(audio, frame_len)
        scores = network([x, tf.constant([0, 2])] if num_labels else x)
        assert scores.shape == (2,)
        widths = [network.get_layer(f"conv_{i}").filters for i in range(4)]
        assert widths == [2, 4, 8, 16]
        names = {weight.path.split("/")[0] for weight in network.weights}
        assert ("label_project" in names) == bool(num_labels)


def test_networks_of_spectrograms_have_none_beside_them() -> None:
    spectrogram = keras.Input((128, 128, 1))
    network = keras.Model(spectrogram, keras.layers.Flatten()(spectrogram))
    with pytest.raises(ValueError, match="spectral_critics is 2: expected 0"):
        spectral_critic.build_beside(network, 2, dim=1)
    assert spectral_critic.build_beside(network, 0, dim=1) == []


def test_clips_shorter_than_a_frames_hop_are_refused() -> None:
    with pytest.raises(ValueError, match="slice_len is 64: expected 128"):
        small_gan.build(
            config=dataclasses.replace(CONFIG, slice_len=64, phaseshuffle=0),
            num_spectral=2,
        )


# In training -----------------------------------------------------------------


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("objective", losses.OBJECTIVES)
def test_all_discriminators_learn(objective: str) -> None:
    model = small_gan.build(objective, CONFIG, num_spectral=2)
    before = [small_gan.flat(network) for network in model.spectral_critics]
    (report,) = small_gan.train(model, 1)
    assert np.all(np.isfinite(list(report.values())))
    for network, weights in zip(model.spectral_critics, before, strict=True):
        assert np.any(small_gan.flat(network) != weights)
        if objective == "wgan":
            assert np.abs(small_gan.flat(network)).max() <= np.float32(0.01)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("objective", ["wgan-gp", "r3gan"])
def test_losses_of_all_discriminators_are_added(objective: str) -> None:
    """By networks that score nothing: what is left is each one's own loss."""

    def losses_of(kept: range) -> np.ndarray:
        model = small_gan.build(
            objective, CONFIG, num_spectral=2, critic_steps=1
        )
        model.compile(objective, learning_rate=1e-12)  # after the update too
        for i, network in enumerate(
            [model.discriminator, *model.spectral_critics]
        ):
            if i not in kept:
                network.set_weights([0 * w for w in network.get_weights()])
        return np.array([*small_gan.train(model, 1)[0].values()])

    silent = losses_of(range(0))
    each = [losses_of(range(i, i + 1)) - silent for i in range(3)]
    together = losses_of(range(3)) - silent
    assert np.abs(each).min() > 1e-6, "each adds to both losses"
    np.testing.assert_allclose(together, np.sum(each, axis=0), atol=2e-5)


@pytest.mark.usefixtures("eagerly")
def test_they_hear_what_the_waveforms_discriminator_hears() -> None:
    model = small_gan.build(
        config=dataclasses.replace(CONFIG, phaseshuffle=0),
        num_spectral=1,
        critic_steps=1,
        augment=("gain", "shift"),
    )
    heard: dict[str, list[np.ndarray]] = {}
    networks = model.discriminator, model.spectral_critics[0]
    for network in networks:
        calls = heard[network.name] = []

        def note(
            x: Any,
            *args: Any,
            call: Any = network.call,
            calls: list[np.ndarray] = calls,
            **kwargs: Any,
        ) -> Any:
            calls.append(x.numpy())
            return call(x, *args, **kwargs)

        network.call = note
    small_gan.train(model, 1)
    audio, spectra = (heard[network.name] for network in networks)
    for i in (0, -1):  # the third is between spectrograms
        expected = log_magnitude(audio[i], 256)
        np.testing.assert_allclose(spectra[i], expected, atol=1e-4)
    real, fake = np.split(spectra[0], 2)
    way = np.sum((spectra[1] - real) * (fake - real), (1, 2, 3))
    way /= np.sum((fake - real) ** 2, (1, 2, 3))
    alpha = model._draws.alpha(4, tf.constant(0, tf.int64))
    np.testing.assert_allclose(way, alpha, atol=1e-4)


# On disk ---------------------------------------------------------------------


def build(**settings: Any) -> gan.GAN:
    """A compiled GAN as the settings of a run say."""
    train = config_lib.TrainConfig(
        critic_steps=2,
        **{"spectral_critics": 2, "spectral_dim": 1, **settings},
    )
    model = model_lib.build_gan(
        train,
        lambda: (
            wavegan.build_generator(CONFIG),
            wavegan.build_discriminator(CONFIG),
        ),
        CONFIG.latent_dim,
    )
    model_lib.compile_gan(model, train)
    return model


def test_checkpoints_name_each_networks_weights(tmp_path: pathlib.Path) -> None:
    store = checkpoints.Checkpoints(tmp_path)
    model = build()
    store.save(model, 1)
    names = {
        name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").replace(".S", "/")
        for name, _ in tf.train.list_variables(store.path(1))
    }
    for frame_len in (256, 512):
        assert f"spectral_critic_{frame_len}/conv_0/kernel" in names
        assert f"spectral_critic_{frame_len}/output/bias" in names
    # The moments follow the networks' order: the waveform's come first.
    shapes = [
        tuple(variable.shape)
        for network in (model.discriminator, *model.spectral_critics)
        for variable in network.trainable_variables
    ]
    slots = model.discriminator_optimizer.variables[2:]
    assert [tuple(slot.shape) for slot in slots] == [
        shape for shape in shapes for _ in range(2)
    ]
    other = build(seed=1)
    store.restore(other)
    for ours, theirs in zip(
        model.spectral_critics, other.spectral_critics, strict=True
    ):
        np.testing.assert_array_equal(
            small_gan.flat(ours), small_gan.flat(theirs)
        )


def test_a_checkpoint_without_them_does_not_fit(tmp_path: pathlib.Path) -> None:
    store = checkpoints.Checkpoints(tmp_path)
    store.save(build(spectral_critics=0), 1)
    with pytest.raises(ValueError, match="does not fit"):
        store.restore(build())


def test_a_release_holds_them(tmp_path: pathlib.Path) -> None:
    config = config_lib.RunConfig(CONFIG).replace(dir=str(tmp_path / "x"))
    directory = train_dir.TrainDir(tmp_path / "t")
    directory.path.mkdir()
    directory.write_config(config)
    model, other = build(), build(seed=1)
    directory.checkpoints.save(model, 1)
    release_lib.release(
        model,
        directory,
        config,
        model=train_wavegan.MODEL,
        num_clips=2,
        out_dir=tmp_path / "release",
    )
    assert weights_lib.load(other, tmp_path / "release") == 1
    for ours, theirs in zip(
        model.spectral_critics, other.spectral_critics, strict=True
    ):
        np.testing.assert_allclose(
            small_gan.flat(ours), small_gan.flat(theirs), atol=1e-3
        )


def test_their_number_is_checked() -> None:
    with pytest.raises(ValueError, match="spectral_critics is 4: expected 0"):
        config_lib.TrainConfig(spectral_critics=4)
    with pytest.raises(ValueError, match="spectral_dim is 0: expected 1"):
        config_lib.TrainConfig(spectral_dim=0)
