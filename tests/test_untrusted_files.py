"""Tests that untrusted files are refused and never executed."""

from __future__ import annotations

import ast
import dataclasses
import io
import json
import os
import pathlib
import zipfile
from typing import Any

import keras
import numpy as np
import pytest
import small_gan

import wavegan
from eval import classifier
from modes import render
from networks import dcgan
from training import checkpoints, train_dir, weights
from training import config as config_lib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = [*ROOT.glob("*.py"), *ROOT.glob("eval/*.py")]


def npy(array: np.ndarray) -> bytes:
    """The contents of an .npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


class Trap:
    """What runs a command when it is unpickled."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:  # noqa: D105
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trap(tmp_path: pathlib.Path) -> Trap:
    made = Trap(tmp_path / "sprung")
    np.load(io.BytesIO(npy(np.array(made, object))), allow_pickle=True)
    assert made.path.exists()  # it works
    made.path.rmdir()
    return made


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("data", "sample_rate", "16000"),
        ("data", "dir", ["/"]),
        ("data", "max_bad", None),
        ("train", "batch_size", 1.5),
        ("train", "seed", True),
        ("train", "loss", {"__reduce__": "os.system"}),
        ("train", "unheard", 1),
    ],
)
def test_a_config_with_invalid_values_is_refused(
    tmp_path: pathlib.Path, section: str, field: str, value: Any
) -> None:
    default = config_lib.RunConfig(wavegan.WaveGANConfig())
    config = config_lib.to_json(default)
    config[section][field] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf"damaged \(.*{field}"):
        train_dir.TrainDir(tmp_path).read_config(wavegan.WaveGANConfig)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"data": NaN}', "\x00"])
def test_a_file_that_is_no_config_is_refused(
    tmp_path: pathlib.Path, text: str
) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="damaged"):
        train_dir.TrainDir(tmp_path).read_config(wavegan.WaveGANConfig)


@pytest.mark.parametrize(
    ("field", "value"),
    [("dim", 10**6), ("latent_dim", 10**9), ("kernel_len", 10**9)],
)
def test_networks_too_big_for_memory_are_refused(
    field: str, value: Any
) -> None:
    with pytest.raises(ValueError, match="weights, more than"):
        dataclasses.replace(wavegan.WaveGANConfig(), **{field: value})
    with pytest.raises(ValueError, match=f"{field} is '64'"):
        config_lib.RunConfig(wavegan.WaveGANConfig()).replace(**{field: "64"})


def test_the_count_of_weights_is_about_right() -> None:
    config = wavegan.WaveGANConfig()
    model = wavegan.build_generator(config)
    limit = dcgan.MAX_WEIGHTS
    try:
        for share, fits in ((0.99, False), (1.01, True)):
            dcgan.MAX_WEIGHTS = int(share * model.count_params())
            if fits:
                wavegan.WaveGANConfig()
            else:
                with pytest.raises(ValueError, match="weights"):
                    wavegan.WaveGANConfig()
    finally:
        dcgan.MAX_WEIGHTS = limit


def test_invalid_latent_vectors_are_drawn_anew(
    tmp_path: pathlib.Path, trap: Trap
) -> None:
    path = tmp_path / "z.npy"
    wanted = render.fixed_z(path, 2, 3)
    vast = npy(wanted).replace(
        b"(2, 3), }" + 12 * b" ", b"(2, 3000000000000), }"
    )
    assert len(vast) == len(npy(wanted)) and b"3000" in vast
    for content in (
        b"",
        b"\x93NUMPY",
        npy(np.array([trap], object)),
        npy(np.array([[trap] * 3] * 2, object)),
        npy(wanted.astype(np.complex64)),
        npy(wanted)[:-1],
        vast,
    ):
        path.write_bytes(content)
        np.testing.assert_array_equal(render.fixed_z(path, 2, 3), wanted)
        assert not trap.path.exists()


def test_invalid_weights_are_refused(
    tmp_path: pathlib.Path, trap: Trap
) -> None:
    network = small_gan.build().generator
    path = tmp_path / "generator.npz"
    good = weights.pack(network, 7)
    path.write_bytes(good)
    assert weights.unpack(network, path) == 7
    names = [weight.path for weight in network.weights]

    def archive(content: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            for name in [*names, "step"]:
                made.writestr(f"{name}.npy", content)
        return file.getvalue()

    for content in (
        b"",
        good[: len(good) // 2],
        archive(npy(np.array(trap, object))),
        archive(npy(np.zeros(10**7))),  # small until it is unpacked
        archive(b""),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="generator.npz does not fit"):
            weights.unpack(network, path)
        assert not trap.path.exists()


def test_a_classifier_that_brings_code_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    model.save(tmp_path / classifier.MODEL_NAME)
    card = {"words": ["a", "b"], "accuracy": {"test": 1}, "fingerprint": "x"}
    (tmp_path / classifier.CARD_NAME).write_text(json.dumps(card))
    with pytest.raises(ValueError, match="damaged .*Lambda"):
        classifier.load(tmp_path)


def test_checkpoints_of_flipped_bytes_are_read_or_refused(
    tmp_path: pathlib.Path,
) -> None:
    store = checkpoints.Checkpoints(tmp_path / "c")
    model = small_gan.build()
    store.save(model, 1)
    (store.folder / "ckpt-1.sha256").unlink()  # an attacker makes their own
    rng = np.random.default_rng(0)
    refused = 0
    for suffix in ("index", "data-00000-of-00001"):
        path = store.folder / f"ckpt-1.{suffix}"
        good = path.read_bytes()
        for _ in range(40):
            content = bytearray(good)
            content[rng.integers(len(good))] ^= 1 << rng.integers(8)
            path.write_bytes(content)
            try:
                store.restore(model)
            except ValueError:
                refused += 1
        path.write_bytes(good)
    assert refused > 60
    assert store.restore(model) == 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_runs_what_it_reads(path: pathlib.Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            assert name not in (
                "exec",
                "Lambda",
                "enable_unsafe_deserialization",
            )
            assert (owner, name) not in {("", "eval"), ("os", "system")}
            for keyword in node.keywords:
                unsafe = keyword.arg in ("shell", "trust")
                assert not (unsafe and getattr(keyword.value, "value", True))
                if keyword.arg == "safe_mode":
                    assert getattr(keyword.value, "value", False)


def test_nothing_listens_beyond_this_machine() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for path in [*SOURCES, *pages, ROOT / "Makefile"]:
        for words in ("bind_all", "0.0.0.0", "--host"):
            assert words not in path.read_text(), (path, words)
