"""Answers --help, and modes that do not exist, before TensorFlow is loaded.

TensorFlow takes seconds to import. So what flags and modes mean is read from
usage.json, which `python docs/write_flags.py` writes from their declarations.
This module needs nothing but Python's standard library.
"""

import json
import pathlib
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from system import platforms

TEXTS = pathlib.Path(__file__).with_name("usage.json")
HELP = {"--help", "-help", "-h", "-?", "--helpfull", "--helpshort"}
WIDTH = 80


def check_mode(modes: Iterable[str], argv: Sequence[str]) -> None:
    """Raises a ValueError if a command line has no mode, or too many words.

    Args:
      modes: Names of the modes.
      argv: Words of the command line without its flags, the program first.
    """
    mode = argv[1] if argv[1:] else ""
    if mode in modes and len(argv) <= 3:
        return
    got = " ".join(argv[1:4]) or "nothing"
    if argv[4:]:
        got += (
            f" and {len(argv) - 4} more arguments; --data_dir takes one "
            "folder, not what *.wav stands for"
        )
    raise ValueError(
        f"expected MODE [TRAIN_DIR], MODE one of {', '.join(modes)}; got {got} "
        "(--help lists flags)"
    )


def answer(program: str, summary: str, argv: list[str]) -> None:
    """Ends the program if it is asked for help or a wrong mode, or cannot run.

    Args:
      program: Name of the program's file.
      summary: Docstring of the program: what it does, and examples.
      argv: Command line, the program first.
    """
    platforms.check(program)
    texts = json.loads(TEXTS.read_text(encoding="utf-8"))[program]
    words = argv[1:2] if not argv[1:2] or argv[1][:1] != "-" else []
    if HELP.intersection(argv):
        print(describe(program, summary, texts, *words))
        sys.exit(0)
    if words or not argv[1:]:
        try:
            check_mode(texts["modes"], [program, *words])
        except ValueError as error:
            print(f"{program}: {error}", file=sys.stderr)
            sys.exit(1)


def answer_with_model(program: str, summary: str, argv: list[str]) -> None:
    """Does what `answer` does, for a program whose first argument is a model.

    Args:
      program: Name of the program's file.
      summary: Docstring of the program: what it does, and examples.
      argv: Command line, the program first.
    """
    texts = json.loads(TEXTS.read_text(encoding="utf-8"))
    models = [
        name.split()[1] for name in texts if name.startswith(program + " ")
    ]
    model = argv[1] if argv[1:] else ""
    if model in models:
        answer(f"{program} {model}", summary, [argv[0], *argv[2:]])
    elif HELP.intersection(argv):
        first, _, examples = summary.partition("\n")
        print(
            f"{first}\n\nUsage: python {program} MODEL MODE [TRAIN_DIR] "
            f"[FLAGS]\nMODEL is one of {', '.join(models)}; MODEL --help lists "
            f"its modes and flags.\n{examples.rstrip()}"
        )
        sys.exit(0)
    else:
        print(
            f"{program}: expected MODEL MODE [TRAIN_DIR], MODEL one of "
            f"{', '.join(models)}; got {model or 'nothing'}",
            file=sys.stderr,
        )
        sys.exit(1)


def describe(
    program: str, summary: str, texts: dict[str, Any], mode: str = ""
) -> str:
    """Returns the text that --help prints.

    Args:
      program: Name of the program's file.
      summary: Docstring of the program: what it does, and examples.
      texts: Descriptions of its modes and flags, as in usage.json.
      mode: Mode to whose flags the text is limited; "": all modes.
    """
    first, _, examples = summary.partition("\n")
    modes = texts["modes"]
    if mode in modes:
        head = [
            modes[mode],
            f"Usage: python {program} {mode} [TRAIN_DIR] [FLAGS]",
            "TRAIN_DIR is the folder of a run, ./train if left out.",
        ]
    else:
        lines = [f"  {name:<9} {text}" for name, text in modes.items()]
        head = [
            first,
            f"Usage: python {program} MODE [TRAIN_DIR] [FLAGS]",
            "TRAIN_DIR is the folder of a run, ./train if left out. MODE is "
            "one of:",
            "\n".join(lines),
            f"`python {program} MODE --help` lists the flags of one mode.\n"
            "--flagfile=FILE reads flags from a file.",
            examples.strip("\n"),
        ]
    for title, flags in texts["flags"].items():
        found = [
            _describe_flag(flag, with_modes=not mode)
            for flag in flags
            if mode not in modes or mode in flag["modes"]
        ]
        if found:
            head.append("\n".join([f"{title}:", *found]))
    return "\n\n".join(head)


def _describe_flag(flag: dict[str, Any], with_modes: bool) -> str:
    """Returns the lines of a flag."""
    default = flag["default"]
    no = "[no]" if isinstance(default, bool) else ""
    line = f"  --{no}{flag['name']}"
    if with_modes:
        line += f"  [{', '.join(flag['modes'])}]"
    text = flag["help"]
    if default not in ("", None, [], False):
        text += f" Default: {default}."
    indent = " " * 6
    return "\n".join(
        [
            line,
            *textwrap.wrap(
                text, WIDTH, initial_indent=indent, subsequent_indent=indent
            ),
        ]
    )
