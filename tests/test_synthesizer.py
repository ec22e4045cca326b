"""Tests the recordings of synthesised digits, and the data set on disk."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from digits import synthesizer

Random = np.random.Generator
ROOT = pathlib.Path(synthesizer.__file__).parents[1]
SAMPLE_RATE = 16000
NAME = re.compile(r"([A-Z][a-z]+)_([0-9a-f]{8})_nohash_([0-9]+)\.wav")
STILL_ROOM = synthesizer.Room(
    reverb_secs=0, snr_db=200, noise_slope=0, lowpass_hz=np.inf, peak=0.5
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A data set of 200 clips."""
    data_dir = tmp_path_factory.mktemp("synthesizer") / "digits"
    synthesizer.synthesize(data_dir, num_clips=200, seed=3)
    return data_dir


def clips_of(data_dir: pathlib.Path) -> list[tuple[str, str, str]]:
    """Returns (split, word, speaker) of each clip."""
    clips = []
    for path in sorted(data_dir.rglob("*.wav")):
        match = NAME.fullmatch(path.name)
        assert match, path
        clips.append((path.parent.name, match[1].lower(), match[2]))
    return clips


def contents(data_dir: pathlib.Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(data_dir)): path.read_bytes()
        for path in data_dir.rglob("*")
        if path.is_file()
    }


# The recording.


def test_recording_lasts_one_second_and_keeps_its_peak(
    rng: Random,
) -> None:
    for word in synthesizer.WORDS:
        speaker, room = (
            synthesizer.draw_speaker(rng),
            synthesizer.draw_room(rng),
        )
        clip = synthesizer.record(
            synthesizer.render_word(word, speaker, rng), room, rng
        )
        assert clip.shape == (16000,)
        assert 0.69 * room.peak < np.abs(clip).max() <= room.peak + 1e-9 < 1


def test_silence_surrounds_the_word(rng: Random) -> None:
    for word in ("one", "three", "nine"):
        sound = synthesizer.render_word(
            word, synthesizer.draw_speaker(rng), rng
        )
        clip = synthesizer.record(sound, STILL_ROOM, rng)
        loud = np.flatnonzero(np.abs(clip) > 0.01 * np.abs(clip).max())
        assert loud[-1] - loud[0] < len(sound)
        outside = np.r_[clip[: max(loud[0] - 800, 0)], clip[loud[-1] + 800 :]]
        assert len(outside) > 2000
        assert np.abs(outside).max() < 0.01 * np.abs(clip).max()


def test_words_differ_in_their_place_in_the_second(
    rng: Random,
) -> None:
    sound = np.sin(np.arange(4000) * 0.3)
    starts = [
        np.flatnonzero(
            np.abs(synthesizer.record(sound, STILL_ROOM, rng)) > 0.1
        )[0]
        for _ in range(50)
    ]
    assert np.mean(starts) == pytest.approx(6000, abs=1000)
    assert np.std(starts) > 1000


@pytest.mark.parametrize("snr_db", [12, 30, 45])
@pytest.mark.parametrize("noise_slope", [0.0, -1.0])
def test_noise_is_as_far_below_the_word_as_the_room_says(
    snr_db: float, noise_slope: float, rng: Random
) -> None:
    room = dataclasses.replace(
        STILL_ROOM, snr_db=snr_db, noise_slope=noise_slope
    )
    tone = np.sin(2 * np.pi * 1000 * np.arange(4000) / SAMPLE_RATE)
    clip = synthesizer.record(tone, room, rng)
    power = np.convolve(clip**2, np.ones(3200) / 3200, "valid")
    start = int(power.argmax())
    outside = np.r_[clip[: max(start - 1200, 0)], clip[start + 4400 :]]
    measured = 10 * np.log10(power.max() / np.mean(outside**2))
    assert measured == pytest.approx(snr_db, abs=2.5)


@pytest.mark.parametrize("reverb_secs", [0.1, 0.3])
def test_echo_fades_by_60_db_in_the_time_of_the_room(
    reverb_secs: float, rng: Random
) -> None:
    room = dataclasses.replace(STILL_ROOM, reverb_secs=reverb_secs)
    slopes = []
    for _ in range(20):
        clip = synthesizer.record(np.ones(1), room, rng)
        echo = clip[int(np.abs(clip).argmax()) + 80 :][: int(0.1 * SAMPLE_RATE)]
        if len(echo) < 0.1 * SAMPLE_RATE:  # the click came too late
            continue
        power_db = 10 * np.log10(np.mean(echo.reshape(20, -1) ** 2, axis=1))
        secs = (np.arange(20) + 0.5) * 0.1 / 20
        slopes.append(np.polyfit(secs, power_db, 1)[0])
    assert len(slopes) > 5
    assert -60 / np.mean(slopes) == pytest.approx(reverb_secs, rel=0.1)


def test_poor_microphone_hears_nothing_high(rng: Random) -> None:
    room = dataclasses.replace(STILL_ROOM, lowpass_hz=3400.0)
    power = np.abs(
        np.fft.rfft(synthesizer.record(rng.normal(size=8000), room, rng))
    )
    assert np.mean(power[6800:]) < 0.01 * np.mean(power[1000:3000])


def test_word_longer_than_a_second_is_cut(rng: Random) -> None:
    clip = synthesizer.record(rng.normal(size=20000), STILL_ROOM, rng)
    assert clip.shape == (16000,)


# The data set.


def test_clips_are_16_khz_16_bit_mono_of_one_second(
    digits: pathlib.Path,
) -> None:
    for path in digits.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (
            *(16000, 1, 16000),
            "PCM_16",
        )


def test_no_clip_is_silent_or_clipped(digits: pathlib.Path) -> None:
    for path in digits.rglob("*.wav"):
        peak = np.abs(soundfile.read(path)[0]).max()
        assert 0.1 < peak < 0.999


@pytest.mark.parametrize("num_clips", [1, 7, 23, 105])
def test_words_are_balanced_whatever_the_count(
    num_clips: int, tmp_path: pathlib.Path
) -> None:
    synthesizer.synthesize(tmp_path / "digits", num_clips)
    clips = clips_of(tmp_path / "digits")
    counts = collections.Counter(word for _, word, _ in clips)
    assert len(clips) == num_clips
    assert set(counts) <= set(synthesizer.WORDS)
    assert max(counts.values()) - min(
        counts[word] for word in synthesizer.WORDS
    ) <= (num_clips % 10 > 0)


def test_first_clip_is_for_training(tmp_path: pathlib.Path) -> None:
    synthesizer.synthesize(tmp_path / "digits", 1)
    assert [split for split, _, _ in clips_of(tmp_path / "digits")] == ["train"]


def test_words_are_balanced(digits: pathlib.Path) -> None:
    counts = collections.Counter(word for _, word, _ in clips_of(digits))
    assert counts == dict.fromkeys(synthesizer.WORDS, 20)


def test_splits_are_eight_one_one(digits: pathlib.Path) -> None:
    counts = collections.Counter(split for split, _, _ in clips_of(digits))
    assert counts == {"train": 160, "valid": 20, "test": 20}


def test_speakers_do_not_cross_splits(digits: pathlib.Path) -> None:
    splits = collections.defaultdict(set)
    for split, _, speaker in clips_of(digits):
        splits[speaker].add(split)
    assert len(splits) >= 100
    assert all(len(split) == 1 for split in splits.values())


# From the lists in the archive of Speech Commands v0.01.
@pytest.mark.parametrize(
    ("speaker_id", "split"),
    [
        *[("51055bda", "train"), ("5fe4a278", "train"), ("651d108f", "train")],
        *[("37e8db82", "train"), ("742d6431", "train"), ("dabf67d9", "train")],
        *[("439c84f4", "valid"), ("6a27a9bf", "valid"), ("026290a7", "valid")],
        *[("060cd039", "valid"), ("099d52ad", "valid")],
        *[("0c40e715", "test"), ("0ea0e2f4", "test")],
    ],
)
def test_split_rule_is_that_of_speech_commands(
    speaker_id: str, split: str
) -> None:
    assert synthesizer.assign_split(speaker_id) == split


def test_speakers_are_where_the_split_rule_puts_them(
    digits: pathlib.Path,
) -> None:
    for split, _, speaker in clips_of(digits):
        assert synthesizer.assign_split(speaker) == split


def test_same_seed_gives_same_bytes(tmp_path: pathlib.Path) -> None:
    for name in ("a", "b"):
        synthesizer.synthesize(tmp_path / name, 30, seed=5)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_another_seed_gives_other_speakers_and_sounds(
    tmp_path: pathlib.Path,
) -> None:
    for seed in (0, 1):
        synthesizer.synthesize(tmp_path / str(seed), 20, seed)
    first, second = (contents(tmp_path / name) for name in "01")
    assert not first.keys() & second.keys() - {synthesizer.MANIFEST}
    assert not set(first.values()) & set(second.values())


def test_complete_folder_is_left_alone(tmp_path: pathlib.Path) -> None:
    data_dir = tmp_path / "digits"
    synthesizer.synthesize(data_dir, 3)
    mark = data_dir / "train" / "mark"
    mark.touch()
    synthesizer.synthesize(data_dir, 3)
    assert mark.exists()


@pytest.mark.parametrize(("num_clips", "seed"), [(4, 0), (3, 1)])
def test_folder_of_other_digits_is_refused(
    num_clips: int, seed: int, tmp_path: pathlib.Path
) -> None:
    synthesizer.synthesize(tmp_path / "digits", 3, 0)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="choose another folder") as error:
        synthesizer.synthesize(tmp_path / "digits", num_clips, seed)
    assert "\n" not in str(error.value)
    assert contents(tmp_path) == before


def test_folder_of_something_else_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear reader")
    for place in (tmp_path, tmp_path / "letter.txt"):
        with pytest.raises(ValueError, match="something else"):
            synthesizer.synthesize(place, 3)
    assert contents(tmp_path) == {"letter.txt": b"Dear reader"}


def test_empty_or_missing_folders_are_filled(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new/deeper"):
        synthesizer.synthesize(tmp_path / name, 3)
        assert len(clips_of(tmp_path / name)) == 3


@pytest.mark.parametrize(("num_clips", "seed"), [(0, 0), (-5, 0), (3, -1)])
def test_impossible_requests_are_refused(
    num_clips: int, seed: int, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match=r"-?\d"):
        synthesizer.synthesize(tmp_path / "digits", num_clips, seed)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_nothing_is_left_of_a_run_that_failed(
    error: type[BaseException],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    render_word, calls = synthesizer.render_word, []

    def fail_at_third(*args: object) -> np.ndarray:
        calls.append(args)
        if len(calls) == 3:
            raise error
        return render_word(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(synthesizer, "render_word", fail_at_third)
    with pytest.raises(error):
        synthesizer.synthesize(tmp_path / "digits", 5)
    assert not any(tmp_path.iterdir())


def test_killed_run_leaves_no_half_data_set(tmp_path: pathlib.Path) -> None:
    code = "from digits import synthesizer; synthesizer.synthesize(r'{}', 5000)"
    process = subprocess.Popen(
        [sys.executable, "-c", code.format(tmp_path / "digits")],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not any(tmp_path.rglob("*.wav")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert any(tmp_path.rglob("*.wav"))
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "digits").exists()
    synthesizer.synthesize(tmp_path / "digits", 2)
    assert len(clips_of(tmp_path / "digits")) == 2


def test_two_processes_at_once_both_find_the_data_set(
    tmp_path: pathlib.Path,
) -> None:
    manifest = {"seed": 0}
    with synthesizer.new_folder(tmp_path / "digits", manifest) as slow:
        (slow / "train" / "clip").touch()
        with synthesizer.new_folder(tmp_path / "digits", manifest) as fast:
            (fast / "train" / "clip").touch()
    assert synthesizer.is_complete(tmp_path / "digits", manifest)
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def test_synthesiser_needs_numpy_alone() -> None:
    code = (
        "import sys; from digits import synthesizer\n"
        "heavy = {'tensorflow', 'keras', 'scipy', 'librosa', 'soundfile'}\n"
        "sys.exit(len(heavy & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
