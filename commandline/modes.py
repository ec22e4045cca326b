"""Calls each mode with what the flags say."""

import pathlib
from typing import Any

from absl import flags, logging

from audio import write
from commandline import flags as flags_lib
from commandline import run_config
from modes import export as export_lib
from modes import generate as generate_lib
from modes import import_original as import_original_lib
from modes import incept as incept_lib
from modes import original_checkpoint
from modes import play as play_lib
from modes import plot as plot_lib
from modes import preview as preview_lib
from modes import release as release_lib
from modes import request as request_lib
from modes import train as train_lib
from networks import audio_model as audio_model_lib
from system import device, settings
from training import config as config_lib
from training import train_dir

FLAGS = flags.FLAGS
SHIPPED = "shipped"  # value of --pretrained without a value

CommandLine = flags_lib.CommandLine
Mode = flags_lib.Mode


def released(command_line: CommandLine) -> pathlib.Path | None:
    """Returns the folder that --pretrained names, if it is given.

    Raises:
      FileNotFoundError: There is no such folder.
    """
    name = FLAGS.pretrained
    if not name:
        return None
    shipped = command_line.model.pretrained
    if name == SHIPPED:
        if not shipped:
            raise FileNotFoundError(
                "--pretrained: no weights come with this model; name the "
                "folder of a release or run, --pretrained=FOLDER"
            )
        return shipped
    for folder in (pathlib.Path(name), shipped and shipped / name):
        if folder and folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"--pretrained is {name!r}: expected the folder of a release or "
        "run, or no value for the weights that come with this program"
    )


def _open(
    command_line: CommandLine,
    directory: train_dir.TrainDir,
    names_device: bool = True,
) -> tuple[
    audio_model_lib.AudioModel, train_dir.TrainDir, config_lib.RunConfig
]:
    """Builds the model of a train dir; returns it with train dir and config.

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
    weights = released(command_line)
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
    elif weights:
        shipped = train_dir.TrainDir(weights).read_config(model.config)
        # The names of the new run's files determine its words.
        saved = shipped.with_words(()).replace(labels="")
        fixed = ("model",)
    train_lib.train(
        model,
        run_config.read_flags(command_line, FLAGS, saved, fixed),
        directory,
        released=weights,
        num_gpus=FLAGS.num_gpus,
        force_bf16=FLAGS.force_bf16,
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
    home = pathlib.Path() if released(command_line) else directory.path
    return pathlib.Path(FLAGS.out_dir or home / name)


def plot(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Draws scores and losses of a run to TRAIN_DIR/curves.png."""
    del command_line
    plot_lib.plot(directory)


def generate(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Writes clips, or phrases, as audio files."""
    ends = FLAGS.interpolate
    if not all(seed.isdecimal() for seed in ends):
        raise settings.SettingError("interpolate", ",".join(ends), "two seeds")
    say = request_lib.split_words(FLAGS.say)
    if FLAGS.say and not say:
        raise settings.SettingError("say", FLAGS.say, "words")
    classifier_dir = _path(FLAGS.incept_classifier)
    if not classifier_dir and (say or FLAGS.label):
        classifier_dir = incept_lib.default_classifier(
            directory, say or [FLAGS.label.lower()]
        )
    num_clips, best = FLAGS.n, FLAGS.best
    if FLAGS.kit and not FLAGS["n"].present:
        num_clips = request_lib.KIT_CHOICE * FLAGS.kit
    if say and not (FLAGS["n"].present or FLAGS["best"].present):
        num_clips, best = request_lib.VOICES if classifier_dir else (1, 0)
    request = request_lib.Request(
        num_clips=num_clips,
        seed=FLAGS.seed,
        ends=tuple(map(int, ends)),
        steps=FLAGS.steps,
        interpolation=FLAGS.interpolation,
        truncation=FLAGS.truncation,
        label=FLAGS.label,
        best=best,
        kit=FLAGS.kit,
        concat=FLAGS.concat,
        words=tuple(word.strip().lower() for word in FLAGS.word),
        say=say,
    )
    file_format = FLAGS.format or write.FORMATS[0]
    if FLAGS.loudness and FLAGS["normalize"].present:
        raise ValueError("--loudness and --normalize: expected one of the two")
    writing = write.Writing(
        file_format,
        FLAGS.rate,
        "loudness" if FLAGS.loudness else FLAGS.normalize,
        FLAGS.subtype,
        FLAGS.loudness or write.LOUDNESS,
        FLAGS.trim,
        FLAGS.fade,
    )
    generate_lib.generate(
        *_open(command_line, directory),
        request,
        writing,
        model=command_line.model.name,
        out_dir=_out_dir(command_line, directory, "generated"),
        classifier_dir=classifier_dir,
    )


def play(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Serves a web page of pads that play clips, to this machine only."""
    play_lib.play(
        *_open(command_line, directory),
        model=command_line.model.name,
        port=FLAGS.port,
        proxy_url=FLAGS.proxy_url,
    )


def export(
    command_line: CommandLine, directory: train_dir.TrainDir, form: str = ""
) -> None:
    """Writes the generator for other programs, or for a model hub."""
    form = form or FLAGS.format or next(iter(export_lib.FORMATS))
    export_lib.check(form)
    export_lib.export(
        *_open(command_line, directory, names_device=False),
        model=command_line.model,
        form=form,
        out_dir=_out_dir(command_line, directory, "export"),
    )


def infer(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Writes a SavedModel, like `infer` in the original code."""
    export(command_line, directory, "savedmodel")


def release(command_line: CommandLine, directory: train_dir.TrainDir) -> None:
    """Writes float16 weights, config and samples of the run, for sharing."""
    release_lib.release(
        *_open(command_line, directory, names_device=False),
        model=command_line.model,
        num_clips=FLAGS.preview_n,
        out_dir=_out_dir(command_line, directory, "release"),
    )


def import_original(
    command_line: CommandLine, directory: train_dir.TrainDir
) -> None:
    """Converts a checkpoint of the original code into TRAIN_DIR.

    Raises:
      ValueError: The checkpoint is of other networks, contradicts a flag, or
        leaves a setting open that no flag gives; or TRAIN_DIR holds a run.
    """
    model: Any = command_line.model  # a GANModel
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
    "plot": Mode(plot),
    "generate": Mode(generate, uses=lambda field: field == "seed"),
    "play": Mode(play),
    "export": Mode(export),
    "infer": Mode(infer),
    "release": Mode(release),
    # The original networks take no labels.
    "import": Mode(import_original, uses=lambda field: field != "labels"),
}
