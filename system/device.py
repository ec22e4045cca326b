"""Describes the device that a run uses, and a GPU that it fails to use."""

import pathlib

import tensorflow as tf

# A file that exists where an NVIDIA driver is loaded.
DRIVER = pathlib.Path("/proc/driver/nvidia/version")


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
