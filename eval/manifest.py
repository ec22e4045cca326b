"""Lists the clips of a folder that one generator made with one setting.

`clips.json` holds `made_by`, which tells generators and settings apart, and
`files`, relative to the folder. Scores are of these files alone, since scores
of a mixture describe neither of its parts.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from system import atomic

FILE = "clips.json"


def add(
    folder: pathlib.Path, files: Sequence[str], made_by: dict[str, Any]
) -> int:
    """Lists new clips, beside those before that were made alike.

    Args:
      folder: Folder of the clips.
      files: Their paths, relative to the folder.
      made_by: What they have in common: generator and settings.

    Returns:
      Number of clips in the folder that were listed and no longer are.
    """
    before = _read(folder)
    listed = {file for file in before["files"] if (folder / file).exists()}
    alike = before["made_by"] == made_by
    content = {
        "made_by": made_by,
        "files": sorted({*files} | (listed if alike else set())),
    }
    text = json.dumps(content, indent=1) + "\n"
    atomic.write(folder / FILE, text.encode())
    return 0 if alike else len(listed - {*files})


def select(folder: pathlib.Path, paths: Sequence[str]) -> list[str]:
    """Keeps the paths that a folder's manifest lists; all if it has none.

    Raises:
      ValueError: The manifest is damaged, or none of its files is there.
    """
    if not (folder / FILE).exists():
        return list(paths)
    listed = {str(folder / file) for file in _read(folder)["files"]}
    selected = [path for path in paths if path in listed]
    if not selected:
        raise ValueError(
            f"{folder / FILE} lists no audio file that is there: remove it to "
            "use all files of the folder"
        )
    return selected


def _read(folder: pathlib.Path) -> dict[str, Any]:
    """Reads a manifest, `files` and `made_by`; an empty one if there is none.

    Raises:
      ValueError: It is damaged.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text())
        return {
            "files": [str(file) for file in content["files"]],
            "made_by": content["made_by"],
        }
    except FileNotFoundError:
        return {"files": [], "made_by": None}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): remove it, and generate anew"
        ) from None
