"""Tests that scores are of the clips that one generator made alike."""

from __future__ import annotations

import pathlib

import command_runner
import pytest
import wavs

from eval import clips, manifest

ONE, OTHER = {"weights": "a"}, {"weights": "b"}


def write(folder: pathlib.Path, *names: str) -> list[str]:
    """Writes clips with these names."""
    for name in names:
        wavs.write(folder / name, wavs.noise(16384), 16000)
    return list(names)


def used(folder: pathlib.Path) -> list[str]:
    """Names of the clips of a folder that are scored."""
    paths = clips.from_folder(folder).paths
    return sorted(str(pathlib.Path(p).relative_to(folder)) for p in paths)


def test_a_folder_without_a_manifest_is_used_as_it_is(
    tmp_path: pathlib.Path,
) -> None:
    write(tmp_path, "0.wav", "x/1.wav")
    assert used(tmp_path) == ["0.wav", "x/1.wav"]


def test_clips_of_one_making_add_up_and_others_are_left_out(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write(tmp_path, "0.wav", "1.wav")
    assert manifest.add(tmp_path, first, ONE) == 0
    assert manifest.add(tmp_path, write(tmp_path, "2.wav"), ONE) == 0
    write(tmp_path, "joined/all.wav")
    assert used(tmp_path) == ["0.wav", "1.wav", "2.wav"]
    assert "3 of 4 files are used" in capsys.readouterr().err
    # The other generator replaces one file; two others stay.
    assert manifest.add(tmp_path, write(tmp_path, "0.wav"), OTHER) == 2
    assert used(tmp_path) == ["0.wav"]


def test_removed_clips_are_forgotten(tmp_path: pathlib.Path) -> None:
    manifest.add(tmp_path, write(tmp_path, "0.wav", "1.wav"), ONE)
    (tmp_path / "0.wav").unlink()
    assert used(tmp_path) == ["1.wav"]
    (tmp_path / "1.wav").unlink()
    write(tmp_path, "other.wav")
    with pytest.raises(ValueError, match="lists no audio file that is there"):
        used(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"files": 3}'])
def test_a_damaged_manifest_is_named(tmp_path: pathlib.Path, text: str) -> None:
    write(tmp_path, "0.wav")
    (tmp_path / manifest.FILE).write_text(text)
    with pytest.raises(ValueError, match=f"{manifest.FILE} is damaged"):
        used(tmp_path)


def test_commands_into_one_folder_are_kept_apart(
    tmp_path: pathlib.Path,
) -> None:
    folder = tmp_path / "generated"
    for flags, kept in (
        (("--n=3",), 0),
        (("--n=2", "--truncation=0.5"), 1),  # two of three are replaced
        (("--n=2", "--concat"), 0),
        (("--interpolate", "3", "7", "--steps=3"), 0),
        (("--n=1", "--seed=9", "--truncation=0.5"), 0),  # adds one
    ):
        done = command_runner.run(
            "generate", "--pretrained", *flags, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert ("leave out (clips.json): 1" in done.stdout) == bool(kept)
    assert len(used(folder)) == 3
    (joined,) = (folder / "joined").iterdir()
    assert joined.name == "Eight_00000_to_Five_00001.wav"
    assert len(list((folder / "interpolations").iterdir())) == 3
