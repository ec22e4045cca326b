"""Tests clips by seed, interpolations, and the choice of the best clips."""

import dataclasses
import pathlib
from typing import Any

import command_runner
import numpy as np
import pytest
import soundfile
import tiny_classifier
from hypothesis import given
from hypothesis import strategies as st

import wavegan
from eval import classifier, features
from modes import latents
from modes import request as request_lib
from training import train_dir, weights

PRETRAINED = ("generate", "--pretrained")
CONFIG = train_dir.TrainDir(weights.FOLDER).read_config(wavegan.WaveGANConfig)
WORDS = CONFIG.data.words
RATE = CONFIG.data.sample_rate
seeds = st.integers(0, 2**31 - 1)


def test_a_seed_is_its_clip_alone_and_among_others() -> None:
    many = request_lib.Request(num_clips=4, seed=5).draw(7)
    alone = request_lib.Request(num_clips=1, seed=7).draw(7)
    np.testing.assert_array_equal(many[2:3], alone)
    np.testing.assert_array_equal(alone, latents.sample_z(1, 7, seed=7))
    request = request_lib.Request(num_clips=3, seed=98)
    assert request.points == ["00098", "00099", "00100"]


@given(seeds, seeds, st.sampled_from(list(latents.INTERPOLATIONS)))
def test_a_walk_starts_and_ends_at_its_seeds(a: int, b: int, way: str) -> None:
    request = request_lib.Request(ends=(a, b), steps=5, interpolation=way)
    z = request.draw(9)
    assert len(z) == len(request.points) == len(set(request.points)) == 5
    np.testing.assert_allclose(z[0], latents.sample_z(1, 9, a)[0], atol=1e-6)
    np.testing.assert_allclose(z[-1], latents.sample_z(1, 9, b)[0], atol=1e-6)


@given(seeds, seeds, st.floats(0, 1))
def test_slerp_turns_evenly(a: int, b: int, share: float) -> None:
    start, end = (
        z / np.linalg.norm(z)
        for z in (latents.sample_z(1, 9, seed)[0] for seed in (a, b))
    )
    between = latents.slerp(start, end, share)
    np.testing.assert_allclose(np.linalg.norm(between), 1, atol=1e-5)
    angle = np.arccos(np.clip(np.dot(start, end), -1, 1))
    np.testing.assert_allclose(
        np.dot(between, start), np.cos(share * angle), atol=1e-5
    )


def test_slerp_of_one_direction_is_straight() -> None:
    z = np.array([1.0, 2.0])
    for end in (z, 3 * z, -z):
        between = latents.slerp(z, end, 0.25)
        np.testing.assert_allclose(between, 0.75 * z + 0.25 * end)


def test_straight_walks_and_truncation_are_linear() -> None:
    a, b = latents.sample_z(1, 3, 1)[0], latents.sample_z(1, 3, 2)[0]
    request = request_lib.Request(
        ends=(1, 2), steps=3, interpolation="straight", truncation=0.5
    )
    expected = 0.5 * np.stack([a, (a + b) / 2, b])
    np.testing.assert_allclose(request.draw(3), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_clips": 0}, "n is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"ends": (1, -1)}, "seed is -1"),
        ({"ends": (1,)}, "expected two seeds"),
        ({"steps": 1}, "steps is 1"),
        ({"interpolation": "cubic"}, "slerp, straight"),
        ({"truncation": 0.0}, "truncation is 0.0"),
        ({"truncation": 1.1}, "truncation is 1.1"),
        ({"label": "seven"}, "go together"),
        ({"best": 3}, "go together"),
        ({"label": "seven", "best": 21}, "best is 21"),
    ],
)
def test_odd_requests_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        request_lib.Request(**fields)


def test_the_command_walks_in_any_format(tmp_path: pathlib.Path) -> None:
    done = command_runner.run(
        *(*PRETRAINED, "--interpolate", 3, 7, "--steps=3", "--format=flac"),
        *("--rate=11025", "--normalize=peak", f"--out_dir={tmp_path}"),
    )
    assert done.returncode == 0, done.stderr
    paths = sorted((tmp_path / "interpolations").iterdir())
    clips = request_lib.Request(ends=(3, 7), steps=3).clips(WORDS)
    assert [path.name for path in paths] == [
        f"{clip.name}.flac" for clip in clips
    ]
    length = round(CONFIG.model.slice_len * 11025 / RATE)
    for path in paths:
        audio, rate = soundfile.read(path)
        assert (len(audio), rate) == (length, 11025)
        assert np.abs(audio).max() > 0.999


def test_the_command_strings_clips_together(tmp_path: pathlib.Path) -> None:
    flags = (*PRETRAINED, "--n=2", "--seed=5", f"--out_dir={tmp_path}")
    for more in ((), ("--concat",)):
        done = command_runner.run(*flags, *more)
        assert done.returncode == 0, done.stderr
    request = request_lib.Request(num_clips=2, seed=5)
    first, second = (clip.name for clip in request.clips(WORDS))
    first, whole, second = (
        soundfile.read(tmp_path / f"{name}.wav")[0]
        for name in (first, f"joined/{first}_to_{second}", second)
    )
    gap = np.zeros(RATE // 2)
    np.testing.assert_array_equal(
        whole, np.concatenate([first, gap, second, gap])
    )


@pytest.mark.slow
def test_the_best_of_many_are_kept(tmp_path: pathlib.Path) -> None:
    tiny_classifier.untrained().save(tmp_path / "clf")
    word_classifier = classifier.load(tmp_path / "clf")
    word = word_classifier.words[1]
    flags = ("--n=12", "--seed=3", f"--incept_classifier={tmp_path / 'clf'}")
    for out, more in (("all", ()), ("best", (f"--label={word}", "--best=4"))):
        done = command_runner.run(
            *(*PRETRAINED, *flags, *more, f"--out_dir={tmp_path / out}")
        )
        assert done.returncode == 0, done.stderr
    paths = sorted((tmp_path / "all").glob("*.wav"))
    clips = np.stack([soundfile.read(path)[0] for path in paths])
    heard = features.fit(clips[..., None].astype(np.float32), RATE)
    probs = classifier.predict(word_classifier.model, heard)[:, 1]
    best = sorted(paths[i].name for i in np.argsort(-probs)[:4])
    kept = sorted(path.name for path in (tmp_path / "best").glob("*.wav"))
    assert kept == best
    assert f'heard as "{word}"' in done.stdout
    assert f"{probs.max():.2f} to {np.sort(probs)[-4]:.2f}" in done.stdout
    done = command_runner.run(*PRETRAINED, *flags, "--label=eleven", "--best=4")
    command_runner.assert_one_line(done, "--label", "eleven", word)
    done = command_runner.run(*PRETRAINED, "--label=owl", "--best=4")
    command_runner.assert_one_line(done, "holds no classifier")


def test_the_shipped_classifier_chooses_digits(tmp_path: pathlib.Path) -> None:
    flags = ("--label=One", "--n=6", "--best=1", f"--out_dir={tmp_path}")
    done = command_runner.run(*PRETRAINED, "--word=one,two", *flags)
    assert done.returncode == 0, done.stderr
    assert "classifier e5cb43e2" in done.stdout
    assert [path.name[:3] for path in tmp_path.glob("*.wav")] == ["One"]


def test_odd_flags_are_named() -> None:
    for flags, words in (
        (("--format=mp3",), ("--format", "wav, flac")),
        (("--interpolate=3",), ("--interpolate", "two seeds")),
        (("--interpolate", "a", "7"), ("--interpolate", "two seeds")),
        (("--normalize=loud",), ("--normalize", "loudness")),
    ):
        done = command_runner.run(*PRETRAINED, *flags)
        command_runner.assert_one_line(done, *words)


def test_requests_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        request_lib.Request().seed = 3  # type: ignore[misc]
