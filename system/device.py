"""Describes the device that a run uses, and a GPU that it fails to use."""

import pathlib

import tensorflow as tf

# A file that exists where an NVIDIA driver is loaded.
DRIVER = pathlib.Path("/proc/driver/nvidia/version")
CPU_INFO = pathlib.Path("/proc/cpuinfo")
# Names that Linux gives the instructions for bfloat16 of x86 and ARM.
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}


def describe() -> str:
    """Returns the visible GPUs, or why the CPU is used, in one line."""
    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        names = [
            tf.config.experimental.get_device_details(gpu).get(
                "device_name", gpu.name
            )
            for gpu in gpus
        ]
        number = f"{len(gpus)} GPUs" if len(gpus) > 1 else "GPU"
        return f"{number}: {', '.join(names)}"
    if tf.config.list_physical_devices("GPU"):
        return "CPU: a GPU is there, but --num_gpus is 0"
    if DRIVER.exists():
        return (
            "CPU: a GPU's driver is there, but not the CUDA libraries that "
            "TensorFlow needs: pip install -r requirements-gpu.txt"
        )
    return "CPU: no GPU found"


def has_bfloat16() -> bool:
    """Whether a visible GPU or the processor calculates in bfloat16.

    Without such instructions bfloat16 is emulated and much slower than float32.
    Where the processor's features are unknown, the answer is no.
    """
    if tf.config.get_visible_devices("GPU"):
        return True
    try:
        return not BFLOAT16.isdisjoint(CPU_INFO.read_text().split())
    except OSError:
        return False
