"""Trains a WaveGAN, and lets one hear, use and export what it learnt.

  python train_wavegan.py train [TRAIN_DIR] --data_dir sc09/
  python train_wavegan.py preview [TRAIN_DIR]
  python train_wavegan.py incept [TRAIN_DIR]
  python train_wavegan.py generate [TRAIN_DIR] --n 20
  python train_wavegan.py generate --pretrained --n 20
  python train_wavegan.py infer [TRAIN_DIR]
  python train_wavegan.py release [TRAIN_DIR]

TRAIN_DIR is ./train if left out. `train` goes on with a run that is there; the
other modes know its flags from its config.json.
"""

import errno
import pathlib
import re
import sys
from typing import Any

from eval import console

console.quiet_tensorflow()  # its notes would bury ours

import tensorflow as tf
from absl import app, flags, logging

import checkpoints
import corpus
import gan as gan_lib
import incept as incept_lib
import modes
import pretrained
import synthesizer
import traindir
import trainer
import wavegan

FLAGS = flags.FLAGS
HERE = pathlib.Path(__file__).resolve().parent
DIGITS_DIR = "sc09_synthetic"  # what is learnt without --data_dir

SECTIONS = {
    "data": traindir.DataConfig,
    "model": wavegan.WaveGANConfig,
    "train": traindir.TrainConfig,
}
# Flag, section and field of the config, help. Names of the original stay.
CONFIG_FLAGS = (
    ("data_dir", "data", "dir", "folder of audio files, however deep; if it "
     "has a folder train/, that one. Spoken digits are made if left out"),
    ("data_sample_rate", "data", "sample_rate", "in Hz; others are resampled"),
    ("data_slice_len", "model", "slice_len", "samples in a clip, 64 to 2**20"),
    ("data_num_channels", "model", "channels", "audio channels to make"),
    ("data_overlap_ratio", "data", "overlap_ratio", "of slice and next slice"),
    ("data_first_slice", "data", "first_slice", "only each file's first slice"),
    ("data_pad_end", "data", "pad_end", "keep what is left at a file's end"),
    ("data_normalize", "data", "normalize", "bring each file's peak to 1"),
    ("data_fast_wav", "data", "fast_wav", "promise that all files are WAV, "
     "16-bit or float, at the sample rate: others are refused"),
    ("data_prefetch_gpu_num", "data", "prefetch_gpu_num", "GPU that batches "
     "wait on; -1: none"),
    ("data_cache", "data", "cache", "where decoded audio stays: none, memory, "
     "disk; auto: in memory if a quarter of what is free holds it"),
    ("data_max_bad", "data", "max_bad", "share of unusable files to accept"),
    ("wavegan_latent_dim", "model", "latent_dim", "size of z"),
    ("wavegan_kernel_len", "model", "kernel_len", "taps of each convolution"),
    ("wavegan_dim", "model", "dim", "channels of the first critic layer"),
    ("wavegan_batchnorm", "model", "batchnorm", "use batch normalisation"),
    ("wavegan_genr_upsample", "model", "upsample", "zeros (transposed "
     "convolution), nn, linear or cubic"),
    ("wavegan_genr_fade_len", "model", "fade_len", "samples at the end of "
     "what the generator makes that fade to silence; 0: none"),
    ("wavegan_disc_phaseshuffle", "model", "phaseshuffle", "radius; 0: none"),
    ("wavegan_disc_phaseshuffle_per_example", "model",
     "phaseshuffle_per_example", "draw each example's shifts apart, not one "
     "shift for a batch"),
    ("wavegan_disc_dropout", "model", "dropout", "share of activations"),
    ("wavegan_disc_nupdates", "train", "critic_steps", "discriminator updates "
     "for each of the generator's"),
    ("wavegan_loss", "train", "loss", "dcgan, lsgan, wgan, wgan-gp, r1 or "
     "r3gan"),
    ("train_batch_size", "train", "batch_size", "clips in each update"),
    ("train_learning_rate", "train", "learning_rate", "of both networks; 0: "
     "the loss's own, 1e-4 for wgan-gp"),
    ("train_disc_learning_rate", "train", "disc_learning_rate", "of the "
     "discriminator alone; 0: as the generator's"),
    ("train_penalty_weight", "train", "penalty_weight", "of the "
     "discriminator's slope penalty; 0: the loss's own, 10 for wgan-gp"),
    ("train_penalty_interval", "train", "penalty_interval", "discriminator "
     "updates from one penalty to the next, each so many times heavier"),
    ("train_ema_decay", "train", "ema_decay", "of the generator's running "
     "average; 0: none"),
    ("train_jit", "train", "jit", "compile the step by XLA"),
    ("precision", "train", "precision", "fp32, or bf16: activations and "
     "products in bfloat16, weights and losses in float32"),
    ("train_max_steps", "train", "max_steps", "generator updates; 0: no end"),
    ("train_save_secs", "train", "save_secs", "between two checkpoints"),
    ("train_summary_secs", "train", "summary_secs", "between two sounds and "
     "pictures for TensorBoard"),
    ("deterministic", "train", "deterministic", "the same bits from the same "
     "seed on a GPU too, which costs time; a CPU does so anyway"),
    ("seed", "train", "seed", "of the run; in generate, of the clips"),
)  # fmt: skip
FLAG_OF = {field: flag for flag, _, field, _ in CONFIG_FLAGS}
FLAG_OF["objective"] = "wavegan_loss"
FLAG_OF["post_filter_len"] = "wavegan_genr_pp_len"
_DEFINE: dict[type, Any] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}
for _flag, _section, _field, _help in CONFIG_FLAGS:
    _default = getattr(SECTIONS[_section], _field)
    _DEFINE[type(_default)](_flag, _default, _help)
flags.DEFINE_boolean("wavegan_genr_pp", False, "learn a filter behind tanh")
flags.DEFINE_integer("wavegan_genr_pp_len", 512, "taps of that filter")
flags.DEFINE_integer("preview_n", 32, "clips in a preview")
flags.DEFINE_integer("incept_n", 5000, "incept: clips to score")
flags.DEFINE_integer("incept_k", 10, "incept: splits of the inception score")
flags.DEFINE_string(
    "incept_classifier",
    None,
    "incept: folder that eval.train_classifier "
    "made; if left out, one is trained from the names of the training files",
)
flags.DEFINE_boolean(
    "once", False, "preview, incept: stop after the newest checkpoint"
)
flags.DEFINE_boolean(
    "pretrained",
    False,
    "generate, infer: by the weights that come with this program; train: start "
    "a new run from them, with their flags where none are given",
)
flags.DEFINE_integer("n", 20, "generate: number of clips")
flags.DEFINE_string(
    "out_dir",
    None,
    "generate, release: TRAIN_DIR/generated or TRAIN_DIR/release if left out; "
    "./generated with --pretrained",
)


def build(config: dict[str, dict[str, Any]]) -> gan_lib.GAN:
    """Builds the networks of a config, with the weights of its seed."""
    settings = traindir.TrainConfig(**config["train"])
    try:
        model = traindir.from_json(wavegan.WaveGANConfig, config["model"])
    except TypeError as error:
        raise ValueError(f"config.json is damaged: {error}") from None
    return traindir.build_gan(
        settings,
        lambda: (
            wavegan.build_generator(model),
            wavegan.build_discriminator(model),
        ),
        model.latent_dim,
    )


def read_flags(
    saved: dict[str, dict[str, Any]] | None, resuming: bool = True
) -> dict[str, dict[str, Any]]:
    """Makes the config of a run from the flags.

    Args:
      saved: Config of the run to go on with: flags left out are as they were.
      resuming: Go on with that very run, not just from its weights, which
        leave all but the networks' shape to choose.

    Returns:
      Config by section, checked.

    Raises:
      ValueError: A value is out of range, or differs from the run's.
    """
    given = {
        (section, field): FLAGS[flag]
        for flag, section, field, _ in CONFIG_FLAGS
    }
    config: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for (section, field), flag in given.items():
        config[section][field] = flag.value
    post_filter = FLAGS["wavegan_genr_pp"]
    config["model"]["post_filter_len"] = (
        FLAGS.wavegan_genr_pp_len if post_filter.value else 0
    )
    given["model", "post_filter_len"] = post_filter
    for (section, field), flag in given.items():
        if saved is None:
            break
        value = config[section][field]
        before = saved[section].get(field, flag.default)
        if not flag.present:
            config[section][field] = before
        elif (
            value != before
            and (resuming or section == "model")
            and (section, field) not in traindir.RESUMABLE
        ):
            raise ValueError(
                f"--{flag.name} is {value!r}, but that run has {before!r}: "
                "leave the flag out to go on with it, or name another train dir"
            )
    for section, kind in SECTIONS.items():
        kind(**config[section])
    return config


def train(directory: traindir.TrainDir) -> None:
    """Trains, or goes on training."""
    resuming = directory.exists()
    saved = None
    if resuming:
        saved = directory.read_config()
    elif FLAGS.pretrained:
        saved = traindir.TrainDir(pretrained.FOLDER).read_config()
    config = read_flags(saved, resuming)
    gan = build(config)
    if FLAGS.pretrained and directory.checkpoints.latest_step() is None:
        step = pretrained.load(gan, pretrained.FOLDER)
        logging.info("starting from %s, step %d", pretrained.FOLDER, step)
    traindir.compile_gan(gan, traindir.TrainConfig(**config["train"]))
    if not config["data"]["dir"]:
        logging.info("no --data_dir: learning digits made in %s", DIGITS_DIR)
        synthesizer.synthesize(DIGITS_DIR)
        config["data"]["dir"] = DIGITS_DIR
    config["data"]["dir"] = str(pathlib.Path(config["data"]["dir"]).resolve())
    found = corpus.find(config, directory)
    with directory.lock():
        trainer.train(gan, directory, config, found)


def preview(directory: traindir.TrainDir) -> None:
    """Makes checkpoints heard and seen as they come."""
    modes.preview(
        build(directory.read_config()),
        directory,
        num_clips=FLAGS.preview_n,
        once=FLAGS.once,
    )


def incept(directory: traindir.TrainDir) -> None:
    """Scores checkpoints as they come."""
    given = FLAGS.incept_classifier
    incept_lib.incept(
        build(directory.read_config()),
        directory,
        classifier_dir=pathlib.Path(given) if given else None,
        num_clips=FLAGS.incept_n,
        splits=FLAGS.incept_k,
        once=FLAGS.once,
    )


def generate(directory: traindir.TrainDir) -> None:
    """Writes clips."""
    home = pathlib.Path() if FLAGS.pretrained else directory.path
    modes.generate(
        build(directory.read_config()),
        directory,
        num_clips=FLAGS.n,
        seed=FLAGS.seed,
        out_dir=pathlib.Path(FLAGS.out_dir or home / "generated"),
    )


def release(directory: traindir.TrainDir) -> None:
    """Writes weights that travel."""
    modes.release(
        build(directory.read_config()),
        directory,
        num_clips=FLAGS.preview_n,
        out_dir=pathlib.Path(FLAGS.out_dir or directory.path / "release"),
    )


def infer(directory: traindir.TrainDir) -> None:
    """Exports a SavedModel."""
    modes.infer(build(directory.read_config()), directory)


MODES = {
    "train": train,
    "preview": preview,
    "incept": incept,
    "generate": generate,
    "infer": infer,
    "release": release,
}
EXIT_CODES = {  # what is wrong: a scheduler may start some again
    checkpoints.CorruptError: 2,
    FloatingPointError: 3,
    traindir.LockedError: 75,
    Exception: 1,
}
REMEDIES = {
    errno.ENOSPC: "free some space, then run the same command",
    errno.EACCES: "give yourself access to it, or name another folder",
    errno.ENOTDIR: "that is a file: name a folder",
    errno.EROFS: "make it writable, or name another folder",
}
PRETRAINED_MODES = ("train", "generate", "infer")


def main(argv: list[str]) -> None:
    """Runs one mode; whatever is wrong ends in one line."""
    try:
        mode, path = (argv[1:] + ["./train"])[:2] if argv[1:] else ("", "")
        if mode not in MODES or len(argv) > 3:
            raise ValueError(
                f"expected MODE [TRAIN_DIR], MODE one of {', '.join(MODES)}; "
                f"got {' '.join(argv[1:]) or 'nothing'} (--help lists flags)"
            )
        if FLAGS.pretrained and mode not in PRETRAINED_MODES:
            raise ValueError(
                f"--pretrained is for {', '.join(PRETRAINED_MODES)}, not {mode}"
            )
        if FLAGS.pretrained and mode != "train":
            if argv[2:]:
                raise ValueError(
                    f"{argv[2]} and --pretrained: expected one of the two"
                )
            path = str(pretrained.FOLDER)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        MODES[mode](traindir.TrainDir(path))
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, ArithmeticError, tf.errors.OpError) as error:
        logging.debug("", exc_info=True)
        print(f"train_wavegan.py: {_in_one_line(error)}", file=sys.stderr)
        sys.exit(next(c for k, c in EXIT_CODES.items() if isinstance(error, k)))


def _in_one_line(error: Exception) -> str:
    """What went wrong, in the words of the command line."""
    if isinstance(error, tf.errors.OpError):
        # An error in the data comes wrapped in TensorFlow's own words.
        lines = error.message.strip().splitlines()
        ours = [line for line in lines if "cannot decode" in line]
        return re.sub(r"^.*?(?=cannot decode)", "", (ours or lines)[0])
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return f"{error.filename}: {error.strerror}: {REMEDIES[error.errno]}"
    field, *rest = str(error).split()
    if rest[:1] == ["is"] and field in FLAG_OF:
        field = f"--{FLAG_OF[field]}"
    return " ".join([field, *rest])


def parse(argv: list[str]) -> list[str]:
    """Reads the flags; an odd one ends in one line."""
    try:
        return FLAGS(argv)
    except flags.Error as error:
        sys.exit(f"train_wavegan.py: {' '.join(str(error).split())}")


if __name__ == "__main__":
    # Plain lines, and ours alone: TensorFlow logs through absl as well.
    # --verbosity=1 adds the traceback behind an error's line.
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().setFormatter(None)
    logging.get_absl_handler().addFilter(
        lambda record: pathlib.Path(record.pathname).parent == HERE
    )
    app.run(main, flags_parser=parse)
