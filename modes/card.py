"""Makes the card of released weights: README.md, as model hubs show it."""

import pathlib
import re
from collections.abc import Mapping

from system import atomic
from training import config as config_lib
from training import model as model_lib

FILE = "README.md"


def write(
    folder: pathlib.Path,
    config: config_lib.RunConfig,
    model: model_lib.Model,
    step: int,
    known: Mapping[str, str],
    usage: str,
) -> None:
    """Writes a card, unless there is one: its author may have added to it.

    Args:
      folder: Folder of the card.
      config: Config of the run.
      model: The model.
      step: Number of training steps.
      known: What is known of data and licence, as `read` returns it.
      usage: How to use the files, in Markdown.

    Source: huggingface.co/docs/hub/model-cards for the header.
    """
    if (folder / FILE).exists():
        return
    networks, rate = config.model, config.data.sample_rate
    seconds = networks.slice_len / rate
    rows = {
        "clips": f"{networks.slice_len} samples at {rate} Hz: {seconds:.2f} s",
        "words": ", ".join(config.data.words) or "none: clips are not labelled",
        "networks": f"{networks.size}, {networks.channels} channel(s)",
        "training": f"{step:,} updates: {config.train.method}",
        "data": known.get("data", "(name the recordings here)"),
        "licence": known.get(
            "licence",
            "(name it here, and in the header above: that of the recordings "
            "may bind these weights)",
        ),
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    tags = "\n".join(f"- {tag}" for tag in model.tags)
    text = f"""---
library_name: keras
license: {known.get("license", "unknown")}
tags:
- audio
- audio-generation
{tags}
---
# {model.title} after {step:,} updates

| | |
|---|---|
{table}

`samples.wav` and `samples.png` show the clips of the first seeds, unchosen.

{usage}
"""
    atomic.write(folder / FILE, text.encode())


def read(folder: pathlib.Path) -> dict[str, str]:
    """Reads what the card in a folder says of data and licence.

    Returns:
      The identifier in its header, "license", and the rows "data" and "licence"
      of its table, as far as there are any.
    """
    try:
        text = (folder / FILE).read_text("utf-8", errors="replace")
    except OSError:
        return {}
    header = text.split("\n---\n")[0] if text.startswith("---\n") else ""
    names = re.findall(r"^(license): ([\w.-]+)$", header, re.MULTILINE)
    rows = re.findall(r"^\| (data|licence) \| (.+) \|$", text, re.MULTILINE)
    return dict(names + rows)
