"""Declares the flags of a model's command line, and which modes use them."""

import dataclasses
from collections.abc import Callable
from typing import Any

from audio import write
from modes import export, latents, request
from system import settings
from training import config as config_lib
from training import model as model_lib
from training import train_dir


@dataclasses.dataclass(frozen=True)
class Option:
    """A flag, with the modes that use it.

    Attributes:
      name: Its name.
      default: Its default, whose type is that of the flag.
      help: What it means, in sentences.
      modes: Modes that use it; all others refuse it.
    """

    name: str
    default: Any
    help: str
    modes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ConfigFlag:
    """The flag of a setting of the config.

    Attributes:
      section: Section of the config.
      field: Name of the setting.
      default: Its default.
      setting: Its description; its flags' names are complete.
    """

    section: str
    field: str
    default: Any
    setting: settings.Setting

    @property
    def name(self) -> str:
        """Name of the flag that holds the value."""
        return self.setting.flag

    def options(self, modes: tuple[str, ...]) -> list[Option]:
        """Returns the flag, and its switch if it has one, for some modes."""
        text, choices = self.setting.help, self.setting.choices
        if choices and isinstance(choices[0], str) and "" not in choices:
            text += f" One of {', '.join(choices)}."
        switch = self.setting.switch
        if not switch:
            return [Option(self.name, self.default, text, modes)]
        return [
            Option(switch.flag, False, switch.help, modes),
            Option(self.name, switch.on, text, modes),
        ]

    def read(self, values: Any) -> tuple[bool, Any]:
        """Reads the command line.

        Args:
          values: Its parsed flags, an absl `FlagValues`.

        Returns:
          Whether the setting is given, and its value.
        """
        flag = values[self.name]
        if not self.setting.switch:
            return bool(flag.present), flag.value
        switch = values[self.setting.switch.flag]
        return bool(switch.present), flag.value if switch.value else 0


OPTIONS = (
    Option(
        "pretrained",
        "",
        "Use the weights that come with this program (--pretrained, or "
        "--pretrained=NAME for a folder beside them, such as drums) or those "
        "of a release or run (--pretrained=FOLDER). train starts a new run "
        "from them, with their settings where no flags are given, but "
        "with words only if --data_labels=words is given.",
        ("train", "generate", "play", "export", "infer"),
    ),
    Option(
        "num_gpus",
        -1,
        "Number of GPUs of this machine to use; -1: all; 0: none.",
        ("train",),
    ),
    Option(
        "preview_n",
        32,
        "Number of clips. If the model knows words, each word has a row of "
        "clips, as many as fit into that number.",
        ("preview", "release"),
    ),
    Option("incept_n", 5000, "Number of clips to score.", ("incept",)),
    Option(
        "incept_k", 10, "Number of splits of the inception score.", ("incept",)
    ),
    Option(
        "incept_classifier",
        None,
        "Folder of a classifier that eval.train_classifier or "
        "eval.import_classifier made. If left out, "
        "it is the one in pretrained/classifier, which knows the ten digits. "
        "For a run with other words, incept trains one on the training files, "
        "and generate uses that one.",
        ("incept", "generate"),
    ),
    Option(
        "checkpoint",
        None,
        "Checkpoint of the original code, PATH/model.ckpt-STEP.",
        ("import",),
    ),
    Option(
        "force_bf16",
        False,
        "Allow --precision=bf16 on a processor without instructions for "
        "bfloat16, which is several times slower with it.",
        ("train",),
    ),
    Option(
        "once",
        False,
        "Stop after the newest checkpoint, instead of waiting for others.",
        ("preview", "incept"),
    ),
    Option(
        "step",
        0,
        "Training step of the checkpoint to use, of those in "
        "TRAIN_DIR/checkpoints and TRAIN_DIR/milestones; 0: the newest.",
        ("preview", "generate", "play", "export", "infer", "release"),
    ),
    Option(
        "n",
        20,
        "Number of clips; with --say, number of voices, each a file.",
        ("generate",),
    ),
    Option(
        "word",
        [],
        "Word that the clips say. Several words, separated by commas, take "
        "turns; if left out, all words that the model knows do.",
        ("generate",),
    ),
    Option(
        "say",
        "",
        "Phrase, such as 'three one four', to write to one file for each "
        "voice; a voice is one latent vector. Words are separated by spaces or "
        f"commas. Without --n and --best, the clearest of {request.VOICES[0]} "
        "voices is written.",
        ("generate",),
    ),
    Option(
        "interpolate",
        [],
        "Two seeds, as A B or A,B: the clips interpolate from A to B. They say "
        "one word, that of --word or else that of seed A.",
        ("generate",),
    ),
    Option(
        "steps",
        9,
        "Number of clips from seed A to seed B, including both.",
        ("generate",),
    ),
    Option(
        "interpolation",
        "slerp",
        "Path from seed A to seed B: on an arc around the origin (slerp), or "
        f"straight. One of {', '.join(latents.INTERPOLATIONS)}.",
        ("generate",),
    ),
    Option(
        "truncation",
        1.0,
        "Factor of the latent vectors, in (0, 1]; the smaller it is, the more "
        "alike the clips are.",
        ("generate",),
    ),
    Option(
        "label",
        "",
        "Word that the classifier should recognise in the clips that --best "
        "keeps.",
        ("generate",),
    ),
    Option(
        "best",
        0,
        "Number of clips to keep: those in which the classifier recognises "
        "--label, or all words of --say, with the highest probability; 0: all "
        "clips.",
        ("generate",),
    ),
    Option("concat", False, "Write all clips to one file.", ("generate",)),
    Option(
        "kit",
        0,
        "Number of clips to keep, as different as possible, with a kit.sfz "
        "that music samplers open, and a kit.json. Chosen from --n clips, "
        f"{request.KIT_CHOICE} times as many if left out.",
        ("generate",),
    ),
    Option(
        "format",
        "",
        f"Format of the files, for generate one of {', '.join(write.FORMATS)}, "
        f"for export one of {', '.join(export.FORMATS)}; the first one if left "
        "out.",
        ("generate", "export"),
    ),
    Option(
        "rate",
        0,
        "Sampling rate of the files in Hz; 0: that of the model.",
        ("generate",),
    ),
    Option(
        "normalize",
        "none",
        "Normalisation of each clip: none, to a peak of 1, or to a loudness of "
        f"-23 LUFS. One of {', '.join(write.LEVELS)}.",
        ("generate",),
    ),
    Option(
        "loudness",
        0.0,
        "Loudness of each clip in LUFS, such as -14, or as near to it as a "
        "peak of 1 allows, instead of --normalize; 0: as --normalize says.",
        ("generate",),
    ),
    Option(
        "subtype",
        write.SUBTYPES[write.FORMATS[0]][0],
        "Type of the samples in the files: PCM_16, PCM_24, or, for wav, FLOAT.",
        ("generate",),
    ),
    Option(
        "trim",
        0.0,
        "Level in dB, such as -40, relative to the loudest moment of a clip, "
        "below which its start and end are cut off as silent; 0: nothing is "
        "cut off.",
        ("generate",),
    ),
    Option(
        "fade",
        0.0,
        "Length in milliseconds of a fade-out at the end of each clip.",
        ("generate",),
    ),
    Option(
        "out_dir",
        None,
        "Folder for the files. If left out, it is TRAIN_DIR/generated, "
        "TRAIN_DIR/export or TRAIN_DIR/release; with --pretrained, ./generated "
        "or ./export.",
        ("generate", "export", "infer", "release"),
    ),
    Option(
        "port",
        0,
        "Port of this machine at which the page is served; 0: any free port.",
        ("play",),
    ),
    Option(
        "proxy_url",
        "",
        "Address at which a proxy or an ssh tunnel shows the page, such as "
        "http://localhost:9000/. Without it, only the address of this machine "
        "is answered.",
        ("play",),
    ),
)


_IMPORT = (
    "import their classifier, python -m eval.import_classifier "
    "PATH/best_acc-103005 --out DIR, then give --incept_classifier=DIR"
)
# Flags of the original code that do not exist here, and what to use instead.
REPLACED = {"incept_metagraph_fp": _IMPORT, "incept_ckpt_fp": _IMPORT}


@dataclasses.dataclass(frozen=True)
class Mode:
    """A mode of the command line.

    Attributes:
      run: Runs it; the first line of its docstring is the mode's help.
      uses: Tells of a setting of the config whether the mode uses its flag.
    """

    run: Callable[["CommandLine", train_dir.TrainDir], None]
    uses: Callable[[str], bool] = lambda field: False


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """The command line of a model.

    Attributes:
      model: The model.
      modes: Its modes by name.
      own_options: Flags of this model alone that are no settings of the config.
      without: Settings of the config that have no flag for this model.
    """

    model: model_lib.Model
    modes: dict[str, Mode]
    own_options: tuple[Option, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """The program, as it is called on a command line."""
        return self.model.program

    @property
    def config_flags(self) -> dict[str, ConfigFlag]:
        """The flags of the config's settings, by setting."""
        found = {}
        sections = config_lib.sections_of(self.model.config)
        for section, kind in sections.items():
            for field in dataclasses.fields(kind):
                setting = self._complete(settings.of(field))
                if setting.flag and field.name not in self.without:
                    found[field.name] = ConfigFlag(
                        section, field.name, field.default, setting
                    )
        return found

    def _complete(self, setting: settings.Setting) -> settings.Setting:
        """Puts the model's name into the names of flags."""
        name = self.model.name
        switch = setting.switch
        if switch:
            switch = dataclasses.replace(
                switch, flag=switch.flag.replace("*", name)
            )
        flag = setting.flag.replace("*", name)
        return dataclasses.replace(setting, flag=flag, switch=switch)

    @property
    def config_options(self) -> list[Option]:
        """The flags of the config's settings, with the modes that use them."""
        found = []
        for field, flag in self.config_flags.items():
            users = [n for n, mode in self.modes.items() if mode.uses(field)]
            found += flag.options(tuple(users))
        return found

    @property
    def options(self) -> list[Option]:
        """All flags."""
        return [*self.config_options, *OPTIONS, *self.own_options]

    def name_of(self, field: str, mode: str) -> str:
        """Returns how a user of a mode knows a setting: as `--flag`, if any.

        Args:
          field: Name of an option, or of a setting of the config.
          mode: The mode.
        """
        used = {option.name for option in self.options if mode in option.modes}
        flag = self.config_flags.get(field)
        for name in (field, flag.name if flag else field):
            if name in used:
                return f"--{name}"
        return field
