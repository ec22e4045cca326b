"""The command line of a model: its flags, its modes, and how it ends."""

import dataclasses
import errno
import functools
import pathlib
import re
import shutil
import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from absl import app, flags, logging

import checkpoints
import corpus
import face as face_lib
import gan as gan_lib
import incept as incept_lib
import modes
import original
import pretrained
import synthesizer
import traindir
import trainer

FLAGS = flags.FLAGS
HERE = pathlib.Path(__file__).resolve().parent
DIGITS_DIR = "sc09_synthetic"  # what is learnt without --data_dir
SECTIONS = ("data", "model", "train")

Face = face_lib.Face
Config = face_lib.Config

_DEFINE: dict[type, Any] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    type(None): flags.DEFINE_string,
}
# --help is to show them as flags of the program that calls.
flags.disclaim_key_flags()


def define(face: Face, values: flags.FlagValues = FLAGS) -> None:
    """Defines the flags of a model's command line."""
    defaults = {name: kind() for name, kind in face.sections.items()}
    for name, section, field, text in face.settings:
        default = getattr(defaults[section], field)
        _DEFINE[type(default)](name, default, text, flag_values=values)
    for name, default, text in face.options:
        _DEFINE[type(default)](name, default, text, flag_values=values)


def _fields(face: Face) -> dict[tuple[str, str], tuple[flags.Flag, Any]]:
    """Flags and values of the config's fields, by section and field."""
    given = {
        (section, field): (FLAGS[name], FLAGS[name].value)
        for name, section, field, _ in face.settings
    }
    for field, (switch, size) in face.switches.items():
        value = FLAGS[size].value if FLAGS[switch].value else 0
        given["model", field] = FLAGS[switch], value
    return given


def read_flags(
    face: Face, saved: Config | None, fixed: tuple[str, ...] = SECTIONS
) -> Config:
    """Makes the config of a run from the flags.

    Args:
      face: Whose.
      saved: Config of the run to go on with: flags left out are as they were.
      fixed: Its sections that flags may not change, but for what is resumable.
        Weights alone leave all but the networks' shape to choose.

    Returns:
      Config by section, checked.

    Raises:
      ValueError: A value is out of range, or differs from the run's.
    """
    config = {
        name: dataclasses.asdict(kind()) for name, kind in face.sections.items()
    }
    for (section, field), (flag, value) in _fields(face).items():
        if saved is None:
            config[section][field] = value
            continue
        before = saved[section].get(field, flag.default)
        config[section][field] = value if flag.present else before
        if (
            config[section][field] != before
            and section in fixed
            and (section, field) not in traindir.RESUMABLE
        ):
            raise ValueError(
                f"--{flag.name} is {value!r}, but that run has {before!r}: "
                "leave the flag out to go on with it, or name another train dir"
            )
    for section, kind in face.sections.items():
        kind(**config[section])
    if config["data"]["dir"]:
        config["data"]["dir"] = _absolute(config["data"]["dir"])
    return config


def _absolute(path: str) -> str:
    return str(pathlib.Path(path).resolve())


def read_config(face: Face, directory: traindir.TrainDir) -> Config:
    """Reads the config of a run.

    Raises:
      FileNotFoundError: There is no run.
      ValueError: It is damaged, or another model's.
    """
    config = directory.read_config()
    try:
        traindir.from_json(face.config, config["model"])
    except TypeError as error:
        raise ValueError(
            f"{directory.path} is not of {face.program}, or damaged ({error}): "
            "use the program that made it"
        ) from None
    return config


def build(
    face: Face,
    directory: traindir.TrainDir,
    config: Config | None = None,
    kind: Callable[..., gan_lib.GAN] | None = None,
) -> gan_lib.GAN:
    """Builds the networks of a run, with the weights of its seed.

    Args:
      face: Whose.
      directory: Where the run lives.
      config: Of the run, if its config.json does not hold it yet.
      kind: Class of the GAN; the model's own, by what the train dir holds, if
        left out.
    """
    config = config or read_config(face, directory)
    model = face.config(**config["model"])
    return traindir.build_gan(
        traindir.TrainConfig(**config["train"]),
        lambda: (face.build_generator(model), face.build_discriminator(model)),
        model.latent_dim,
        kind or face.gan_of(directory, model),
    )


def find_audio(config: Config, directory: traindir.TrainDir) -> corpus.Corpus:
    """Finds what a run learns from; makes digits if it has no folder."""
    data = config["data"]
    if not data["dir"]:
        logging.info("no --data_dir: learning digits made in %s", DIGITS_DIR)
        synthesizer.synthesize(DIGITS_DIR)
        data["dir"] = _absolute(DIGITS_DIR)
    return corpus.find(config, directory)


def train(face: Face, directory: traindir.TrainDir) -> None:
    """Trains, or goes on training."""
    released = _released(face)
    resuming = directory.exists()
    saved = None
    if resuming:
        saved = read_config(face, directory)
    elif released:
        saved = read_config(face, traindir.TrainDir(released))
    config = read_flags(face, saved, SECTIONS if resuming else ("model",))
    found = find_audio(config, directory)
    with directory.lock():
        face.prepare(directory, config, found)
        gan = build(face, directory, config)
        if released and directory.checkpoints.latest_step() is None:
            step = pretrained.load(gan, released)
            logging.info("starting from %s, step %d", released, step)
        traindir.compile_gan(gan, traindir.TrainConfig(**config["train"]))
        trainer.train(gan, directory, config, found)


def preview(face: Face, directory: traindir.TrainDir) -> None:
    """Makes checkpoints heard and seen as they come."""
    modes.preview(
        build(face, directory),
        directory,
        num_clips=FLAGS.preview_n,
        once=FLAGS.once,
    )


def incept(face: Face, directory: traindir.TrainDir) -> None:
    """Scores checkpoints as they come."""
    given = FLAGS.incept_classifier
    incept_lib.incept(
        build(face, directory),
        directory,
        classifier_dir=pathlib.Path(given) if given else None,
        num_clips=FLAGS.incept_n,
        splits=FLAGS.incept_k,
        once=FLAGS.once,
    )


def generate(face: Face, directory: traindir.TrainDir) -> None:
    """Writes clips."""
    home = pathlib.Path() if _released(face) else directory.path
    modes.generate(
        build(face, directory),
        directory,
        num_clips=FLAGS.n,
        seed=FLAGS.seed,
        out_dir=pathlib.Path(FLAGS.out_dir or home / "generated"),
    )


def infer(face: Face, directory: traindir.TrainDir) -> None:
    """Exports a SavedModel."""
    modes.infer(build(face, directory), directory)


def release(face: Face, directory: traindir.TrainDir) -> None:
    """Writes weights that travel."""
    modes.release(
        build(face, directory),
        directory,
        num_clips=FLAGS.preview_n,
        out_dir=pathlib.Path(FLAGS.out_dir or directory.path / "release"),
    )


def import_original(face: Face, directory: traindir.TrainDir) -> None:
    """Makes a train dir of a checkpoint of the authors' code.

    Raises:
      ValueError: It holds something else, contradicts a flag, or leaves open
        what a flag must tell; or the train dir holds a run.
    """
    if directory.exists() or directory.checkpoints.steps():
        raise ValueError(f"{directory.path} holds a run: name another folder")
    if not FLAGS.checkpoint:
        raise ValueError("--checkpoint is missing: expected PATH/model.ckpt-N")
    checkpoint = original.read(FLAGS.checkpoint)
    model = original.model_of(checkpoint)
    if model != face.model:
        raise ValueError(f"{checkpoint.path} is for train_{model}.py: use that")
    config = read_flags(face, _choose(face, checkpoint), fixed=())
    gan = build(face, directory, config, gan_lib.GAN)
    traindir.compile_gan(gan, traindir.TrainConfig(**config["train"]))
    missing = original.restore(gan, checkpoint)
    with directory.lock():
        face.prepare(directory, config, None)
        directory.checkpoints.save(gan, checkpoint.step)
        try:
            directory.write_config(config)
        except BaseException:
            shutil.rmtree(directory.checkpoints.folder)
            raise
    fresh = f"; without {', '.join(missing)}: training goes on with fresh ones"
    print(f"step {checkpoint.step}: {directory.path}{fresh * bool(missing)}")


def _choose(face: Face, checkpoint: original.Checkpoint) -> Config:
    """What a checkpoint tells of a config, by the flags where it may be more.

    Raises:
      ValueError: A flag contradicts it, or must be given.
    """
    chosen: Config = {name: {} for name in face.sections}
    fields = _fields(face)
    for (section, field), values in original.settings(checkpoint).items():
        if (section, field) not in fields:  # not of this model
            continue
        flag, value = fields[section, field]
        if value not in values and (flag.present or len(values) > 1):
            raise ValueError(
                f"--{flag.name} is {value!r}: expected "
                f"{' or '.join(map(repr, values))}, by the checkpoint"
            )
        chosen[section][field] = value if value in values else values[0]
    return chosen


MODES: dict[str, Callable[[Face, traindir.TrainDir], None]] = {
    "train": train,
    "preview": preview,
    "incept": incept,
    "generate": generate,
    "infer": infer,
    "release": release,
    "import": import_original,
}
RELEASED_MODES = ("train", "generate", "infer")  # that take --pretrained
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


def _released(face: Face) -> pathlib.Path | None:
    """The weights that come with the program, if they are asked for."""
    return face.pretrained if face.pretrained and FLAGS.pretrained else None


def main(face: Face, argv: list[str]) -> None:
    """Runs one mode; whatever is wrong ends in one line."""
    known = {**MODES, **face.own_modes}
    try:
        mode, path = (argv[1:] + ["./train"])[:2] if argv[1:] else ("", "")
        if mode not in known or len(argv) > 3:
            raise ValueError(
                f"expected MODE [TRAIN_DIR], MODE one of {', '.join(known)}; "
                f"got {' '.join(argv[1:]) or 'nothing'} (--help lists flags)"
            )
        released = _released(face)
        if released and mode not in RELEASED_MODES:
            raise ValueError(
                f"--pretrained is for {', '.join(RELEASED_MODES)}, not {mode}"
            )
        if released and mode != "train":
            if argv[2:]:
                raise ValueError(
                    f"{argv[2]} and --pretrained: expected one of the two"
                )
            path = str(released)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        known[mode](face, traindir.TrainDir(path))
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, ArithmeticError, tf.errors.OpError) as error:
        logging.debug("", exc_info=True)
        print(f"{face.program}: {_in_one_line(face, error)}", file=sys.stderr)
        sys.exit(next(c for k, c in EXIT_CODES.items() if isinstance(error, k)))


def _in_one_line(face: Face, error: Exception) -> str:
    """What went wrong, in the words of the command line."""
    if isinstance(error, tf.errors.OpError):
        # An error in the data comes wrapped in TensorFlow's own words.
        lines = error.message.strip().splitlines()
        ours = [line for line in lines if "cannot decode" in line]
        return re.sub(r"^.*?(?=cannot decode)", "", (ours or lines)[0])
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return f"{error.filename}: {error.strerror}: {REMEDIES[error.errno]}"
    flag_of = {field: flag for flag, _, field, _ in face.settings}
    flag_of |= {field: size for field, (_, size) in face.switches.items()}
    flag_of["objective"] = flag_of["loss"]
    field, *rest = str(error).split()
    if rest[:1] == ["is"] and field in flag_of:
        field = f"--{flag_of[field]}"
    return " ".join([field, *rest])


def run(face: Face) -> None:
    """Runs the command line of a model."""
    define(face)

    def parse(argv: list[str]) -> list[str]:
        try:
            return FLAGS(argv)
        except flags.Error as error:
            sys.exit(f"{face.program}: {' '.join(str(error).split())}")

    # Plain lines, and ours alone: TensorFlow logs through absl as well.
    # --verbosity=1 adds the traceback behind an error's line.
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().setFormatter(None)
    logging.get_absl_handler().addFilter(
        lambda record: pathlib.Path(record.pathname).parent == HERE
    )
    app.run(functools.partial(main, face), flags_parser=parse)
