"""Tests that the README and the pages of docs/ agree with the code."""

import importlib
import pathlib
import re
import runpy
import shlex

import pytest
from absl import flags

import train_alternative
import train_specgan
import train_wavegan
from commandline import flags as flags_lib
from commandline import program as program_lib
from commandline import usage
from digits import synthesizer

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
CARDS = sorted((ROOT / "pretrained").rglob("README.md"))
PAGES = [README, *DOCS, *CARDS]
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in PAGES}
LAYOUT = TEXTS["docs/code.md"].split("```\n")[1]
FOLDERS = (
    "commandline",
    "modes",
    "training",
    "alternatives",
    "networks",
    "audio",
    "digits",
    "system",
)


def flags_of(command_line: flags_lib.CommandLine) -> flags.FlagValues:
    """All flags of a model's command line."""
    values = flags.FlagValues()
    program_lib.define(command_line, values)
    return values


WAVEGAN = flags_of(train_wavegan.COMMAND_LINE)
SPECGAN = flags_of(train_specgan.COMMAND_LINE)
ALTERNATIVES = train_alternative.COMMAND_LINES


def python_commands() -> list[tuple[str, str]]:
    """Every Python command of the pages, each with the name of its page."""
    found = []
    for page, text in TEXTS.items():
        text = text.replace("\\\n", " ")
        found += [
            (page, line)
            for line in re.findall(
                r"^(python (?:-m )?[a-z].*)$", text, re.MULTILINE
            )
        ]
        # A code span may be broken over two lines.
        found += [
            (page, " ".join(span.split()))
            for span in re.findall(r"`(python (?:-m )?[a-z][^`]*)`", text)
        ]
    return found


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = (re.sub(r"[^\w\- ]", "", h.lower()) for h in headings)
    return {slug.replace(" ", "-") for slug in slugs}


def test_the_readme_is_short() -> None:
    lines = TEXTS["README.md"].splitlines()
    assert len(lines) <= 160
    assert not [line for line in lines if len(line) > 100]


def test_the_readme_lists_every_page() -> None:
    linked = re.findall(r"^- \[\w+\]\((.*?)\)", TEXTS["README.md"], re.M)
    assert linked == [str(path.relative_to(ROOT)) for path in DOCS]


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\((?!https?:)(.*?)\)", TEXTS[page]):
        name, _, anchor = link.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), link
        if anchor:
            assert anchor in anchors(path.read_text()), link


def test_flags_page_and_help_are_up_to_date() -> None:
    written = runpy.run_path(str(ROOT / "docs/write_flags.py"))
    remedy = "run python docs/write_flags.py"
    assert written["page"]() == TEXTS["docs/flags.md"], remedy
    assert written["texts"]() == usage.TEXTS.read_text(), remedy


def test_flags_exist() -> None:
    known = {*WAVEGAN, *SPECGAN, "flagfile", "help", "logdir"}
    known.update(*map(flags_of, ALTERNATIVES.values()))
    for script in [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("eval/*.py")]:
        known.update(re.findall(r'"--(\w+)"', script.read_text()))
    for page in TEXTS.keys() - {"docs/distributed.md"}:  # it has Slurm's
        for name in re.findall(r"--(\w+)", TEXTS[page]):
            assert name in known, (page, name)


@pytest.mark.parametrize(
    ("page", "command"), [pytest.param(*c, id=c[1]) for c in python_commands()]
)
def test_commands_parse(
    page: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # where flag files are
    program, *rest = shlex.split(command, comments=True)[1:]
    if program == "-m":
        parser = importlib.import_module(rest[0]).parser()
        if any(word.startswith("--") for word in rest):  # not a mention
            parser.parse_args(rest[1:])
    elif program.startswith("train_"):
        if program == "train_alternative.py":
            command_line = ALTERNATIVES[rest.pop(0)]
        else:
            command_line = importlib.import_module(program[:-3]).COMMAND_LINE
        arguments = program_lib.for_parser([program, *rest])
        values = flags_of(command_line)
        mode, *train_dir = values(arguments)[1:]
        if mode != "MODE":
            assert mode in command_line.modes
            program_lib.refuse_unused_flags(command_line, values, mode)
        assert len(train_dir) <= 1
    else:
        source = (ROOT / program).read_text()
        for name in re.findall(r"--(\w+)", command):
            assert f'"{name}"' in source or f'"--{name}"' in source, name


def test_every_file_is_in_the_layout_and_the_other_way_round() -> None:
    listed: set[str] = set()
    folder = ""
    for line in LAYOUT.splitlines():
        if match := re.match(r"(\w+/) ", line):
            folder = match[1]
            assert (ROOT / folder).is_dir(), folder
        elif match := re.match(r"(  )?(\w+\.py) ", line):
            listed.add((folder if match[1] else "") + match[2])
    there = {str(path.relative_to(ROOT)) for path in ROOT.glob("*.py")}
    for name in FOLDERS:
        there.update(
            f"{name}/{path.name}"
            for path in (ROOT / name).glob("*.py")
            if path.name != "__init__.py"
        )
    assert listed == there


@pytest.mark.parametrize("page", TEXTS)
def test_files_that_pages_name_exist(page: str) -> None:
    spans = re.findall(r"`([\w/]+/[\w.]+\.(?:py|cfg))`", TEXTS[page])
    spans += re.findall(r"`(\w+\.py)`", TEXTS[page])
    for name in spans:
        assert (ROOT / name).exists(), name


@pytest.mark.slow
def test_the_python_example_runs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesizer.synthesize(tmp_path / "sc09_synthetic", 120)
    monkeypatch.chdir(tmp_path)
    blocks = [
        (page, block)
        for page, text in TEXTS.items()
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ]
    assert blocks
    for page, block in blocks:
        exec(compile(block, page, "exec"), {})
