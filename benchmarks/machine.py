"""Describes the machine that a benchmark runs on."""

import os
import pathlib
import platform

import tensorflow as tf

CPU_INFO = pathlib.Path("/proc/cpuinfo")
# What matters for the speed of products, of those that a processor may have.
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def describe() -> str:
    """Returns processor, instruction sets, cores, any GPUs and versions."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    cores = f"{os.cpu_count()} cores"
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default")
    versions = [
        f"TensorFlow {tf.__version__} (TF_ENABLE_ONEDNN_OPTS: {onednn})",
        f"Python {platform.python_version()}",
    ]
    return ", ".join([*_processor(), cores, *gpus, *versions])


def _processor() -> list[str]:
    """Returns the processor's name and the instruction sets that it has."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8")
        name = text.split("model name")[1].splitlines()[0].strip("\t: ")
        flags = text.split("\nflags")[1].splitlines()[0].split()
        return [name, *(kind for kind in INSTRUCTION_SETS if kind in flags)]
    except (OSError, IndexError):  # not Linux, or not x86
        return [platform.processor() or platform.machine()]
