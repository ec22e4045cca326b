"""Runs a program on a machine that seems to have two devices.

It is train_wavegan.py, or train_alternative.py if a model is named first.
"""

from __future__ import annotations

import pathlib
import sys
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import tensorflow as tf

import train_alternative
import train_wavegan
from commandline import program
from system import console
from training import distributed

if __name__ == "__main__":
    console.import_tensorflow()
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    join = mock.patch.object(distributed, "join", lambda num_gpus: strategy)
    join.start()
    command_line = train_wavegan.COMMAND_LINE
    if sys.argv[1] in train_alternative.COMMAND_LINES:
        command_line = train_alternative.COMMAND_LINES[sys.argv.pop(1)]
    program.run(command_line)
