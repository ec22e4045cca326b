"""The rules of the house, read off the source files."""

from __future__ import annotations

import ast
import pathlib
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOP = sorted(ROOT.glob("*.py"))
EVAL = sorted((ROOT / "eval").glob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PROJECT = [*TOP, *EVAL, *BENCHMARKS]

FACES = {
    "train_wavegan",
    "train_specgan",
    "sc09",
    "eval.score",
    "eval.train_classifier",
    "eval.table",
}
CLI = "cli"
LEAVES = {"losses", "phaseshuffle", "layers", "precision"}
LEAVES |= {"headers", "spectral"}
LEAVES |= {"formants", "replicas"}
MODELS = {"wavegan", "specgan"}
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib"}
PICKLES |= {"shelve", "marshal"}


def name_of(path: pathlib.Path) -> str:
    """The module's name from the root: "loader", "eval.features"."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


OURS = {name_of(path) for path in [*TOP, *EVAL]}


def tree_of(path: pathlib.Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports_of(path: pathlib.Path) -> set[str]:
    """Every imported dotted name, wherever in the file the import stands.

    Of `from a import b` both "a" and "a.b"; relative names are made absolute.
    """
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name_of(path).split(".")[: -node.level or None]
            parts = package if node.level else []
            base = ".".join([*parts, *(node.module or "").split(".")]).strip(
                "."
            )
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def our_imports_of(path: pathlib.Path) -> set[str]:
    """Our own modules among the imports, by their name from the root.

    A file of eval/ that is started as a script finds its neighbours without
    the package's name, ahead of the modules of the root.
    """
    found = set()
    for name in imports_of(path):
        if path in EVAL and f"eval.{name}" in OURS:
            found.add(f"eval.{name}")
        elif name in OURS:
            found.add(name)
    return found


def id_of(path: pathlib.Path) -> str:
    """How a test's name shows a file."""
    return str(path.relative_to(ROOT))


def each(paths: list[pathlib.Path]) -> pytest.MarkDecorator:
    """Runs a test once for each file."""
    return pytest.mark.parametrize("path", paths, ids=id_of)


def test_the_walk_sees_the_modules() -> None:
    assert {"wavegan", "gan", "losses", "phaseshuffle"} <= OURS
    assert {"losses", "tensorflow"} <= imports_of(ROOT / "gan.py")
    assert our_imports_of(ROOT / "gan.py") == {
        "augmentation",
        "critics",
        "dcgan",
        "draws",
        "losses",
        "replicas",
    }


@each(PROJECT)
def test_nobody_imports_a_face(path: pathlib.Path) -> None:
    assert not our_imports_of(path) & FACES


@each(PROJECT)
def test_only_faces_and_cli_touch_flags(path: pathlib.Path) -> None:
    if name_of(path) in FACES | {CLI}:
        return
    assert not [n for n in imports_of(path) if n.startswith("absl.flags")]
    for node in ast.walk(tree_of(path)):  # import absl; absl.flags
        if isinstance(node, ast.Attribute) and node.attr == "flags":
            assert getattr(node.value, "id", "") != "absl"


@each(EVAL)
def test_eval_imports_only_the_loader_from_the_top(path: pathlib.Path) -> None:
    top = {name for name in our_imports_of(path) if "." not in name}
    assert top <= {"loader"}


@each([path for path in TOP if name_of(path) in LEAVES])
def test_leaves_import_nothing_of_ours(path: pathlib.Path) -> None:
    assert not our_imports_of(path) - {
        "replicas"
    }  # what the layers of several devices share


@each([path for path in TOP if name_of(path) in {"modes", "play"}])
def test_modes_name_no_concrete_model(path: pathlib.Path) -> None:
    assert not our_imports_of(path) & MODELS


@each([*PROJECT, *TESTS])
def test_no_module_is_named_like_one_of_the_library(path: pathlib.Path) -> None:
    assert path.stem == "__init__" or path.stem not in sys.stdlib_module_names
    assert path.stem not in {"utils", "helpers", "common"}
    assert not {"utils", "helpers", "common"} & set(path.parent.parts)


# Who tests that traps do not spring has to set them.
@each([p for p in [*PROJECT, *TESTS] if p.name != "test_strangers.py"])
def test_no_pickle(path: pathlib.Path) -> None:
    roots = {name.split(".")[0] for name in imports_of(path)}
    assert not roots & PICKLES
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Names of public things without a docstring, the module's included."""
    if not ast.get_docstring(tree):
        yield "the module"
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    public = [c for c in classes if not c.name.startswith("_")]
    for node in [*tree.body, *(part for c in public for part in c.body)]:
        if (
            isinstance(node, kinds)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
            and not any(is_overload(d) for d in node.decorator_list)
        ):
            yield node.name


def is_overload(decorator: ast.expr) -> bool:
    """Whether a decorator adds a signature or a setter to what has words."""
    return isinstance(decorator, ast.Attribute) and decorator.attr in {
        "overload",
        "setter",
    }


@each([*PROJECT, *(path for path in TESTS if path.stem[:5] != "test_")])
def test_public_names_have_docstrings(path: pathlib.Path) -> None:
    assert not list(undocumented(tree_of(path)))


@each([*PROJECT, *TESTS])
def test_no_file_is_longer_than_two_rooms(path: pathlib.Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 400
