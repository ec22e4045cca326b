"""Tests the line that names the device of a run."""

from __future__ import annotations

import pathlib
from typing import Any

import command_runner
import pytest
import tensorflow as tf
import wavs

from system import device


@pytest.mark.parametrize(
    ("there", "visible", "driver", "line"),
    [
        (0, 0, False, "CPU: no GPU found"),
        (0, 0, True, "pip install -r requirements-gpu.txt"),
        (1, 0, True, "--num_gpus is 0"),
        (1, 1, True, "GPU: Some Card"),
        (2, 2, True, "2 GPUs: Some Card, Some Card"),
    ],
)
def test_the_device_is_named(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    there: int,
    visible: int,
    driver: bool,
    line: str,
) -> None:
    card = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    config: Any = tf.config
    monkeypatch.setattr(
        config, "list_physical_devices", lambda _: [card] * there
    )
    monkeypatch.setattr(
        config, "get_visible_devices", lambda _: [card] * visible
    )
    monkeypatch.setattr(
        config.experimental,
        "get_device_details",
        lambda _: {"device_name": "Some Card"},
    )
    monkeypatch.setattr(device, "DRIVER", tmp_path / "version")
    if driver:
        device.DRIVER.touch()
    assert line in device.describe()


def test_without_a_gpu_the_cpu_is_named() -> None:
    if not tf.config.list_physical_devices("GPU"):
        assert device.describe().startswith("CPU: ")


@pytest.mark.parametrize(
    ("program", "command"),
    [
        (command_runner.WAVEGAN, "generate --pretrained --n 1 --out_dir={}"),
        ("eval/score.py", "noise --audio_dir={}"),
    ],
)
def test_commands_that_compute_for_long_name_the_device_once(
    tmp_path: pathlib.Path, program: str, command: str
) -> None:
    for i in range(50):
        wavs.write(tmp_path / f"{i}.wav", wavs.noise(300))
    done = command_runner.run(
        *command.format(tmp_path).split(), program=program
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(device.describe()) == 1
    assert "CPU" not in done.stdout
