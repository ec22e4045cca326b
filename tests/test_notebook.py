"""Tests that the notebook runs from top to bottom, here and elsewhere."""

from __future__ import annotations

import base64
import importlib.metadata
import importlib.util
import io
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import nbclient
import nbformat
import numpy as np
import pytest
import soundfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATH = ROOT / "notebooks"


@pytest.fixture(scope="module")
def executed(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[nbformat.NotebookNode]:
    """The notebook with all that it shows."""
    notebook = nbformat.read(PATH / "wavegan.ipynb", as_version=4)
    temp = tmp_path_factory.mktemp("temp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temp))
        nbclient.NotebookClient(
            notebook, timeout=600, resources={"metadata": {"path": PATH}}
        ).execute()
    yield notebook
    # TensorBoard goes on when the notebook has ended.
    for path in temp.glob(".tensorboard-info/*.info"):
        os.kill(json.loads(path.read_text())["pid"], signal.SIGTERM)


def source_of(cell: str) -> str:
    """The code of a cell, by its id."""
    notebook = nbformat.read(PATH / "wavegan.ipynb", as_version=4)
    (found,) = [one for one in notebook.cells if one.id == cell]
    return found.source


def shown(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """All outputs of a MIME type."""
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(PATH / "wavegan.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.install
def test_it_runs_and_is_heard(executed: nbformat.NotebookNode) -> None:
    players = [
        html for html in shown(executed, "text/html") if "<audio" in html
    ]
    assert len(players) == 6
    for html in players:
        match = re.search(r"base64,([^\"]+)", html)
        assert match
        audio, rate = soundfile.read(io.BytesIO(base64.b64decode(match[1])))
        assert rate in (8000, 16000) and len(audio) > 2 * rate
        assert np.std(audio) > 0.01
    assert (
        len(shown(executed, "image/png")) == len(players) + 2
    )  # and two figures


def text_of(notebook: nbformat.NotebookNode) -> str:
    """All that the notebook prints."""
    return "".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream" and output["name"] == "stdout"
    )


@pytest.mark.install
def test_its_numbers_are_the_papers(executed: nbformat.NotebookNode) -> None:
    text = text_of(executed)
    assert "19,065,345 weights" in text and "17,427,969 weights" in text
    fines = re.findall(r"penalty: 10 x ([\d.]+)", text)
    assert float(fines[0]) > 0.5 > float(fines[1])


@pytest.mark.install
def test_it_trains_a_run_and_serves_its_page(
    executed: nbformat.NotebookNode,
) -> None:
    text = text_of(executed)
    assert "installed: nothing" in text
    assert "20/20" in text
    frames = [x for x in shown(executed, "text/html") if "tensorboard" in x]
    assert len(frames) == 1 and "<iframe" in frames[0]
    match = re.search(r"http://127\.0\.0\.1:(\d+)/ \(Ctrl-C stops\)", text)
    assert match
    with pytest.raises(OSError):  # the page ends with the notebook
        socket.create_connection(("127.0.0.1", int(match[1])), timeout=1)


# Elsewhere --------------------------------------------------------------


def test_opened_alone_it_clones_the_repository(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    source = source_of("cell-setup")
    with pytest.raises(ValueError, match="set REPOSITORY to the address"):
        exec(source, {})
    address = f'REPOSITORY = "file://{ROOT}"'
    assert 'REPOSITORY = ""' in source
    exec(source.replace('REPOSITORY = ""', address), {})
    assert sys.path[0] == str(tmp_path / "wavegan")
    assert (tmp_path / "wavegan/train_wavegan.py").exists()


def test_only_what_is_missing_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = [
        *(("tensorflow", "2.99.0"), ("Keras", "3.99"), ("numpy", "9.9")),
        *(("scikit_learn", "1.0"), ("another", "1.0")),
    ]
    packages = [SimpleNamespace(name=n, version=v) for n, v in there]
    commands: list[list[Any]] = []
    monkeypatch.chdir(PATH)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: packages)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: name == "tensorboard" or None
    )
    monkeypatch.setattr(
        subprocess, "run", lambda command, check: commands.append(command)
    )
    exec(source_of("cell-setup"), {})
    (command,) = commands
    assert command[:5] == [sys.executable, "-m", "pip", "install", "--quiet"]
    asked = set(command[5:])
    kept = {x for x in asked if "==" in x}
    assert kept == {
        *("tensorflow==2.99.0", "keras==3.99", "numpy==9.9"),
        "scikit-learn==1.0",
    }
    assert {"flask", "waitress", "soxr", "absl-py"} <= asked
    names = {x.partition("==")[0] for x in asked}
    assert not names & {"tensorflow-io", "tensorboard", "another"}


def test_on_colab_the_run_is_kept_on_the_drive(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted: list[str] = []
    colab = SimpleNamespace(
        drive=SimpleNamespace(mount=mounted.append), output="its output"
    )
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    names: dict[str, Any] = {"pathlib": pathlib, "work": tmp_path}
    exec(source_of("cell-folder"), names)
    assert mounted == ["/content/drive"]
    assert names["RUN"].is_relative_to("/content/drive/MyDrive")
    assert names["output"] == "its output"


@pytest.mark.slow
def test_on_colab_the_page_is_served_through_the_proxy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    proxy = "https://colab.example.org/"

    def evaluate(script: str) -> str:
        assert re.fullmatch(r"google\.colab\.kernel\.proxyPort\(\d+\)", script)
        return proxy

    names: dict[str, Any] = {
        "subprocess": subprocess,
        "sys": sys,
        "ROOT": ROOT,
        "output": SimpleNamespace(eval_js=evaluate),
    }
    try:
        exec(source_of("cell-pads"), names)
        line = capsys.readouterr().out
        assert f" or {proxy} (Ctrl-C stops)" in line
        request = urllib.request.Request(
            f"http://127.0.0.1:{names['port']}/about",
            headers={"Host": "colab.example.org"},
        )
        with urllib.request.urlopen(request, timeout=15) as answer:
            assert json.load(answer)["words"]
    finally:
        names["page"].terminate()
        names["page"].communicate()
