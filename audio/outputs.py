"""Recognises folders that the programs wrote, which are never training data."""

import os
import pathlib

GENERATED = "generated clips"
# A folder with all files and folders of a row is of that kind. Generated clips
# and exports are recognised by the list, or the description, beside them.
KINDS: dict[tuple[str, ...], str] = {
    ("config.json", "checkpoints"): "a train dir",
    ("config.json", "generator.npz"): "released weights",
    ("clips.json",): GENERATED,
    ("kit.json",): "a kit of generated clips",
    ("generator.json",): "an export",
}


def kind_of(folder: pathlib.Path) -> str:
    """Describes a folder that the programs wrote; "" for any other."""
    for names, kind in KINDS.items():
        # Unlike pathlib's, this takes what cannot be seen for absent.
        if all(os.path.exists(folder / name) for name in names):  # noqa: PTH110
            return kind
    return ""
