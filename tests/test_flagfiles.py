"""Tests that each flagfile sets what it says and trains for two steps."""

import pathlib
import re
import shutil

import pytest
from absl import flags

import train_specgan
import train_wavegan
from commandline import flags as flags_lib
from commandline import modes, program
from eval import table
from training import train_dir

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "flagfiles").rglob("*.cfg"))
TABLE_1 = [path for path in FILES if path.parent.name == "table1"]


def command_line_of(path: pathlib.Path) -> flags_lib.CommandLine:
    """The model that a file is for."""
    specgan = "specgan" in path.stem
    return train_specgan.COMMAND_LINE if specgan else train_wavegan.COMMAND_LINE


def test_table_1_is_complete() -> None:
    """Each row of the paper's that is a training has a file, and says so."""
    rows = {row[0] for row in table.PUBLISHED}
    rows -= {"Real (train)", "Real (test)", "Parametric"}
    heads = [path.read_text().splitlines()[0] for path in TABLE_1]
    found = [re.fullmatch(r"# (.*?) \(table 1\).*", head) for head in heads]
    assert sorted(match[1] for match in found if match) == sorted(rows)
    for head, match in zip(heads, found, strict=True):
        assert match or "not in table 1" in head, head


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_trains(
    path: pathlib.Path,
    audio: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command_line = command_line_of(path)
    values = flags.FlagValues()
    program.define(command_line, values)
    monkeypatch.setattr(modes, "FLAGS", values)
    monkeypatch.chdir(ROOT)
    small = {
        f"{command_line.model.name}_dim": "1",
        "train_batch_size": "2",
        "train_max_steps": "2",
    }
    if command_line is train_wavegan.COMMAND_LINE:
        small["data_slice_len"] = "1024"
    clips = tmp_path / "clips"  # of two words, for those that learn labels
    clips.mkdir()
    for i, clip in enumerate(sorted(audio.iterdir())):
        shutil.copy(clip, clips / f"{('yes', 'no')[i % 2]}_{clip.name}")
    command = [command_line.program, "train", str(tmp_path / "t")]
    command += [f"--flagfile={path}", f"--data_dir={clips}"]
    command += [f"--{name}={value}" for name, value in small.items()]
    program.main(command_line, values(command))
    directory = train_dir.TrainDir(tmp_path / "t")
    assert directory.checkpoints.latest_step() == 2
    config = directory.read_config(command_line.model.config)
    known = {flag.name: flag for flag in command_line.config_flags.values()}
    lines = path.read_text().splitlines()
    for line in lines:
        match = re.fullmatch(r"--(\w+)=?(.*)", line)
        if match and match[1] in known and match[1] not in small:
            flag = known[match[1]]
            value = getattr(getattr(config, flag.section), flag.field)
            assert value == type(value)(match[2] or True), line
