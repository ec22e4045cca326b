"""Tests the line that names the device of a run."""

from __future__ import annotations

import pathlib
import subprocess
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


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("fpu avx2 avx512f", False),
        ("fpu avx2 avx512_bf16 sse4_2", True),
        ("fpu amx_bf16 amx_tile", True),
        ("fp asimd bf16 i8mm", True),
        ("fp not_bf16", False),
        (None, False),
    ],
)
def test_bfloat16_is_known_by_the_flags_of_the_processor(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    flags: str | None,
    has: bool,
) -> None:
    config: Any = tf.config
    monkeypatch.setattr(config, "get_visible_devices", lambda _: [])
    monkeypatch.setattr(device, "CPU_INFO", tmp_path / "cpuinfo")
    if flags is not None:
        device.CPU_INFO.write_text(f"model: x\nflags\t\t: {flags}\n")
    assert device.has_bfloat16() == has
    card = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(config, "get_visible_devices", lambda _: [card])
    assert device.has_bfloat16()


def train_in_bf16(
    tmp_path: pathlib.Path, audio: pathlib.Path, *flags: str
) -> subprocess.CompletedProcess[str]:
    return command_runner.run(
        *("train", tmp_path / "t", f"--data_dir={audio}", "--precision=bf16"),
        *("--wavegan_dim=2", "--data_slice_len=1024", "--train_max_steps=1"),
        *("--train_batch_size=2", *flags),
    )


@pytest.mark.slow
@pytest.mark.skipif(device.has_bfloat16(), reason="bfloat16 is fast here")
def test_bf16_is_refused_where_it_is_emulated(
    tmp_path: pathlib.Path, audio: pathlib.Path
) -> None:
    done = train_in_bf16(tmp_path, audio)
    command_runner.assert_one_line(done, "--precision is 'bf16'", "fp32")
    assert not (tmp_path / "t/config.json").exists()


@pytest.mark.slow
def test_bf16_can_be_forced(
    tmp_path: pathlib.Path, audio: pathlib.Path
) -> None:
    done = train_in_bf16(tmp_path, audio, "--force_bf16")
    assert done.returncode == 0, done.stderr
