"""Tests exports for model hubs: their files, their card and its code."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import command_runner
import numpy as np
import pytest
import soundfile
import yaml

from audio import outputs
from modes import card

KERAS_FILES = {"config.json", "metadata.json", "model.weights.h5"}
SHOWN_FILES = {"README.md", "generator.json", "samples.wav", "samples.png"}
# Runs before the code of a card: this project cannot be imported, and the hub
# is a folder of this machine.
PROLOGUE = """
import importlib.util, pathlib, sys, types
sys.path = [p for p in sys.path if not pathlib.Path(p, "wavegan.py").exists()]
assert importlib.util.find_spec("wavegan") is None
hub = types.ModuleType("huggingface_hub")
hub.snapshot_download = lambda repo_id, **_: {{"USER/MODEL": {!r}}}[repo_id]
sys.modules["huggingface_hub"] = hub
"""


def run_card(folder: pathlib.Path, out: pathlib.Path) -> np.ndarray:
    """Runs the Python code of an export's card; returns the audio it makes."""
    text = (folder / card.FILE).read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 1
    script = PROLOGUE.format(str(folder)) + blocks[0]
    script += f"np.save({str(out)!r}, audio)\n"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=out.parent,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return np.load(out, allow_pickle=False)


def header_of(folder: pathlib.Path) -> dict[str, object]:
    """Reads the header of a card as a model hub does."""
    _, header, _ = (folder / card.FILE).read_text().split("---\n", 2)
    return yaml.safe_load(header)


@pytest.mark.parametrize(
    ("program", "model"),
    [("train_wavegan.py", "wavegan"), ("train_specgan.py", "specgan")],
)
@pytest.mark.slow
def test_the_code_of_the_card_makes_the_clip_of_the_first_seed(
    tmp_path: pathlib.Path, program: str, model: str
) -> None:
    for flags in (
        ("export", "--format=hf"),
        ("generate", "--n=1", "--word=eight", "--subtype=FLOAT"),
    ):
        done = command_runner.run(
            *flags, "--pretrained", program=program, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr.replace("CPU: no GPU found\n", "")
    folder = tmp_path / "export" / "hf"
    names = {path.name for path in folder.iterdir()}
    assert names == KERAS_FILES | SHOWN_FILES
    expected, rate = soundfile.read(
        tmp_path / "generated" / "Eight_00000.wav", always_2d=True
    )
    audio = run_card(folder, tmp_path / "audio.npy")
    # SpecGAN's sixteen rounds of Griffin-Lim amplify rounding errors.
    atol = 1e-4 if model == "wavegan" else 1e-3
    np.testing.assert_allclose(audio, expected[None], rtol=0, atol=atol)
    assert np.abs(audio).max() > 0.1
    samples, of_samples = soundfile.read(folder / "samples.wav", always_2d=True)
    assert of_samples == rate
    np.testing.assert_allclose(
        samples[: len(expected)], expected, atol=1e-3 + 1 / 32768
    )
    # What the card beside the weights says of data and licence is kept.
    assert header_of(folder) == {
        "library_name": "keras",
        "license": "cc-by-sa-4.0",
        "tags": ["audio", "audio-generation", "gan", model],
    }
    text = (folder / card.FILE).read_text()
    assert "| data | Free Spoken Digit Dataset by" in text
    assert "| licence | CC BY-SA 4.0" in text
    assert "](" not in text, "a link into this repository"
    assert outputs.kind_of(folder), "its samples are never training data"


@pytest.fixture(scope="module")
def run(
    audio: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A run of one step, without words, in stereo."""
    path = tmp_path_factory.mktemp("run") / "run"
    command_runner.train(
        path, audio, "--train_max_steps=1", "--data_num_channels=2"
    )
    return path


@pytest.mark.slow
def test_a_run_is_exported_and_its_authors_card_is_kept(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = run / "export" / "hf"
    for turn in range(2):
        done = command_runner.run("export", run, "--format=hf")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"step 1: {folder}\n"
        if turn == 0:
            assert header_of(folder)["license"] == "unknown"
            assert (
                "(name the recordings here)" in (folder / card.FILE).read_text()
            )
            audio = run_card(folder, tmp_path / "audio.npy")
            (folder / card.FILE).write_text("My own words.")
    assert (folder / card.FILE).read_text() == "My own words."
    done = command_runner.run(
        *("generate", run, "--n=1", "--subtype=FLOAT", "--out_dir", tmp_path)
    )
    assert done.returncode == 0, done.stderr
    expected, _ = soundfile.read(tmp_path / "00000.wav", always_2d=True)
    assert audio.shape == (1, 256, 2) and np.ptp(audio) > 0.01
    np.testing.assert_allclose(audio[0], expected, rtol=0, atol=1e-4)


def test_a_run_without_a_checkpoint_ends_in_one_line(
    tmp_path: pathlib.Path,
) -> None:
    done = command_runner.run("export", tmp_path / "none", "--format=hf")
    command_runner.assert_one_line(done, str(tmp_path / "none"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("", {}),
        ("# A title\n\nlicense: mit\n---\n", {}),
        ("---\ntags:\n- a\n---\nlicense: mit\n\n---\n", {}),
        ("---\nlicense: mit\ntags:\n- a\n---\n", {"license": "mit"}),
        ("---\nlicense: mit: [\n---\n", {}),
        (
            "| | |\n|---|---|\n| data | a, b |\n| clips | 1 |\n"
            "| licence | c |\n",
            {"data": "a, b", "licence": "c"},
        ),
    ],
)
def test_data_and_licence_are_read_from_a_card(
    tmp_path: pathlib.Path, text: str, known: dict[str, str]
) -> None:
    assert card.read(tmp_path) == {}
    (tmp_path / card.FILE).write_text(text)
    assert card.read(tmp_path) == known
