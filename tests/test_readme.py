"""The README keeps its word."""

import pathlib
import re

import pytest

import synthesizer
import train_wavegan

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def flag_rows() -> list[str]:
    """The table of flags, as the README should have it."""
    own = train_wavegan.FLAGS.flags_by_module_dict()["train_wavegan"]
    return [
        f"| `--{flag.name}` | "
        f"{'' if flag.default in ('', None) else flag.default} | {flag.help} |"
        for flag in own
    ]


def test_the_table_of_flags_is_the_programs() -> None:
    missing = [row for row in flag_rows() if row not in README]
    assert not missing, "\n".join(flag_rows())


def test_flags_in_commands_exist() -> None:
    known = {*train_wavegan.FLAGS, "flagfile", "logdir"}
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
