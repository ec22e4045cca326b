"""Help and wrong modes are answered at once, without TensorFlow."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from commandline import usage

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = json.loads(usage.TEXTS.read_text())
PROGRAMS = pytest.mark.parametrize("program", sorted(TEXTS))


def run_without_packages(
    program: str, *args: str
) -> subprocess.CompletedProcess[str]:
    """Runs a program in a Python that has only its standard library."""
    # A program's name may be followed by that of a model.
    file, *model = program.split()
    command = [sys.executable, "-S", "-E", str(ROOT / file), *model, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@PROGRAMS
def test_help_describes_modes_and_all_flags(program: str) -> None:
    result = run_without_packages(program, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    for mode, text in TEXTS[program]["modes"].items():
        (line,) = [x for x in lines if x.startswith(f"  {mode} ")]
        assert line.endswith(text) and text.endswith(".") and len(line) <= 80
    for flags in TEXTS[program]["flags"].values():
        for flag in flags:
            assert any(
                line.startswith(
                    (f"  --{flag['name']} ", f"  --[no]{flag['name']} ")
                )
                for line in lines
            )


@PROGRAMS
def test_help_of_a_mode_lists_the_flags_that_it_uses(program: str) -> None:
    for mode in TEXTS[program]["modes"]:
        result = run_without_packages(program, mode, "--help")
        assert (result.returncode, result.stderr) == (0, "")
        listed = {
            line.removeprefix("  --").removeprefix("[no]")
            for line in result.stdout.splitlines()
            if line.startswith("  --")
        }
        assert listed == {
            flag["name"]
            for flags in TEXTS[program]["flags"].values()
            for flag in flags
            if mode in flag["modes"]
        }


@PROGRAMS
@pytest.mark.parametrize("words", [(), ("trian",), ("trian", "./run", "--n=2")])
def test_a_wrong_mode_is_answered_with_the_choices(
    program: str, words: tuple[str, ...]
) -> None:
    result = run_without_packages(program, *words)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{program}: expected MODE [TRAIN_DIR]")
    assert all(mode in line for mode in TEXTS[program]["modes"])
    assert f"got {words[0] if words else 'nothing'} " in line


def test_help_without_a_model_lists_the_models() -> None:
    program = "train_alternative.py"
    models = [name.split()[1] for name in TEXTS if name.startswith(program)]
    assert models
    result = run_without_packages(program, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"one of {', '.join(models)};" in result.stdout
    for words in ((), ("gam", "train")):
        result = run_without_packages(program, *words)
        assert (result.returncode, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"{program}: expected MODEL MODE [TRAIN_DIR]")
        assert line.endswith(f"got {words[0] if words else 'nothing'}")


def test_a_right_mode_is_left_to_the_program() -> None:
    usage.answer("train_wavegan.py", "", ["train_wavegan.py", "train", "x"])
    usage.answer("train_wavegan.py", "", ["train_wavegan.py", "--n=2", "train"])
