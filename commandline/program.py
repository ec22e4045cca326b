"""The command line of a model: its flags, its modes, and how it ends."""

import errno
import functools
import os
import pathlib
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from absl import app, flags, logging

from audio import write
from commandline import flags as flags_lib
from commandline import run_config
from modes import export as export_lib
from modes import generate as generate_lib
from modes import import_original as import_original_lib
from modes import incept as incept_lib
from modes import original_checkpoint
from modes import play as play_lib
from modes import preview as preview_lib
from modes import release as release_lib
from modes import train as train_lib
from training import checkpoints, distributed, train_dir

FLAGS = flags.FLAGS
HERE = pathlib.Path(__file__).resolve().parents[1]

CommandLine = flags_lib.CommandLine

_DEFINE: dict[type, Any] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    type(None): flags.DEFINE_string,
    list: flags.DEFINE_list,
}
# --help is to show them as flags of the program that calls.
flags.disclaim_key_flags()


def define(command_line: CommandLine, values: flags.FlagValues = FLAGS) -> None:
    """Defines the flags of a model's command line."""
    defaults = {
        name: kind() for name, kind in command_line.model.sections.items()
    }
    for name, section, field, text in command_line.settings:
        default = getattr(defaults[section], field)
        _DEFINE[type(default)](name, default, text, flag_values=values)
    for name, default, text in command_line.options:
        _DEFINE[type(default)](name, default, text, flag_values=values)


def train(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Trains, or goes on training."""
    model = command_line.model
    released = _released(command_line)
    resuming = directory.exists()
    saved = None
    if resuming:
        saved = model.read_config(directory)
    elif released:
        shipped = model.read_config(train_dir.TrainDir(released))
        # Whether files tell words, and which, is up to the data of the new run.
        unlabelled = {**shipped["data"], "labels": "", "words": ()}
        saved = {**shipped, "data": unlabelled}
    config = run_config.read_flags(
        command_line,
        FLAGS,
        saved,
        run_config.SECTIONS if resuming else ("model",),
    )
    train_lib.train(
        model,
        config,
        directory,
        released=released,
        num_gpus=FLAGS.num_gpus,
    )


def preview(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Makes checkpoints heard and seen as they come."""
    preview_lib.preview(
        command_line.model.build(directory),
        directory,
        num_clips=FLAGS.preview_n,
        once=FLAGS.once,
    )


def incept(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Scores checkpoints as they come."""
    incept_lib.incept(
        command_line.model.build(directory),
        directory,
        classifier_dir=_path(FLAGS.incept_classifier),
        num_clips=FLAGS.incept_n,
        splits=FLAGS.incept_k,
        once=FLAGS.once,
    )


def _path(text: str | None) -> pathlib.Path | None:
    return pathlib.Path(text) if text else None


def _out_dir(
    command_line: CommandLine, directory: train_dir.TrainDir, name: str
) -> pathlib.Path:
    """Where files go, unless a flag says: not beside the program's weights."""
    home = pathlib.Path() if _released(command_line) else directory.path
    return pathlib.Path(FLAGS.out_dir or home / name)


def _split_words(text: str) -> tuple[str, ...]:
    """Splits a phrase at its commas, if it has some, or at its spaces."""
    words = text.lower().split("," if "," in text else None)
    return tuple(word.strip() for word in words if word.strip())


def generate(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Writes clips."""
    ends = FLAGS.interpolate
    if not all(seed.isdecimal() for seed in ends):
        raise ValueError(f"interpolate is {','.join(ends)}: expected two seeds")
    say = _split_words(FLAGS.say)
    if FLAGS.say and not say:
        raise ValueError(f"say is {FLAGS.say!r}: expected words")
    request = generate_lib.Request(
        num_clips=1 if say and not FLAGS["n"].present else FLAGS.n,
        seed=FLAGS.seed,
        ends=tuple(map(int, ends)),
        steps=FLAGS.steps,
        interpolation=FLAGS.interpolation,
        truncation=FLAGS.truncation,
        label=FLAGS.label,
        best=FLAGS.best,
        concat=FLAGS.concat,
        words=tuple(word.strip().lower() for word in FLAGS.word),
        say=say,
    )
    writing = write.Writing(
        FLAGS.format or write.FORMATS[0], FLAGS.rate, FLAGS.normalize
    )
    generate_lib.generate(
        command_line.model.build(directory),
        directory,
        request,
        writing,
        out_dir=_out_dir(command_line, directory, "generated"),
        classifier_dir=_path(FLAGS.incept_classifier),
    )


def play(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Serves a page to play on."""
    play_lib.play(
        command_line.model.build(directory), directory, port=FLAGS.port
    )


def export(
    command_line: CommandLine, directory: train_dir.TrainDir, form: str = ""
) -> None:
    """Writes the generator for others."""
    form = form or FLAGS.format or next(iter(export_lib.FORMATS))
    export_lib.check(form)
    export_lib.export(
        command_line.model.build(directory),
        directory,
        model=command_line.model.name,
        form=form,
        out_dir=_out_dir(command_line, directory, "export"),
    )


def infer(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Exports a SavedModel; the name of the original."""
    export(command_line, directory, "savedmodel")


def release(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Writes weights that travel."""
    release_lib.release(
        command_line.model.build(directory),
        directory,
        num_clips=FLAGS.preview_n,
        out_dir=_out_dir(command_line, directory, "release"),
    )


def import_original(
    command_line: CommandLine, directory: train_dir.TrainDir
) -> None:
    """Makes a train dir of a checkpoint of the authors' code.

    Raises:
      ValueError: It holds something else, contradicts a flag, or leaves open
        what a flag must tell; or the train dir holds a run.
    """
    model = command_line.model
    if directory.exists() or directory.checkpoints.steps():
        raise ValueError(f"{directory.path} holds a run: name another folder")
    if not FLAGS.checkpoint:
        raise ValueError("--checkpoint is missing: expected PATH/model.ckpt-N")
    checkpoint = original_checkpoint.read(FLAGS.checkpoint)
    found = original_checkpoint.model_of(checkpoint)
    if found != model.name:
        raise ValueError(f"{checkpoint.path} is for train_{found}.py: use that")
    config = run_config.read_flags(
        command_line,
        FLAGS,
        run_config.resolve_ambiguous_settings(
            command_line, FLAGS, original_checkpoint.settings(checkpoint)
        ),
        fixed=(),
    )
    import_original_lib.import_original(model, config, directory, checkpoint)


MODES: dict[str, Callable[[CommandLine, train_dir.TrainDir], None]] = {
    "train": train,
    "preview": preview,
    "incept": incept,
    "generate": generate,
    "play": play,
    "export": export,
    "infer": infer,
    "release": release,
    "import": import_original,
}
# Those that take --pretrained.
RELEASED_MODES = ("train", "generate", "play", "export", "infer")
EXIT_CODES = {  # what is wrong: a scheduler may start some again
    checkpoints.CorruptError: 2,
    FloatingPointError: 3,
    distributed.WorkerLostError: 69,
    train_dir.LockedError: 75,
    Exception: 1,
}
REMEDIES = {
    errno.ENOSPC: "free some space, then run the same command",
    errno.EACCES: "give yourself access to it, or name another folder",
    errno.ENOTDIR: "that is a file: name a folder",
    errno.EROFS: "make it writable, or name another folder",
}


def _released(command_line: CommandLine) -> pathlib.Path | None:
    """The weights that come with the program, if they are asked for."""
    return (
        command_line.model.pretrained
        if command_line.model.pretrained and FLAGS.pretrained
        else None
    )


def main(command_line: CommandLine, argv: list[str]) -> None:
    """Runs one mode; whatever is wrong ends in one line."""
    # The first process of a container has no default that would end it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    known = {**MODES, **command_line.own_modes}
    try:
        mode, path = (argv[1:] + ["./train"])[:2] if argv[1:] else ("", "")
        if mode not in known or len(argv) > 3:
            raise ValueError(
                f"expected MODE [TRAIN_DIR], MODE one of {', '.join(known)}; "
                f"got {' '.join(argv[1:]) or 'nothing'} (--help lists flags)"
            )
        released = _released(command_line)
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
        known[mode](command_line, train_dir.TrainDir(path))
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, ArithmeticError, tf.errors.OpError) as error:
        logging.debug("", exc_info=True)
        print(
            f"{command_line.program}: {_in_one_line(command_line, error)}",
            file=sys.stderr,
        )
        if isinstance(error, distributed.WorkerLostError):
            # TensorFlow's own end would wait for those who are gone.
            os._exit(EXIT_CODES[distributed.WorkerLostError])
        sys.exit(next(c for k, c in EXIT_CODES.items() if isinstance(error, k)))


def _in_one_line(command_line: CommandLine, error: Exception) -> str:
    """What went wrong, in the words of the command line."""
    if isinstance(error, tf.errors.OpError):
        # An error in the data comes wrapped in TensorFlow's own words.
        lines = error.message.strip().splitlines()
        ours = [line for line in lines if "cannot decode" in line]
        return re.sub(r"^.*?(?=cannot decode)", "", (ours or lines)[0])
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return f"{error.filename}: {error.strerror}: {REMEDIES[error.errno]}"
    flag_of = {field: flag for flag, _, field, _ in command_line.settings}
    flag_of |= {
        field: size for field, (_, size) in command_line.switches.items()
    }
    flag_of |= {name: name for name, _, _ in command_line.options}
    flag_of["objective"] = flag_of["loss"]
    field, *rest = str(error).split()
    if rest[:1] == ["is"] and field in flag_of:
        field = f"--{flag_of[field]}"
    return " ".join([field, *rest])


def _join_pair(argv: list[str], flag: str) -> list[str]:
    """Turns `--flag A B` into `--flag=A,B`, which the parser understands."""
    at = argv.index(flag) if flag in argv else len(argv)
    pair = argv[at + 1 : at + 3]
    if len(pair) < 2 or not pair[1].isdecimal():
        return argv
    return [*argv[:at], f"{flag}={','.join(pair)}", *argv[at + 3 :]]


def run(command_line: CommandLine) -> None:
    """Runs the command line of a model."""
    define(command_line)

    def parse(argv: list[str]) -> list[str]:
        try:
            return FLAGS(_join_pair(argv, "--interpolate"))
        except flags.Error as error:
            sys.exit(f"{command_line.program}: {' '.join(str(error).split())}")

    # Plain lines, and ours alone: TensorFlow logs through absl as well.
    # --verbosity=1 adds the traceback behind an error's line.
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().setFormatter(None)
    logging.get_absl_handler().addFilter(
        lambda record: HERE in pathlib.Path(record.pathname).parents[:2]
    )
    app.run(functools.partial(main, command_line), flags_parser=parse)
