"""Tests rules of source files that import-linter and ruff cannot check."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = sorted(path.parent for path in ROOT.glob("*/__init__.py"))
TOP = sorted(ROOT.glob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
PROJECT = [*TOP, *BENCHMARKS]
PROJECT += [path for folder in FOLDERS for path in sorted(folder.glob("*.py"))]

PAPER = ("wavegan", "specgan", "phaseshuffle", "losses", "gan", "loader")
BELOW_THE_PAPER = {"networks", "audio", "digits", "system"}


def tree_of(path: pathlib.Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def packages_of(path: pathlib.Path) -> set[str]:
    """First parts of all imported names, wherever in the file they stand."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def id_of(path: pathlib.Path) -> str:
    """How a test's name shows a file."""
    return str(path.relative_to(ROOT))


def each(paths: list[pathlib.Path]) -> pytest.MarkDecorator:
    """Runs a test once for each file."""
    return pytest.mark.parametrize("path", paths, ids=id_of)


def test_the_walk_sees_the_modules() -> None:
    assert {"gan.py", "eval", "tests"} <= {path.name for path in ROOT.iterdir()}
    assert {"losses", "tensorflow"} <= packages_of(ROOT / "gan.py")


# The root is no package, so that import-linter does not look into its files.
@pytest.mark.parametrize("name", PAPER)
def test_the_paper_imports_what_it_is_built_on(name: str) -> None:
    ours = {path.stem for path in TOP} | {path.name for path in FOLDERS}
    imported = packages_of(ROOT / f"{name}.py") & ours
    assert imported <= {*PAPER, *BELOW_THE_PAPER}


@each([*PROJECT, *TESTS])
def test_no_module_has_a_name_that_says_nothing(path: pathlib.Path) -> None:
    assert not {"utils", "helpers", "common"} & {path.stem, *path.parent.parts}


# Neither folder is a package of import-linter's.
def test_tests_and_benchmarks_do_not_import_each_other() -> None:
    for path in TESTS:
        assert "benchmarks" not in packages_of(path), path
    for path in BENCHMARKS:
        ours = {"tests", *(test.stem for test in TESTS)}
        assert not ours & packages_of(path), path


# S301 sees pickle itself; NumPy would call it from within.
@each([p for p in [*PROJECT, *TESTS] if p.name != "test_untrusted_files.py"])
def test_numpy_reads_no_pickle(path: pathlib.Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


@each([*PROJECT, *TESTS])
def test_no_file_is_longer_than_400_lines(path: pathlib.Path) -> None:
    assert path.read_text(encoding="utf-8").count("\n") <= 400
