"""Describes the machine that a benchmark runs on."""

import os
import pathlib
import platform

import tensorflow as tf


def describe() -> str:
    """Returns the processor, its cores, any GPUs and TensorFlow's version."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    cores = f"{os.cpu_count()} cores"
    versions = (
        f"TensorFlow {tf.__version__}, Python {platform.python_version()}"
    )
    return ", ".join([_processor(), cores, *gpus, versions])


def _processor() -> str:
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return text.split("model name")[1].splitlines()[0].strip("\t: ")
    except (OSError, IndexError):  # not Linux, or not x86
        return platform.processor() or platform.machine()
