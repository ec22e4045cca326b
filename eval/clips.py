"""Sets of clips, and what is measured of each before any score."""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterator

import numpy as np
import tqdm

import loader
from eval import classifier, features, noise, similarity

CHUNK_LEN = 256  # clips in memory at once


@dataclasses.dataclass(frozen=True)
class Source:
    """Where clips come from.

    Attributes:
      name: What a table calls it.
      num_clips: How many.
      load: Makes audio `[stop - start, 16384]` from (start, stop).
      paths: Of files, if it is made of them.
    """

    name: str
    num_clips: int
    load: Callable[[int, int], np.ndarray]
    paths: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields audio, some clips at once."""
        bar = tqdm.tqdm(
            total=self.num_clips, desc=self.name, unit="clip", disable=None
        )
        with bar:
            for start in range(0, self.num_clips, CHUNK_LEN):
                stop = min(start + CHUNK_LEN, self.num_clips)
                yield self.load(start, stop)
                bar.update(stop - start)


def from_files(name: str, paths: list[str]) -> Source:
    """Clips that are the first second of each file, cut or filled up."""

    def load(start: int, stop: int) -> np.ndarray:
        return features.load(paths[start:stop])

    return Source(name, len(paths), load, tuple(paths))


def from_folder(
    folder: pathlib.Path, limit: int = 0, seed: int = 0, name: str = ""
) -> Source:
    """The audio of a folder in random order, for scores that split it.

    Files that cannot be used are named on stderr, and counted.

    Args:
      folder: With audio at any depth; if it has a folder train/, that one.
      limit: Number of clips to take; 0: all.
      seed: Of the order.
      name: What a table calls it; the folder's name if left out.

    Raises:
      FileNotFoundError: There is no such folder.
      ValueError: It holds no usable audio, or less than `limit`.
    """
    infos, skipped = loader.scan_audio(loader.find_audio(folder))
    for path, reason in skipped.items():
        print(f"skipped: {path}: {reason}", file=sys.stderr)
    if skipped:
        print(f"{folder}: {len(skipped)} files skipped", file=sys.stderr)
    if len(infos) < max(limit, 1):
        raise ValueError(
            f"{folder} has {len(infos)} usable clips: expected "
            f"{max(limit, 1)}; give more files, or a smaller --n"
        )
    order = np.random.default_rng(seed).permutation(len(infos))
    paths = [infos[i].path for i in order[: limit or None]]
    return from_files(name or str(folder), paths)


def normalized(source: Source) -> Source:
    """The same clips, the peak of each brought to 1; silence stays silence."""

    def load(start: int, stop: int) -> np.ndarray:
        audio = source.load(start, stop)
        peak = np.abs(audio).max(axis=1, keepdims=True)
        return audio / np.where(peak > 0, peak, 1).astype(audio.dtype)

    return dataclasses.replace(source, load=load)


def baselines(reference: Source, num_clips: int, seed: int = 0) -> list[Source]:
    """What no score should take for a good generator.

    White noise as loud as the reference; silence; and a system that plays
    clips of the reference.
    """
    some = reference.load(0, min(CHUNK_LEN, reference.num_clips))
    rms = np.sqrt(np.mean(some**2))
    shape = features.SLICE_LEN

    def hiss(start: int, stop: int) -> np.ndarray:
        rng = np.random.default_rng([seed, start])
        return rng.normal(0, rms, [stop - start, shape]).astype(np.float32)

    def silence(start: int, stop: int) -> np.ndarray:
        return np.zeros([stop - start, shape], np.float32)

    rng = np.random.default_rng(seed)
    copies = rng.choice(np.array(reference.paths), num_clips).tolist()
    return [
        Source("white noise", num_clips, hiss),
        Source("silence", num_clips, silence),
        from_files("copies of the reference", copies),
    ]


@dataclasses.dataclass(frozen=True)
class Clips:
    """What was measured of a set.

    Attributes:
      source: The set.
      probs: Of each word, `[num_clips, num_words]`.
      embeddings: The judge's features, `[num_clips, dim]`.
      log_mels: Of the first thousand, `[1000, 16384]`.
      noise: `noise.measure` of each clip, `[num_clips]`.
      power: Mean square of each clip, `[num_clips]`.
    """

    source: Source
    probs: np.ndarray
    embeddings: np.ndarray
    log_mels: np.ndarray
    noise: np.ndarray
    power: np.ndarray


def measure(source: Source, judge: classifier.Judge) -> Clips:
    """Hears all clips of a set, some at once.

    Raises:
      ValueError: A file cannot be decoded.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    log_mels: list[np.ndarray] = []
    num_clips = 0
    for audio in source:
        parts.append(
            (
                *classifier.predict_and_embed(judge.model, audio),
                noise.measure(audio),
                np.mean(audio.astype(np.float64) ** 2, axis=1),
            )
        )
        wanted = max(similarity.NUM_CLIPS - num_clips, 0)
        log_mels.append(similarity.embed(audio[:wanted]))
        num_clips += len(audio)
    probs, embeddings, noises, power = map(
        np.concatenate, zip(*parts, strict=True)
    )
    return Clips(
        source, probs, embeddings, np.concatenate(log_mels), noises, power
    )
