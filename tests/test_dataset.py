"""Tests which audio files a run uses, and the report of changes."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
import pytest
import soundfile
import tensorflow as tf
import wavs

import wavegan
from audio import headers
from training import config as config_lib
from training import dataset, file_list, train_dir


def config_of(folder: pathlib.Path, **settings: Any) -> config_lib.RunConfig:
    """A small run."""
    return config_lib.RunConfig(
        wavegan.WaveGANConfig(slice_len=64),
        config_lib.DataConfig(dir=str(folder)),
        config_lib.TrainConfig(critic_steps=2, batch_size=3, seed=5),
    ).replace(**settings)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged."""
    lines: list[str] = []
    keep = lambda text, *args: lines.append(text % args)  # noqa: E731
    for level in ("info", "warning"):
        monkeypatch.setattr(dataset.logging, level, keep)
    return lines


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> train_dir.TrainDir:
    made = train_dir.TrainDir(tmp_path / "t")
    made.path.mkdir()
    return made


def test_the_files_of_a_step_are_those_of_its_batches(
    tmp_path: pathlib.Path, directory: train_dir.TrainDir
) -> None:
    for i in range(20):  # each file is one level
        samples = np.full(64 * (1 + i % 3), (i + 1) / 32)
        wavs.write(tmp_path / "in" / f"{i:02}.wav", samples)
    config = config_of(tmp_path / "in")
    found = dataset.find(config, directory)
    stream = dataset.stream(
        found,
        config,
        directory,
        3,
        lambda *_: None,
        tf.distribute.get_strategy(),
    )
    for step, batches in enumerate(stream.take(9), start=4):
        levels = np.rint(batches.numpy()[:, :, 0, 0].ravel() * 32).astype(int)
        names = [f"{level - 1:02}.wav" for level in levels]
        paths = dataset.files_of_step(found, config, step)
        assert [pathlib.Path(path).name for path in paths] == list(
            dict.fromkeys(names)
        )


@dataclasses.dataclass
class Replicas:
    """Stands in for a strategy, as one process of it."""

    num_replicas_in_sync: int
    worker: tf.distribute.InputContext

    def distribute_datasets_from_function(self, make: Any) -> tf.data.Dataset:
        return make(self.worker)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("devices", [1, 2])
def test_replicas_share_the_batches_of_one(
    tmp_path: pathlib.Path,
    directory: train_dir.TrainDir,
    workers: int,
    devices: int,
) -> None:
    for i in range(40):  # each file is one level
        wavs.write(tmp_path / "in" / f"{i:02}.wav", np.full(64, (i + 1) / 64))
    config = config_of(tmp_path / "in", batch_size=12)
    found = dataset.find(config, directory)

    def take(strategy: Any, count: int) -> list[np.ndarray]:
        stream = dataset.stream(
            found, config, directory, 3, lambda *_: None, strategy
        )
        return [batches.numpy() for batches in stream.take(count)]

    alone = take(tf.distribute.get_strategy(), 5)
    replicas = workers * devices
    shared = [
        take(
            Replicas(
                replicas, tf.distribute.InputContext(workers, i, replicas)
            ),
            5 * devices,
        )
        for i in range(workers)
    ]
    for step, batches in enumerate(alone):
        parts = [
            shared[i][step * devices + k]
            for i in range(workers)
            for k in range(devices)
        ]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), batches)


def test_what_was_found_is_remembered_until_it_changes(
    tmp_path: pathlib.Path,
    directory: train_dir.TrainDir,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "in"
    wavs.write_all(folder, [100, 200, 300])
    config = config_of(folder)
    before = dataset.find(config, directory)
    dataset.remember(before, directory)
    opened = []
    real = soundfile.SoundFile

    def note(path: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(pathlib.Path(os.fsdecode(path)).name)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(headers, "_known", {})
    monkeypatch.setattr(soundfile, "SoundFile", note)
    assert dataset.find(config, directory) == before
    assert not opened
    wavs.write(folder / "01.wav", wavs.noise(999))
    assert dataset.find(config, directory).infos[1].num_samples == 999
    assert set(opened) == {"01.wav"}


@pytest.mark.parametrize(
    "text", ["", "{", "[[1]]", '{"a": 1}', "3", "[" * 100_000, '[["x"]]']
)
def test_a_damaged_memory_is_none(
    tmp_path: pathlib.Path, directory: train_dir.TrainDir, text: str
) -> None:
    wavs.write_all(tmp_path / "in", [100])
    (directory.path / "files.json").write_text(text)
    assert len(dataset.find(config_of(tmp_path / "in"), directory).infos) == 1


def test_other_data_than_before_are_reported(
    tmp_path: pathlib.Path, directory: train_dir.TrainDir, said: list[str]
) -> None:
    folder = tmp_path / "in"
    wavs.write_all(folder, [100, 200, 300])
    config = config_of(folder)
    dataset.remember(dataset.find(config, directory), directory)
    dataset.find(config, directory)
    assert not [line for line in said if "not those" in line]
    (folder / "00.wav").unlink()
    wavs.write(folder / "01.wav", wavs.noise(999))
    wavs.write(folder / "07.wav", wavs.noise(99))
    dataset.find(config, directory)
    assert "1 files more, 1 gone, 1 changed" in said[-1]
    dataset.remember(dataset.find(config, directory), directory)
    folder.rename(tmp_path / "moved")
    said.clear()
    dataset.find(config_of(tmp_path / "moved"), directory)
    assert not [line for line in said if "not those" in line]
    wavs.write_all(tmp_path / "other", [500, 600, 700])
    dataset.find(config_of(tmp_path / "other"), directory)
    assert "3 files more, 3 gone, 0 changed" in said[-1]


def test_skipped_files_are_counted_and_listed(
    tmp_path: pathlib.Path, directory: train_dir.TrainDir, said: list[str]
) -> None:
    folder = tmp_path / "in"
    wavs.write_all(folder, [100, 200, 300])
    wavs.write(folder / "slow.wav", wavs.noise(400), 8000)
    (folder / "bad\nname.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 5 .*bad.nname.*max_bad=0\.2"):
        dataset.find(config_of(folder), directory)
    found = dataset.find(config_of(folder, max_bad=0.2), directory)
    assert "data: 4 files" in said[-1]
    assert "1 files skipped (listed in" in said[-1]
    assert said[-1].endswith("skipped.txt); 1 at 8000 Hz")
    assert "bad\\nname.wav" in said[-2]
    dataset.remember(found, directory)
    lines = directory.skipped.read_text().splitlines()
    assert len(lines) == 1
    assert "bad\\nname.wav" in lines[0]
    assert len(found.infos) + len(found.skipped) == 5


def test_real_clips_are_those_of_the_folder(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    clips = dataset.real_clips(config_of(audio), 11)
    assert clips is not None
    assert clips.shape == (11, 64, 1)
    found = {clip.tobytes() for clip in clips}
    for path in audio.iterdir():
        samples, _ = soundfile.read(path, dtype="float32")
        assert samples[:64, np.newaxis].tobytes() in found
    assert dataset.real_clips(config_of(tmp_path / "gone"), 3) is None


def test_real_clips_do_without_broken_files(tmp_path: pathlib.Path) -> None:
    wavs.write_all(tmp_path, [100, 100])
    (tmp_path / "a.wav").write_bytes(b"")
    wavs.write(tmp_path / "b.wav", np.full(99, np.nan), codec=("WAV", "FLOAT"))
    clips = dataset.real_clips(config_of(tmp_path), 5)
    assert clips is not None and len(clips) == 2
    for name in ("00.wav", "01.wav"):
        (tmp_path / name).unlink()
    assert dataset.real_clips(config_of(tmp_path), 5) is None


def test_one_file_of_six_channels_is_one_bad_file(
    tmp_path: pathlib.Path, directory: train_dir.TrainDir
) -> None:
    for i in range(3):
        wavs.write(tmp_path / "in" / f"{i}.wav", wavs.noise(100, i % 2 + 1))
    odd = wavs.write(tmp_path / "in" / "5.1.wav", wavs.noise(100, 6))
    config = config_of(tmp_path / "in", channels=2)
    with pytest.raises(ValueError, match="6 channels, not 1 or 2"):
        dataset.find(config, directory)
    found = dataset.find(config.replace(max_bad=0.5), directory)
    assert len(found.infos) == 3
    assert found.skipped == {odd: "6 channels, not 1 or 2"}
    # What the train dir remembers serves a run of other channels as well.
    dataset.remember(found, directory)
    mono = dataset.find(config.replace(channels=1), directory)
    assert len(mono.infos) == 4


def test_float_files_of_16_bit_scale_are_warned_of(
    tmp_path: pathlib.Path, directory: train_dir.TrainDir, said: list[str]
) -> None:
    for i, scale in enumerate([1, 32768, 32768]):
        path, audio = tmp_path / "in" / f"{i}.wav", wavs.noise(100) * scale
        wavs.write(path, audio, codec=("WAV", "FLOAT"))
    config = config_of(tmp_path / "in")
    dataset.find(config, directory)
    (line,) = [line for line in said if "full scale" in line]
    assert line.startswith("2 of 3 float files exceed full scale")
    assert "--data_normalize" in line
    said.clear()
    dataset.find(config.replace(normalize=True), directory)
    assert not any("full scale" in line for line in said)


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({"sample_rate": 8000}, 0),
        ({"sample_rate": 16000}, 0),
        ({"sample_rate": 44100}, 1),
        ({"sample_rate": 44100, "channels": 2}, 2),
    ],
)
def test_rates_and_channels_that_no_file_has_are_warned_of(
    tmp_path: pathlib.Path,
    directory: train_dir.TrainDir,
    said: list[str],
    settings: dict[str, int],
    lines: int,
) -> None:
    wavs.write(tmp_path / "in" / "a.wav", wavs.noise(4000), 8000)
    wavs.write(tmp_path / "in" / "b.wav", wavs.noise(4000), 16000)
    dataset.find(config_of(tmp_path / "in", **settings), directory)
    warned = [line for line in said if "learns the same" in line]
    assert len(warned) == lines
    if lines:
        assert "no file has more than 16000 Hz" in warned[0]
        assert "nothing is above 8 kHz" in warned[0]
    if lines == 2:
        assert "all files are mono" in warned[1]


def test_a_memory_of_another_version_is_none(
    tmp_path: pathlib.Path, directory: train_dir.TrainDir
) -> None:
    config = config_of(tmp_path / "in")
    wavs.write_all(tmp_path / "in", [100])
    dataset.remember(dataset.find(config, directory), directory)
    path = directory.path / "files.json"
    assert len(file_list.read(directory)) == 1
    path.write_text(path.read_text().replace('"version": 2', '"version": 1'))
    assert file_list.read(directory) == []
