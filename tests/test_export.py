"""Tests each export format in its own runtime, and the mode's flags."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import command_runner
import numpy as np
import pytest
import tensorflow as tf
import untrained_gans
from untrained_gans import SPECGAN

import wavegan
from modes import export
from system import atomic
from training import config as config_lib
from training import weights

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNTIMES = ROOT / "benchmarks/export_runtimes.py"
NAMES = export.INPUT, export.LABEL
GANS: dict[str, dict[str, Any]] = {
    "wavegan": {},
    "fancy": {
        "slice_len": 512,
        "channels": 2,
        "batchnorm": True,
        "upsample": "nn",
        "post_filter_len": 16,
        "fade_len": 100,
    },
    "cubic": {"upsample": "cubic", "channels": 2},
    "specgan": {**SPECGAN, "iterations": 1},
    "labelled": {"num_labels": 3, "batchnorm": True},
    "labelled specgan": {**SPECGAN, "iterations": 1, "num_labels": 2},
}
FORMS = list(export.FORMATS)


def test_networks_beyond_2_gib_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(export, "MAX_BYTES", 1000)
    for write in (export.write_tflite, export.write_onnx):
        with pytest.raises(ValueError, match="2 GiB.*--format"):
            write(untrained_gans.build(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_converter_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    monkeypatch.delitem(sys.modules, "tf2onnx.convert", raising=False)
    with pytest.raises(ValueError, match="tf2onnx.*requirements-export.txt"):
        export.write_onnx(untrained_gans.build(), tmp_path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Folders of all GANs in all formats, with what they should say."""
    made = {}
    rng = np.random.default_rng(0)
    for name, fields in GANS.items():
        folder = tmp_path_factory.mktemp(name)
        model = untrained_gans.build(**fields)
        for weight in model.ema_generator.weights:
            weight.assign(weight + rng.normal(0, 0.1, weight.shape))
        inputs = untrained_gans.inputs_of(model)
        named: dict[str, Any] = dict(zip(NAMES, inputs, strict=False))
        np.savez(folder / "inputs.npz", **named)
        for form in export.FORMATS.values():
            with atomic.folder(folder / form.folder) as draft:
                form.write(model, draft)
        made[name] = folder, model.generate(*inputs).numpy()
    return made


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_its_own_runtime_hears_the_gans_audio(
    form: str, exported: dict[str, tuple[pathlib.Path, np.ndarray]]
) -> None:
    folders = [folder for folder, _ in exported.values()]
    done = subprocess.run(
        [sys.executable, str(RUNTIMES), form, *map(str, folders)],
        cwd=folders[0],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for name, (folder, ours) in exported.items():
        with np.load(folder / "heard.npz", allow_pickle=False) as heard:
            theirs, first = heard["all"], heard["first"]
        assert theirs.dtype == np.float32
        np.testing.assert_allclose(
            theirs, ours, rtol=0, atol=1e-4, err_msg=name
        )
        # One clip, or three: no batch size is built in.
        np.testing.assert_allclose(first, theirs[:1], rtol=0, atol=1e-4)
        assert np.ptp(ours) > 0.01, name


def test_a_saved_model_of_bfloat16_says_what_the_run_says(
    tmp_path: pathlib.Path,
) -> None:
    model = untrained_gans.build("bf16")
    export.write_saved_model(model, tmp_path)
    z = untrained_gans.draw_z()
    serve = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    ours = model.generate(z).numpy()
    np.testing.assert_allclose(serve(z=tf.constant(z))["G_z"], ours, atol=1e-4)
    full = untrained_gans.build()
    assert np.abs(full.generate(z) - ours).max() > 1e-4


def test_a_saved_model_refuses_labels_that_there_are_not(
    tmp_path: pathlib.Path,
) -> None:
    export.write_saved_model(untrained_gans.build(num_labels=3), tmp_path)
    serve = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    z = tf.constant(untrained_gans.draw_z(1))
    assert serve(z=z, label=tf.constant([2]))["G_z"].shape == (1, 256, 1)
    for label in (-1, 3):
        with pytest.raises(tf.errors.InvalidArgumentError, match="0 to 2"):
            serve(z=z, label=tf.constant([label]))


# --- the command line --------------------------------------------------------


def config_of(*words: str) -> config_lib.RunConfig:
    """Returns a config with sizes and words of its own.

    Args:
      *words: That the generator knows; empty: it takes no labels.
    """
    return config_lib.RunConfig(
        wavegan.WaveGANConfig(slice_len=4096, channels=2, latent_dim=50),
        config_lib.DataConfig(
            dir="/home/ada/sounds/drums",
            sample_rate=11025,
            labels="words" if words else "",
        ),
    ).with_words(words)


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_a_file_comes_with_its_description_to_where_one_is(
    form: str, tmp_path: pathlib.Path
) -> None:
    done = command_runner.run(
        "export", "--pretrained", f"--format={form}", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f": export/{form}\n") and not done.stderr
    assert [path.name for path in (tmp_path / "export").iterdir()] == [form]
    folder = tmp_path / "export" / form
    names = {path.name for path in folder.iterdir()}
    assert names == {f"generator.{form}", "generator.json"}
    description = json.loads((folder / "generator.json").read_text())
    assert description["format"] == form and description["step"] > 0
    assert not (weights.FOLDER / "export").exists()


def test_unknown_formats_are_refused_with_the_choices(
    tmp_path: pathlib.Path,
) -> None:
    done = command_runner.run(
        "export", "--pretrained", "--format=mp3", cwd=tmp_path
    )
    command_runner.assert_one_line(done, "--format is 'mp3'", *FORMS)
    assert not list(tmp_path.iterdir())


def test_the_description_says_what_one_must_know_and_no_path() -> None:
    config = config_of()
    description = export.describe(config, "wavegan", "onnx", 7)
    saved = config_lib.to_json(config)
    assert description["data"] == {**saved["data"], "dir": "drums"}
    assert description["config"] == saved["model"]
    assert description["versions"]["tensorflow"] == tf.__version__
    expected = {
        "model": "wavegan",
        "format": "onnx",
        "step": 7,
        "sample_rate": 11025,
        "slice_len": 4096,
        "channels": 2,
        "latent_dim": 50,
        "latent_distribution": "uniform in [-1, 1)",
        "input": {"name": "z", "shape": [None, 50]},
        "output": {"name": "G_z", "shape": [None, 4096, 2]},
    }
    assert {name: description[name] for name in expected} == expected
    assert "words" not in description
    assert "ada" not in json.dumps(description)


def test_the_description_lists_words_in_the_order_of_labels() -> None:
    description = export.describe(
        config_of("nine", "zero"), "wavegan", "onnx", 7
    )
    assert description["words"] == ["nine", "zero"]
    assert description["input"] == [
        {"name": "z", "shape": [None, 50], "dtype": "float32"},
        {"name": "label", "shape": [None], "dtype": "int32"},
    ]
