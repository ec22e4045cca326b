"""Reads sets of clips, and measures what all scores start from."""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterator

import numpy as np
import tqdm

import loader
from eval import classifier, features, manifest, noise, similarity

CHUNK_LEN = 256  # clips held in memory at a time


@dataclasses.dataclass(frozen=True)
class Source:
    """A set of clips that is loaded in parts.

    Attributes:
      name: Name of the set in tables.
      num_clips: Number of clips.
      load: Function from (start, stop) to audio `[stop - start, 16384]`.
      paths: Paths of the files, if the clips come from files.
    """

    name: str
    num_clips: int
    load: Callable[[int, int], np.ndarray]
    paths: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields audio in chunks, `[<= CHUNK_LEN, 16384]` each."""
        bar = tqdm.tqdm(
            total=self.num_clips, desc=self.name, unit="clip", disable=None
        )
        with bar:
            for start in range(0, self.num_clips, CHUNK_LEN):
                stop = min(start + CHUNK_LEN, self.num_clips)
                yield self.load(start, stop)
                bar.update(stop - start)


def from_files(name: str, paths: list[str]) -> Source:
    """Makes a set of the first second of each file, cut or zero-padded."""

    def load(start: int, stop: int) -> np.ndarray:
        return features.load(paths[start:stop])

    return Source(name, len(paths), load, tuple(paths))


def from_folder(
    folder: pathlib.Path, limit: int = 0, seed: int = 0, name: str = ""
) -> Source:
    """Makes a set of a folder's audio files in random order.

    The order is random for the sake of scores that split the set. Files that
    cannot be used are listed on stderr, and counted. If the mode `generate`
    made the folder, the set is what it made last; see `manifest`.

    Args:
      folder: Folder with audio at any depth; if it has a folder train/, only
        that one is used.
      limit: Number of clips to take; 0: all.
      seed: Seed of the order.
      name: Name of the set in tables; the folder's name if left out.

    Raises:
      FileNotFoundError: The folder does not exist.
      ValueError: The folder holds no usable audio, or fewer than `limit` files.
    """
    found = loader.find_audio(folder, generated=True)
    selected = manifest.select(folder, found)
    if len(selected) < len(found):
        print(
            f"{folder}: {len(selected)} of {len(found)} files are used, those "
            f"that {manifest.FILE} lists",
            file=sys.stderr,
        )
    infos, skipped = loader.scan_audio(selected)
    for path, reason in skipped.items():
        print(f"skipped: {path}: {reason}", file=sys.stderr)
    if skipped:
        print(f"{folder}: {len(skipped)} files skipped", file=sys.stderr)
    if loud := loader.describe_loud(infos):
        print(f"{folder}: {loud}; --normalize scales clips", file=sys.stderr)
    if len(infos) < max(limit, 1):
        raise ValueError(
            f"{folder} has {len(infos)} usable clips: expected "
            f"{max(limit, 1)}; give more files, or a smaller --n"
        )
    order = np.random.default_rng(seed).permutation(len(infos))
    paths = [infos[i].path for i in order[: limit or None]]
    return from_files(name or str(folder), paths)


def normalized(source: Source) -> Source:
    """Scales each clip of a set to a peak of 1; silence stays silence."""

    def load(start: int, stop: int) -> np.ndarray:
        audio = source.load(start, stop)
        peak = np.abs(audio).max(axis=1, keepdims=True)
        return audio / np.where(peak > 0, peak, 1).astype(audio.dtype)

    return dataclasses.replace(source, load=load)


def baselines(reference: Source, num_clips: int, seed: int = 0) -> list[Source]:
    """Makes sets that no good metric should mistake for a good generator.

    They are white noise as loud as the reference, silence, and copies of clips
    of the reference.
    """
    some = reference.load(0, min(CHUNK_LEN, reference.num_clips))
    rms = np.sqrt(np.mean(some**2))
    shape = features.SLICE_LEN

    def white_noise(start: int, stop: int) -> np.ndarray:
        rng = np.random.default_rng([seed, start])
        return rng.normal(0, rms, [stop - start, shape]).astype(np.float32)

    def silence(start: int, stop: int) -> np.ndarray:
        return np.zeros([stop - start, shape], np.float32)

    rng = np.random.default_rng(seed)
    copies = rng.choice(np.array(reference.paths), num_clips).tolist()
    return [
        Source("white noise", num_clips, white_noise),
        Source("silence", num_clips, silence),
        from_files("copies of the reference", copies),
    ]


@dataclasses.dataclass(frozen=True)
class Clips:
    """Measurements of a set of clips.

    Attributes:
      source: The set.
      probs: Probability of each word, `[num_clips, num_words]`; no columns
        without a classifier.
      embeddings: Features of the classifier, or of another embedding,
        `[num_clips, dim]`; no columns without either.
      log_mels: Log-mel spectrograms of the first thousand clips, as
        `similarity.embed` makes them, `[1000, 16384]`.
      noise: Result of `noise.measure` for each clip, `[num_clips]`.
      power: Mean square of each clip's samples, `[num_clips]`.
    """

    source: Source
    probs: np.ndarray
    embeddings: np.ndarray
    log_mels: np.ndarray
    noise: np.ndarray
    power: np.ndarray


def measure(
    source: Source,
    word_classifier: classifier.Classifier | None,
    embed: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Clips:
    """Measures all clips of a set, chunk by chunk.

    Args:
      source: The set.
      word_classifier: Classifier that hears the clips, if a score needs it.
      embed: Function from audio to features, in place of the classifier's.

    Raises:
      ValueError: A file cannot be decoded.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    log_mels: list[np.ndarray] = []
    num_clips = 0
    for audio in source:
        probs = embeddings = np.empty([len(audio), 0])
        if word_classifier:
            probs, embeddings = classifier.predict_and_embed(
                word_classifier.model, audio
            )
        if embed:
            embeddings = embed(audio)
        parts.append(
            (
                probs,
                embeddings,
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
