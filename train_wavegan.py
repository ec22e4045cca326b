"""Trains a WaveGAN; generates, plays and exports audio with it.

Examples:
  python train_wavegan.py train ./run --data_dir sc09/
  python train_wavegan.py preview ./run
  python train_wavegan.py generate ./run --n 20
  python train_wavegan.py generate --pretrained --say "three one four"
  python train_wavegan.py export ./run --format onnx
"""

import sys

from commandline import usage

if __name__ == "__main__":
    usage.answer("train_wavegan.py", __doc__ or "", sys.argv)

from system import console

console.import_tensorflow()  # before any other module does

import wavegan
from commandline import flags, modes, program
from training import gan_model, weights

MODEL = gan_model.GANModel(
    name="wavegan",
    title="WaveGAN",
    config=wavegan.WaveGANConfig,
    build_generator=wavegan.build_generator,
    build_discriminator=wavegan.build_discriminator,
    pretrained=weights.FOLDER,
)
COMMAND_LINE = flags.CommandLine(MODEL, modes=modes.MODES)

if __name__ == "__main__":
    program.run(COMMAND_LINE)
