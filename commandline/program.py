"""Runs the mode that a command line names, and turns errors into exit codes."""

import functools
import pathlib
import sys
from typing import Any

import tensorflow as tf
from absl import app, flags, logging

import gan as gan_lib
from audio import write
from commandline import errors, flagfiles, run_config
from commandline import flags as flags_lib
from modes import export as export_lib
from modes import generate as generate_lib
from modes import import_original as import_original_lib
from modes import incept as incept_lib
from modes import original_checkpoint
from modes import play as play_lib
from modes import preview as preview_lib
from modes import release as release_lib
from modes import train as train_lib
from system import console, device, settings
from training import checkpoints, distributed, train_dir
from training import config as config_lib

FLAGS = flags.FLAGS
HERE = pathlib.Path(__file__).resolve().parents[1]

CommandLine = flags_lib.CommandLine
Mode = flags_lib.Mode

_DEFINE: dict[type, Any] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    type(None): flags.DEFINE_string,
    list: flags.DEFINE_list,
}
# --help then shows them as flags of the program that calls `define`.
flags.disclaim_key_flags()


def define(command_line: CommandLine, values: flags.FlagValues = FLAGS) -> None:
    """Defines the flags of a model's command line."""
    settings_of_run = command_line.config_options
    for option in command_line.options:
        text = option.help
        if option not in settings_of_run:
            text = f"{', '.join(option.modes)}: {text}"
        define_flag = _DEFINE[type(option.default)]
        define_flag(option.name, option.default, text, flag_values=values)


def _open(
    command_line: CommandLine,
    directory: train_dir.TrainDir,
    names_device: bool = True,
) -> tuple[gan_lib.GAN, train_dir.TrainDir, config_lib.RunConfig]:
    """Builds the GAN of a train dir; returns it with train dir and config.

    Args:
      command_line: Command line, which knows the model.
      directory: The train dir.
      names_device: Whether to report the device that computes.
    """
    config = directory.read_config(command_line.model.config)
    if names_device:
        logging.info("%s", device.describe())
    return command_line.model.build(directory, config), directory, config


def train(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Trains a model, or continues the run in TRAIN_DIR."""
    model = command_line.model
    released = _released(command_line)
    if directory.is_release:
        raise ValueError(
            f"{directory.path} holds released weights: start a new run from "
            f"them, train NEW_DIR --pretrained={directory.path}"
        )
    saved: config_lib.RunConfig | None = None
    fixed: tuple[str, ...] = ()
    if directory.exists():
        saved = directory.read_config(model.config)
        fixed = ("data", "model", "train")
    elif released:
        shipped = train_dir.TrainDir(released).read_config(model.config)
        # The names of the new run's files determine its words.
        saved = shipped.with_words(()).replace(labels="")
        fixed = ("model",)
    train_lib.train(
        model,
        run_config.read_flags(command_line, FLAGS, saved, fixed),
        directory,
        released=released,
        num_gpus=FLAGS.num_gpus,
    )


def preview(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Writes audio and a picture of each new checkpoint."""
    preview_lib.preview(
        *_open(command_line, directory),
        num_clips=FLAGS.preview_n,
        once=FLAGS.once,
    )


def incept(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Scores each new checkpoint, and keeps the best one."""
    incept_lib.incept(
        *_open(command_line, directory),
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
    """Returns the folder for files: --out_dir, or a default.

    The default is in the train dir, or in the working directory for the weights
    that come with the program.
    """
    home = pathlib.Path() if _released(command_line) else directory.path
    return pathlib.Path(FLAGS.out_dir or home / name)


def _split_words(text: str) -> tuple[str, ...]:
    """Splits a phrase at its commas, or at its spaces if it has no commas."""
    words = text.lower().split("," if "," in text else None)
    return tuple(word.strip() for word in words if word.strip())


def generate(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Writes clips, or phrases, as audio files."""
    ends = FLAGS.interpolate
    if not all(seed.isdecimal() for seed in ends):
        raise settings.SettingError("interpolate", ",".join(ends), "two seeds")
    say = _split_words(FLAGS.say)
    if FLAGS.say and not say:
        raise settings.SettingError("say", FLAGS.say, "words")
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
        *_open(command_line, directory),
        request,
        writing,
        out_dir=_out_dir(command_line, directory, "generated"),
        classifier_dir=_path(FLAGS.incept_classifier)
        or incept_lib.default_classifier(directory, [FLAGS.label.lower()]),
    )


def play(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Serves a web page of pads that play clips, to this machine only."""
    play_lib.play(*_open(command_line, directory), port=FLAGS.port)


def export(
    command_line: CommandLine, directory: train_dir.TrainDir, form: str = ""
) -> None:
    """Writes the generator as a SavedModel, or for Keras, TFLite or ONNX."""
    form = form or FLAGS.format or next(iter(export_lib.FORMATS))
    export_lib.check(form)
    export_lib.export(
        *_open(command_line, directory, names_device=False),
        model=command_line.model.name,
        form=form,
        out_dir=_out_dir(command_line, directory, "export"),
    )


def infer(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Writes a SavedModel, as the mode of this name of the original code."""
    export(command_line, directory, "savedmodel")


def release(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Writes float16 weights, config and samples of the run, to pass on."""
    release_lib.release(
        *_open(command_line, directory, names_device=False),
        model=command_line.model.name,
        num_clips=FLAGS.preview_n,
        out_dir=_out_dir(command_line, directory, "release"),
    )


def import_original(
    command_line: CommandLine, directory: train_dir.TrainDir
) -> None:
    """Makes TRAIN_DIR of a checkpoint of the paper authors' code.

    Raises:
      ValueError: The checkpoint is of other networks, contradicts a flag, or
        leaves a setting open that no flag gives; or TRAIN_DIR holds a run.
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
    fitting = run_config.resolve_ambiguous_settings(
        command_line, FLAGS, original_checkpoint.settings(checkpoint)
    )
    config = run_config.read_flags(command_line, FLAGS, fitting)
    import_original_lib.import_original(model, config, directory, checkpoint)


MODES = {
    "train": Mode(train, uses=lambda field: True),
    "preview": Mode(preview),
    "incept": Mode(incept),
    "generate": Mode(generate, uses=lambda field: field == "seed"),
    "play": Mode(play),
    "export": Mode(export),
    "infer": Mode(infer),
    "release": Mode(release),
    # The authors' networks take no labels.
    "import": Mode(import_original, uses=lambda field: field != "labels"),
}
SHIPPED = "shipped"  # value of --pretrained without a value
EXIT_CODES = {  # by error: a scheduler may start some commands again
    checkpoints.CorruptError: 2,
    FloatingPointError: 3,
    distributed.WorkerLostError: 69,
    train_dir.LockedError: 75,
    Exception: 1,
}


def _released(command_line: CommandLine) -> pathlib.Path | None:
    """Returns the folder that --pretrained names, if it is given.

    Raises:
      FileNotFoundError: There is no such folder.
    """
    name = FLAGS.pretrained
    if not name or name == SHIPPED:
        return command_line.model.pretrained if name else None
    if not pathlib.Path(name).is_dir():
        raise FileNotFoundError(
            f"--pretrained is {name!r}: expected the folder of a release or "
            "run, or no value for the weights that come with this program"
        )
    return pathlib.Path(name)


def main(command_line: CommandLine, argv: list[str]) -> None:
    """Runs one mode; an error is reported in one line."""
    mode = argv[1] if argv[1:] else ""
    try:
        with console.exit_codes(
            command_line.program,
            (tf.errors.OpError, MemoryError),
            codes=EXIT_CODES,
            describe=functools.partial(errors.in_one_line, command_line, mode),
        ):
            _run_mode(command_line, mode, argv)
    except SystemExit as end:
        distributed.end_process(end.code if isinstance(end.code, int) else 1)
        raise
    distributed.end_process(0)


def _run_mode(command_line: CommandLine, mode: str, argv: list[str]) -> None:
    """Runs one mode.

    Raises:
      ValueError: The command line is invalid.
    """
    if mode not in command_line.modes or len(argv) > 3:
        got = " ".join(argv[1:4]) or "nothing"
        if argv[4:]:
            got += (
                f" and {len(argv) - 4} more arguments; --data_dir takes one "
                "folder, not what *.wav stands for"
            )
        raise ValueError(
            f"expected MODE [TRAIN_DIR], MODE one of "
            f"{', '.join(command_line.modes)}; got {got} (--help lists flags)"
        )
    refuse_unused_flags(command_line, FLAGS, mode)
    path = argv[2] if argv[2:] else "./train"
    released = _released(command_line)
    if released and mode != "train":
        if argv[2:]:
            raise ValueError(
                f"{path} and --pretrained: expected one of the two"
            )
        path = str(released)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    settings.check_value("step", FLAGS.step, low=0)
    directory = train_dir.TrainDir(path, FLAGS.step)
    command_line.modes[mode].run(command_line, directory)


def refuse_unused_flags(
    command_line: CommandLine, values: flags.FlagValues, mode: str
) -> None:
    """Raises a ValueError if a flag is given that a mode does not use."""
    for option in command_line.options:
        if values[option.name].present and mode not in option.modes:
            raise ValueError(
                f"--{option.name} is a flag of {', '.join(option.modes)}: "
                f"{mode} does not use it"
            )


def for_parser(argv: list[str]) -> list[str]:
    """Rewrites a command line in the forms that absl's parser understands."""
    argv = _join_pair(flagfiles.expand(argv), "--interpolate")
    return _add_default(argv, "--pretrained", SHIPPED)


def _join_pair(argv: list[str], flag: str) -> list[str]:
    """Turns `--flag A B` into `--flag=A,B`, as the parser expects it."""
    at = argv.index(flag) if flag in argv else len(argv)
    pair = argv[at + 1 : at + 3]
    if len(pair) < 2 or not pair[1].isdecimal():
        return argv
    return [*argv[:at], f"{flag}={','.join(pair)}", *argv[at + 3 :]]


def _add_default(argv: list[str], flag: str, value: str) -> list[str]:
    """Gives a flag a value where it is the last word or before a flag."""
    return [
        f"{flag}={value}"
        if word == flag and following.startswith("-")
        else word
        for word, following in zip(argv, [*argv[1:], "-"], strict=True)
    ]


def describe(command_line: CommandLine, summary: str) -> str:
    """Returns the text that --help prints before the flags.

    Args:
      command_line: The command line.
      summary: Docstring of the program.
    """
    summary, _, examples = summary.partition("\n")
    modes = "\n".join(
        f"  {name:<9} {str(mode.run.__doc__).splitlines()[0]}"
        for name, mode in command_line.modes.items()
    )
    return f"""{summary}

Usage: python {command_line.program} MODE [TRAIN_DIR] [FLAGS]

TRAIN_DIR is the folder of a run, ./train if left out. MODE is one of:

{modes}

Some flags belong to certain modes; their descriptions begin with the names of
these modes. All other flags are settings of the run that `train` or `import`
starts; they are stored in TRAIN_DIR, where the other modes find them.
{examples}"""


def run(command_line: CommandLine) -> None:
    """Runs the command line of a model."""
    define(command_line)
    program = sys.modules["__main__"]  # whose docstring --help prints
    program.__doc__ = describe(command_line, program.__doc__ or "")

    def parse(argv: list[str]) -> list[str]:
        program, describe = command_line.program, errors.in_parsing
        with console.exit_codes(program, (flags.Error,), describe=describe):
            return FLAGS(for_parser(argv))

    # Log lines have no prefix, and TensorFlow's, which logs through absl too,
    # are dropped. --verbosity=1 adds the traceback of an error.
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().setFormatter(None)
    logging.get_absl_handler().addFilter(
        lambda record: HERE in pathlib.Path(record.pathname).parents[:2]
    )
    app.run(functools.partial(main, command_line), flags_parser=parse)
