"""Tests latent vectors, WAV files and pictures."""

import io
import pathlib
import warnings

import matplotlib.image
import numpy as np
import pytest
import soundfile

import gan
import wavegan
from audio import plots, write
from modes import latents, render


def test_latent_vectors_do_not_depend_on_how_many_follow() -> None:
    many = latents.sample_z(10, 7, seed=3)
    assert many.dtype == np.float32
    np.testing.assert_array_equal(latents.sample_z(4, 7, seed=3), many[:4])
    np.testing.assert_array_equal(latents.sample_z(1, 7, seed=8), many[5:6])
    assert not np.array_equal(latents.sample_z(10, 7, seed=4), many)


def test_latent_vectors_are_uniform() -> None:
    z = latents.sample_z(1000, 20, seed=0)
    assert -1 <= z.min() < -0.999
    assert 0.999 < z.max() < 1
    counts, _ = np.histogram(z, 10, (-1, 1))
    np.testing.assert_allclose(counts, 2000, atol=5 * np.sqrt(2000))


def test_clips_are_the_generators_in_any_number() -> None:
    config = wavegan.WaveGANConfig(slice_len=64, dim=1, latent_dim=3)
    model = gan.GAN(
        wavegan.build_generator(config),
        wavegan.build_discriminator(config),
        latent_dim=3,
    )
    z = latents.sample_z(render.BATCH_SIZE + 3, 3, seed=0)
    clips = np.stack(list(render.generate_audio(model.generator, z)))
    np.testing.assert_allclose(clips, model.generator(z), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_written_wav_reads_back_to_half_a_step(
    tmp_path: pathlib.Path, channels: int
) -> None:
    rng = np.random.default_rng(0)
    audio = rng.uniform(-1, 1, (500, channels)).astype(np.float32)
    audio[0] = 3.0
    audio[1] = -3.0
    path = tmp_path / "a.wav"
    write.write(path, audio, 22050)
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    assert rate == 22050
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(samples[0], 32767)
    np.testing.assert_array_equal(samples[1], -32768)
    expected = np.minimum(audio[2:], 32767 / 32768)
    assert np.abs(samples[2:] / 32768 - expected).max() <= 0.5001 / 32768


@pytest.mark.parametrize("num_clips", [1, 4, 5])
@pytest.mark.parametrize("channels", [1, 2])
def test_pictures_show_sound_but_not_silence(
    num_clips: int, channels: int
) -> None:
    def brightness(clips: np.ndarray) -> float:
        png = plots.draw_clips({"a": clips, "b": clips}, 16000)
        return float(matplotlib.image.imread(io.BytesIO(png)).mean())

    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (num_clips, 1024, channels)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silent = brightness(np.zeros_like(noise))
        assert brightness(noise) != silent
