"""Tests SpecGAN's command line, from an empty folder to clips."""

import functools
import pathlib

import command_runner
import numpy as np
import pytest
import soundfile
import tensorflow as tf
import wavs

import loader
from modes import latents
from networks import spectrogram
from training import train_dir as train_dir_lib

SPECGAN = "train_specgan.py"
TINY = (
    "--specgan_dim=1",
    "--specgan_latent_dim=4",
    "--specgan_disc_nupdates=1",
    "--specgan_ngl=2",
    "--train_batch_size=2",
)
run = functools.partial(command_runner.run, program=SPECGAN)
assert_one_line = functools.partial(
    command_runner.assert_one_line, program=SPECGAN
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Four files of noise, each a slice and a bit."""
    folder = tmp_path_factory.mktemp("noise")
    wavs.write_all(folder, [16384, 16500, 16600, 16700])
    return folder


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, audio: pathlib.Path
) -> train_dir_lib.TrainDir:
    """An uninterrupted run of four steps."""
    path = tmp_path_factory.mktemp("specgan") / "t"
    done = run(
        "train", path, f"--data_dir={audio}", *TINY, "--train_max_steps=4"
    )
    assert done.returncode == 0, done.stderr
    assert "moments: measured" in done.stderr
    return train_dir_lib.TrainDir(path)


def test_training_starts_by_measuring_moments(
    trained: train_dir_lib.TrainDir, audio: pathlib.Path
) -> None:
    # Each file is one slice, which starts anywhere within the next.
    clips = loader.load_clips(loader.find_audio(audio), 16384, 16000)
    frames = np.stack([np.pad(clip, (0, 128)) for clip in clips])
    frames = np.lib.stride_tricks.sliding_window_view(frames, 256, axis=1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    spectra = np.abs(np.fft.rfft(frames[:, ::128] * window))[..., :128]
    logs = np.log(spectra.reshape(-1, 128) + 1e-6)
    moments = spectrogram.Moments.load(trained.moments)
    np.testing.assert_allclose(moments.mean, logs.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(moments.std, logs.std(axis=0), atol=0.2)


def test_a_resumed_run_measures_nothing_and_ends_the_same(
    trained: train_dir_lib.TrainDir, audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run("train", tmp_path, f"--data_dir={audio}", *TINY, "--train_max_steps=2")
    before = (tmp_path / "moments.npz").stat().st_mtime_ns
    done = run("train", tmp_path, "--train_max_steps=4")
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stderr and "moments" not in done.stderr
    assert (tmp_path / "moments.npz").stat().st_mtime_ns == before
    command_runner.assert_same_run(tmp_path, trained.path)


def test_what_was_learnt_is_heard(
    trained: train_dir_lib.TrainDir, tmp_path: pathlib.Path
) -> None:
    done = run("preview", trained.path, "--once", "--preview_n=2")
    assert done.returncode == 0, done.stderr
    assert (trained.path / "preview/00000004.png").exists()
    samples, rate = soundfile.read(trained.path / "preview/00000004.wav")
    assert (len(samples), rate) == (2 * (16384 + 8000), 16000)
    for train_dir, out in (
        (trained.path, tmp_path / "clips"),
        (tmp_path / "released", tmp_path / "clips_of_released"),
    ):
        if not train_dir.exists():
            done = run(
                *("release", trained.path, f"--out_dir={train_dir}"),
                "--preview_n=2",
            )
            assert done.returncode == 0, done.stderr
        done = run("generate", train_dir, "--n=2", f"--out_dir={out}")
        assert done.returncode == 0, done.stderr
    done = run("infer", trained.path)
    assert done.returncode == 0, done.stderr
    serve = tf.saved_model.load(
        str(trained.path / "export/saved_model")
    ).signatures["serving_default"]
    z = latents.sample_z(2, 4, seed=0)
    served = serve(z=tf.constant(z))["G_z"].numpy()
    for i in range(2):
        clip, _ = soundfile.read(tmp_path / f"clips/{i:05d}.wav")
        np.testing.assert_allclose(clip, served[i, :, 0], atol=1e-4)
        half, _ = soundfile.read(tmp_path / f"clips_of_released/{i:05d}.wav")
        np.testing.assert_allclose(clip, half, atol=0.02)
    assert np.std(served) > 0.01


def test_moments_measured_apart_are_what_train_takes(
    trained: train_dir_lib.TrainDir, audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    train_dir, file = tmp_path / "t", tmp_path / "m.npz"
    given = f"--data_moments_fp={file}"
    done = run("moments", train_dir, f"--data_dir={audio}", given)
    assert done.returncode == 0, done.stderr
    moments = spectrogram.Moments.load(file)
    assert moments == spectrogram.Moments.load(trained.moments)
    other = spectrogram.Moments(moments.mean + 1, moments.std)
    other.save(file)
    flags = (f"--data_dir={audio}", *TINY, "--train_max_steps=1", given)
    done = run("train", train_dir, *flags)
    assert done.returncode == 0, done.stderr
    assert "measured" not in done.stderr
    assert spectrogram.Moments.load(train_dir / "moments.npz") == other
    done = run("train", train_dir, *flags)
    assert "nothing to do" in done.stderr
    moments.save(file)
    done = run("train", train_dir, given)
    assert_one_line(done, "--data_moments_fp", "another train dir")


def test_moments_of_a_run_stay(trained: train_dir_lib.TrainDir) -> None:
    assert_one_line(run("moments", trained.path), "another train dir")


def test_silence_has_no_moments(tmp_path: pathlib.Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(20000), 16000)
    done = run("train", tmp_path / "t", f"--data_dir={tmp_path}")
    assert_one_line(done, "silence")


def test_other_models_train_dirs_are_refused(
    trained: train_dir_lib.TrainDir, audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for mode in ("train", "generate"):
        done = command_runner.run(mode, trained.path)
        command_runner.assert_one_line(done, "the program that made it")
    command_runner.train(tmp_path, audio, "--train_max_steps=1")
    assert_one_line(run("preview", tmp_path), "the program that made it")


def test_odd_flags_are_named_before_anything_is_made(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for flag in ("--specgan_loss=gan", "--specgan_ngl=-1"):
        done = run("train", tmp_path / "t", f"--data_dir={audio}", flag)
        assert_one_line(done, flag.split("=")[0])
    assert_one_line(run("train", "--specgan_genr_pp"), "specgan_genr_pp")
    assert_one_line(run("sing"), "moments")
    assert not (tmp_path / "t").exists()
