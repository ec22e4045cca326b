"""The README keeps its word."""

import pathlib
import re

import pytest
from absl import flags

import cli
import face as face_lib
import synthesizer
import train_specgan
import train_wavegan

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def flags_of(face: face_lib.Face) -> flags.FlagValues:
    """All flags of a model's command line."""
    values = flags.FlagValues()
    cli.define(face, values)
    return values


WAVEGAN = flags_of(train_wavegan.FACE)
SPECGAN = flags_of(train_specgan.FACE)


def flag_rows() -> list[str]:
    """The tables of flags, as the README should have them.

    SpecGAN's are those that WaveGAN has not under the same name, but with
    another default or another model's name.
    """
    rows = [row_of(WAVEGAN[name]) for name in WAVEGAN]
    for name in SPECGAN:
        row = row_of(SPECGAN[name])
        if row.replace("specgan", "wavegan", 1) not in rows:
            rows.append(row)
    return rows


def row_of(flag: flags.Flag) -> str:
    """A row of a table."""
    default = "" if flag.default in ("", None, []) else flag.default
    return f"| `--{flag.name}` | {default} | {flag.help} |"


def test_the_table_of_flags_is_the_programs() -> None:
    missing = [row for row in flag_rows() if row not in README]
    assert not missing, "\n".join(missing)


def test_flags_in_commands_exist() -> None:
    known = {*WAVEGAN, *SPECGAN, "flagfile", "logdir"}
    for script in [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("eval/*.py")]:
        known.update(re.findall(r'"--(\w+)"', script.read_text()))
    for name in re.findall(r"--(\w+)", README):
        assert name in known, name


def test_every_file_is_in_the_layout_and_the_other_way_round() -> None:
    listed = set(re.findall(r"^(\w+\.py) ", README, re.MULTILINE))
    assert listed == {path.name for path in ROOT.glob("*.py")}


def test_pictures_are_there() -> None:
    for name in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / name).exists(), name


@pytest.mark.slow
def test_the_python_example_runs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesizer.synthesize(tmp_path / "sc09_synthetic", 120)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
