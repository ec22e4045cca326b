"""Tests that releases and runs serve as weights for all modes and new runs."""

from __future__ import annotations

import pathlib

import command_runner
import numpy as np
import pytest
import soundfile


@pytest.fixture(scope="module")
def run(
    audio: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A run of two steps."""
    path = tmp_path_factory.mktemp("run") / "run"
    command_runner.train(path, audio, "--train_max_steps=2")
    return path


@pytest.fixture(scope="module")
def release(run: pathlib.Path) -> pathlib.Path:
    """Its release."""
    path = run.with_name("release")
    done = command_runner.run(
        "release", run, f"--out_dir={path}", "--preview_n=2"
    )
    assert done.returncode == 0, done.stderr
    return path


def test_a_release_has_a_card_with_a_header_for_hubs(
    release: pathlib.Path,
) -> None:
    lines = (release / "README.md").read_text().splitlines()
    header = lines[1 : lines[1:].index("---") + 1]
    assert lines[0] == "---" and "license: unknown" in header
    assert {"- audio", "- gan", "- wavegan"} < set(header)
    assert "# WaveGAN after 2 updates" in lines
    card = release / "README.md"
    card.write_text("my own words")
    done = command_runner.run(
        "release", release.with_name("run"), f"--out_dir={release}"
    )
    assert done.returncode == 0, done.stderr
    assert card.read_text() == "my own words"


def test_every_mode_that_reads_takes_a_release(
    release: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    done = command_runner.run("preview", release, cwd=tmp_path)  # not --once
    assert done.returncode == 0, done.stderr
    assert (release / "preview" / "00000002.wav").exists()
    assert "no real clips" not in done.stderr + done.stdout
    done = command_runner.run("incept", release, "--incept_n=100", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "step 2: inception score" in done.stdout
    assert "no real clips" not in done.stderr
    done = command_runner.run(
        "generate", release, "--n=1", f"--out_dir={tmp_path}"
    )
    assert done.returncode == 0, done.stderr


def test_train_refuses_a_release_and_names_the_remedy(
    release: pathlib.Path, audio: pathlib.Path
) -> None:
    done = command_runner.run("train", release, f"--data_dir={audio}")
    command_runner.assert_one_line(done, f"--pretrained={release}")
    assert not (release / "checkpoints").exists()


@pytest.mark.parametrize("kind", ["run", "release"])
def test_a_new_run_starts_from_a_run_or_a_release(
    run: pathlib.Path,
    release: pathlib.Path,
    audio: pathlib.Path,
    tmp_path: pathlib.Path,
    kind: str,
) -> None:
    source = {"run": run, "release": release}[kind]
    new = tmp_path / "new"
    done = command_runner.run(
        *("train", new, "--pretrained", source, f"--data_dir={audio}"),
        *("--train_learning_rate=1e-9", "--train_max_steps=1"),
        "--train_batch_size=4",
    )
    assert done.returncode == 0, done.stderr
    assert f"starting from {source}, step 2" in done.stderr
    clips = []
    for folder in (source, new):
        out = tmp_path / folder.name
        done = command_runner.run(
            "generate", folder, "--n=1", f"--out_dir={out}"
        )
        assert done.returncode == 0, done.stderr
        clips.append(soundfile.read(out / "00000.wav")[0])
    np.testing.assert_allclose(clips[0], clips[1], atol=2e-3)  # float16 between
    assert np.abs(clips[0]).max() > 0.01


def test_generate_takes_another_release_by_the_flag(
    release: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    done = command_runner.run(
        "generate", "--pretrained", release, "--n=1", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "generated" / "00000.wav").exists()
    done = command_runner.run("generate", "--pretrained=nowhere", cwd=tmp_path)
    command_runner.assert_one_line(done, "--pretrained is 'nowhere'")
