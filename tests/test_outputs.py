"""Tests that what the programs write is never taken for data."""

from __future__ import annotations

import pathlib

import command_runner
import pytest
import wavs

import loader
from eval import clips, labels


def make_output(folder: pathlib.Path, *names: str) -> None:
    """Makes a folder of an output that holds a sound, and these files."""
    wavs.write(folder / "sub" / "generated.wav", wavs.noise(300), 16000)
    for name in names:
        if "." in name:
            (folder / name).write_text("{}")
        else:
            (folder / name).mkdir()


OUTPUTS = {
    "a train dir": ("config.json", "checkpoints"),
    "released weights": ("config.json", "generator.npz"),
    "generated clips": ("clips.json",),
    "an export": ("generator.json",),
    "a kit of generated clips": ("kit.json",),
}


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("name", ["run", "train", "deep/er"])
def test_outputs_within_the_data_are_left_out(
    tmp_path: pathlib.Path, kind: str, name: str
) -> None:
    sound = wavs.write(tmp_path / "sound.wav", wavs.noise(300), 16000)
    make_output(tmp_path / name, *OUTPUTS[kind])
    assert loader.find_audio(tmp_path) == [sound]


@pytest.mark.parametrize("kind", OUTPUTS)
def test_an_output_alone_is_refused(tmp_path: pathlib.Path, kind: str) -> None:
    make_output(tmp_path, *OUTPUTS[kind])
    with pytest.raises(ValueError, match=f"is {kind}: give a folder of rec"):
        loader.find_audio(tmp_path)


def test_a_folder_that_is_only_named_alike_is_data(
    tmp_path: pathlib.Path,
) -> None:
    make_output(tmp_path / "train", "config.json")
    assert len(loader.find_audio(tmp_path)) == 1


def test_outputs_are_no_split_of_a_classifiers_data(
    tmp_path: pathlib.Path,
) -> None:
    for i in range(20):
        for word in ("yes", "no"):
            wavs.write(tmp_path / f"{word}_{i}.wav", wavs.noise(300), 16000)
    for split in labels.SPLITS:
        make_output(tmp_path / split, "config.json", "checkpoints")
    words, splits = labels.find(tmp_path)
    assert words == ["no", "yes"]
    assert sum(len(split.paths) for split in splits.values()) == 40


def test_generated_clips_are_scored_but_not_learnt(
    tmp_path: pathlib.Path,
) -> None:
    wavs.write(tmp_path / "0.wav", wavs.noise(16384), 16000)
    text = '{"files": ["0.wav"], "made_by": {}}'
    (tmp_path / "clips.json").write_text(text)
    assert clips.from_folder(tmp_path).num_clips == 1
    done = command_runner.run("train", tmp_path / "t", f"--data_dir={tmp_path}")
    command_runner.assert_one_line(done, "is generated clips")


@pytest.mark.slow
def test_a_run_beside_its_data_does_not_learn_itself(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for path in audio.glob("*.wav"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    small = "--data_dir=.", *command_runner.TINY
    for command in (
        ("train", "--train_max_steps=2", *small),
        ("generate", "--n=3"),
        ("train", "--train_max_steps=4"),
        ("train", "run1", "--train_max_steps=1", *small),
    ):
        mode, *flags = command
        done = command_runner.run(mode, *flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        if mode == "train":
            assert "11 files" in done.stderr + done.stdout, done.stderr
