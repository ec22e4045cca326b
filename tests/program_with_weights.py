"""Runs train_wavegan.py as if it came with the weights in a folder.

python tests/program_with_weights.py FOLDER MODE [TRAIN_DIR] [--flags]
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import train_wavegan
from commandline import program

if __name__ == "__main__":
    folder = pathlib.Path(sys.argv.pop(1))
    model = dataclasses.replace(train_wavegan.MODEL, pretrained=folder)
    program.run(dataclasses.replace(train_wavegan.COMMAND_LINE, model=model))
