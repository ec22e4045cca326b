"""Tests that the notebook runs from top to bottom."""

import base64
import io
import pathlib
import re

import nbclient
import nbformat
import numpy as np
import pytest
import soundfile

PATH = pathlib.Path(__file__).resolve().parent.parent / "notebooks"


@pytest.fixture(scope="module")
def executed() -> nbformat.NotebookNode:
    """The notebook with all that it shows."""
    notebook = nbformat.read(PATH / "wavegan.ipynb", as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": PATH}}
    ).execute()
    return notebook


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_its_numbers_are_the_papers(executed: nbformat.NotebookNode) -> None:
    text = "".join(
        output["text"]
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream" and output["name"] == "stdout"
    )
    assert "19,065,345 weights" in text and "17,427,969 weights" in text
    fines = re.findall(r"penalty: 10 x ([\d.]+)", text)
    assert float(fines[0]) > 0.5 > float(fines[1])
