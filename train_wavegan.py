"""Trains a WaveGAN, and lets one hear, use and export what it learnt.

  python train_wavegan.py train [TRAIN_DIR] --data_dir sc09/
  python train_wavegan.py preview [TRAIN_DIR]
  python train_wavegan.py incept [TRAIN_DIR]
  python train_wavegan.py generate [TRAIN_DIR] --n 20
  python train_wavegan.py generate [TRAIN_DIR] --say "three one four"
  python train_wavegan.py generate --pretrained --n 20
  python train_wavegan.py play [TRAIN_DIR]
  python train_wavegan.py export [TRAIN_DIR] --format onnx
  python train_wavegan.py infer [TRAIN_DIR]
  python train_wavegan.py release [TRAIN_DIR]
  python train_wavegan.py import [TRAIN_DIR] --checkpoint PATH/model.ckpt-STEP

TRAIN_DIR is ./train if left out. `train` goes on with a run that is there; the
other modes know its flags from its config.json. `import` makes a TRAIN_DIR of a
checkpoint of the authors' code.
"""

from system import console

console.quiet_tensorflow()  # its notes would bury ours

import wavegan
from commandline import flags, program
from training import model, weights

MODEL = model.Model(
    name="wavegan",
    config=wavegan.WaveGANConfig,
    build_generator=wavegan.build_generator,
    build_discriminator=wavegan.build_discriminator,
    pretrained=weights.FOLDER,
)
COMMAND_LINE = flags.CommandLine(
    MODEL,
    own_settings=(
        ("data_slice_len", "model", "slice_len", "samples in a clip, 64 to "
         "2**20"),
        ("data_num_channels", "model", "channels", "audio channels to make"),
        ("wavegan_genr_fade_len", "model", "fade_len", "samples at the end of "
         "what the generator makes that fade to silence; 0: none"),
        ("wavegan_disc_phaseshuffle_per_example", "model",
         "phaseshuffle_per_example", "draw each example's shifts apart, not "
         "one shift for a batch"),
        ("wavegan_spectral_critics", "train", "spectral_critics",
         "discriminators of spectrograms beside the waveform's, 0 to 3"),
        ("wavegan_spectral_dim", "train", "spectral_dim", "channels of their "
         "first layers"),
    ),
    own_options=(
        ("wavegan_genr_pp", False, "learn a filter behind tanh"),
        ("wavegan_genr_pp_len", 512, "taps of that filter"),
        ("pretrained", False, "generate, play, export, infer: by the weights "
         "that come with this program; train: start a new run from them, with "
         "their flags where none are given, but without their words, unless "
         "--data_labels asks for words"),
    ),
    switches={"post_filter_len": ("wavegan_genr_pp", "wavegan_genr_pp_len")},
)  # fmt: skip

if __name__ == "__main__":
    program.run(COMMAND_LINE)
