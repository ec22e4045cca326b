"""Writes docs/flags.md and the texts of --help from the declarations of flags.

python docs/write_flags.py
"""

import dataclasses
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import train_alternative
import train_specgan
import train_wavegan
from commandline import flags, usage

PAGE = ROOT / "docs/flags.md"
TITLES = {"data": "Data", "model": "Networks", "train": "Training"}


def row(option: flags.Option, with_modes: bool) -> str:
    """Returns the row of a flag."""
    default = "" if option.default in ("", None, []) else option.default
    cells = [f"`--{option.name}`", str(default), option.help]
    if with_modes:
        cells.insert(2, ", ".join(option.modes))
    return f"| {' | '.join(cells)} |"


def table(options: list[flags.Option], with_modes: bool = False) -> str:
    """Returns a table of flags."""
    head = ["flag", "default", "meaning"]
    if with_modes:
        head.insert(2, "modes")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(row(option, with_modes) for option in options)])


def renamed(option: flags.Option, model: str) -> flags.Option:
    """Returns a flag of WaveGAN as another model would have it."""
    name = option.name.replace("wavegan_", f"{model}_")
    return dataclasses.replace(option, name=name, modes=())


def differing(command_line: flags.CommandLine) -> list[flags.Option]:
    """Returns the flags of a model that are not like those of WaveGAN."""
    model = command_line.model.name
    shared = [
        renamed(option, model) for option in train_wavegan.COMMAND_LINE.options
    ]
    return [o for o in command_line.options if renamed(o, model) not in shared]


def lacking(command_line: flags.CommandLine) -> str:
    """Returns the names of WaveGAN's flags that a model does not have."""
    model = command_line.model.name
    names = {option.name for option in command_line.options}
    return ", ".join(
        f"`--{option.name}`"
        for option in train_wavegan.COMMAND_LINE.options
        if renamed(option, model).name not in names
    )


def sections(command_line: flags.CommandLine) -> dict[str, list[flags.Option]]:
    """Returns the flags of a run's settings, by the title of their section."""
    found: dict[str, list[flags.Option]] = {section: [] for section in TITLES}
    by_name = {option.name: option for option in command_line.config_options}
    for flag in command_line.config_flags.values():
        names = [option.name for option in flag.options(())]
        found[flag.section] += [by_name[name] for name in names]
    return {TITLES[section]: options for section, options in found.items()}


def others(command_line: flags.CommandLine) -> list[flags.Option]:
    """Returns the flags that are no settings of a run."""
    of_config = command_line.config_options
    return [o for o in command_line.options if o not in of_config]


def texts() -> str:
    """Returns the contents of commandline/usage.json, which --help prints."""
    found = {}
    for command_line in (
        train_wavegan.COMMAND_LINE,
        train_specgan.COMMAND_LINE,
        *train_alternative.COMMAND_LINES.values(),
    ):
        groups = {
            f"{title} (settings of a run)": options
            for title, options in sections(command_line).items()
        }
        groups["Flags of one command, not stored in TRAIN_DIR"] = others(
            command_line
        )
        found[command_line.program] = {
            "modes": {
                name: str(mode.run.__doc__).splitlines()[0]
                for name, mode in command_line.modes.items()
            },
            "flags": {
                title: [dataclasses.asdict(option) for option in options]
                for title, options in groups.items()
            },
        }
    return json.dumps(found, indent=1) + "\n"


def page() -> str:
    """Returns the contents of docs/flags.md."""
    command_line = train_wavegan.COMMAND_LINE
    settings = "\n\n".join(
        f"### {title}\n\n{table(options)}"
        for title, options in sections(command_line).items()
    )
    own = others(command_line)
    specgan = train_specgan.COMMAND_LINE
    alternatives = train_alternative.COMMAND_LINES
    of_alternatives = "\n\n".join(
        f"### {command_line.model.title}: `{command_line.program}`\n\n"
        f"{table(differing(command_line), with_modes=True)}"
        for command_line in alternatives.values()
    )
    return f"""# Flags

A command is `train_wavegan.py MODE [TRAIN_DIR] [FLAGS]`; TRAIN_DIR is `./train`
if left out. `--flagfile=FILE` reads flags from a file. The flags of the
original code have kept their names. A mode refuses flags that it does not use.
`python docs/write_flags.py` writes this page and the texts of `--help`.

## Settings of a run

`train` takes these flags, and `import` all of them but `--data_labels`. They
are stored in TRAIN_DIR, where the other modes find them. `generate` takes
`--seed`.

{settings}

## Flags of certain modes

{table(own, with_modes=True)}

## SpecGAN

`train_specgan.py` has the same flags, with `specgan_` in place of `wavegan_`,
except for {lacking(specgan)}.

Its mode `moments` takes the flags of the data that determine the slices. These
rows differ:

{table(differing(specgan), with_modes=True)}

## Alternatives

A command is `train_alternative.py MODEL MODE [TRAIN_DIR] [FLAGS]`, MODEL one of
{", ".join(alternatives)}. A model has the flags of `train_wavegan.py`
with its name in place of `wavegan`, except for those of losses and networks
that it does not have; `train_alternative.py MODEL --help` lists all of them.
There is no mode `import`. These rows differ:

{of_alternatives}
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    usage.TEXTS.write_text(texts(), encoding="utf-8")
