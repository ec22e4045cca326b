"""Takes labels from names of files: `Seven_004ae714.wav`, `seven/x.wav`."""

import collections
import dataclasses
import hashlib
import itertools
import pathlib
from collections.abc import Sequence

import loader

SPLITS = ("train", "valid", "test")
MIN_CLIPS = 4  # training clips for each word
BACKGROUND = "_background_noise_"  # folder of Speech Commands; no word


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Labelled files of one split.

    Attributes:
      paths: Paths of the audio files.
      labels: Label of each file, an index into the list of words.
    """

    paths: list[str]
    labels: list[int]


def find(data_dir: pathlib.Path) -> tuple[list[str], dict[str, Labelled]]:
    """Finds labelled audio files and splits them.

    The splits are the folders train/, valid/ and test/. If there is no valid/,
    it gets about a tenth of the training files of each word, and so does test
    if there is no test/ either.

    Args:
      data_dir: Folder with files in folders that are named after words, or
        with the word before the first underscore of a file's name.

    Returns:
      Words in alphabetical order, in lower case; files by split.

    Raises:
      FileNotFoundError: The folder does not exist.
      ValueError: The names hold no words, or too few files have one word.
    """
    roots = {s: data_dir / s for s in SPLITS if loader.is_split(data_dir / s)}
    if "train" not in roots:
        roots = {"train": data_dir}
    named = {
        split: [
            (path, word_of(path, root))
            for path in without_background(loader.find_audio(root), root)
        ]
        for split, root in roots.items()
    }
    words = sorted({word for _, word in named["train"]})
    if "valid" not in named:
        targets = [split for split in SPLITS if split not in named]
        named |= _deal(named["train"], targets)
    _check(data_dir, words, named)
    return words, {
        split: Labelled(
            [path for path, _ in files],
            [words.index(word) for _, word in files],
        )
        for split, files in named.items()
    }


def word_of(path: str, root: pathlib.Path) -> str:
    """Reads a file's label from its name, in lower case.

    The label is the first folder below `root` on the file's path, or else the
    part of the file's name before the first underscore.

    Raises:
      ValueError: The name holds no label.
    """
    parts = pathlib.Path(path).relative_to(root).parts
    head, underscore, _ = parts[-1].partition("_")
    if len(parts) == 1 and not (head and underscore):
        raise ValueError(
            f"the name of {path} holds no word: expected Word_anything.wav, or "
            "a folder for each word"
        )
    return (parts[0] if len(parts) > 1 else head).lower()


def without_background(
    paths: Sequence[str], root: str | pathlib.Path
) -> list[str]:
    """Leaves out the background noise that comes with Speech Commands."""
    return [
        path
        for path in paths
        if BACKGROUND not in pathlib.Path(path).relative_to(root).parts[:-1]
    ]


def check_words(words: Sequence[str]) -> None:
    """Checks words from a config, because they become parts of file names.

    Raises:
      ValueError: A word is not printable text, holds a slash, or occurs twice.
    """
    for word in words:
        plain = isinstance(word, str) and word.isprintable()
        if not plain or not word or {*"/\\"} & {*word}:
            raise ValueError(f"words has {word!r}: expected plain words")
    if len(set(words)) < len(words):
        raise ValueError(f"words is {words}: expected each word once")


def _deal(
    files: list[tuple[str, str]], targets: list[str]
) -> dict[str, list[tuple[str, str]]]:
    """Deals files to train and to each target, of each word about a tenth.

    Checksums of the files' names decide, whatever the order of the files. Each
    target gets at least one file of each word, from a twentieth to a fifth.

    Args:
      files: Paths and words.
      targets: Names of the splits beside train.

    Returns:
      Paths and words by split, in their order.
    """
    drawn: dict[str, list[tuple[int, bytes, str]]] = {}
    for path, word in files:
        digest = hashlib.sha1(pathlib.Path(path).name.encode()).digest()
        tenth = int.from_bytes(digest[:8], "big") % 10
        drawn.setdefault(word, []).append((tenth, digest, path))
    splits: dict[str, str] = {}
    for ranked in drawn.values():
        paths = iter([path for *_, path in sorted(ranked)])
        tenths = [tenth for tenth, *_ in ranked]
        low, high = (max(1, len(ranked) // n) for n in (20, 5))
        for i, target in enumerate(targets):
            count = min(max(tenths.count(i), low), high)
            splits |= dict.fromkeys(itertools.islice(paths, count), target)
    dealt: dict[str, list[tuple[str, str]]] = {n: [] for n in SPLITS}
    for path, word in files:
        dealt[splits.get(path, "train")].append((path, word))
    return {name: dealt[name] for name in ("train", *targets)}


def _check(
    data_dir: pathlib.Path,
    words: list[str],
    named: dict[str, list[tuple[str, str]]],
) -> None:
    """Raises a ValueError unless there are enough words and files of each."""
    if len(words) < 2:
        raise ValueError(
            f"all files of {data_dir} have the label {words or 'nothing'}: "
            "expected two words or more, as Word_anything.wav or a folder for "
            "each"
        )
    counts = collections.Counter(word for _, word in named["train"])
    word = min(words, key=lambda word: counts[word])
    if counts[word] < MIN_CLIPS:
        total = sum(w == word for files in named.values() for _, w in files)
        raise ValueError(
            f"{total} file(s) of {data_dir} have the label {word!r}, of which "
            f"{counts[word]} are for training: expected {MIN_CLIPS} or more of "
            "each word"
        )
    for split, files in named.items():
        odd = sorted({word for _, word in files} - set(words))
        if odd or not files:
            raise ValueError(
                f"{split} of {data_dir} has {odd or 'no files'}: expected "
                f"files with the labels {', '.join(words)}"
            )
