"""Fuzzes the loader: reads randomly damaged audio files.

  python benchmarks/fuzz.py DIR --count 20000 --seed 0
  python benchmarks/fuzz.py DIR --count 20000 --seed 0 --structures

Takes short audio files from a folder, writes them in all codecs, and makes
mutants: bytes are flipped or set to extremes, most of them in headers; runs of
bytes are inserted, doubled and removed; ends are cut off. With --structures,
pages and frames of Ogg, FLAC and MP3 files are moved, dropped, joined and made
to lie instead, and their checksums are mended. Child processes with a limited
address space scan, decode and stream the mutants by the loader's own functions,
some hundreds at a time, together with one good file.

Each mutant should be used, used with a warning that names it, skipped by the
scan, or dropped from the stream. Failures are a crash, a hang, too much memory,
an error other than the loader's own, a sample that is not finite or beyond 1,
and audio that is lost without a word: fewer than half of the samples that the
parts of a mutant should hold. Such mutants are printed and kept, and the exit
code is 1. A mutant is a function of folder, seed and number.
"""

import argparse
import collections
import io
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import resource
import sys
import tempfile
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from system import console

console.import_tensorflow()

import numpy as np
import soundfile

from benchmarks import structures

KINDS = (
    ("wav", "WAV", "PCM_U8"),
    ("wav", "WAV", "PCM_16"),
    ("wav", "WAVEX", "PCM_16"),
    ("wav", "WAV", "PCM_24"),
    ("wav", "WAV", "FLOAT"),
    ("wav", "WAV", "ULAW"),
    ("wav", "WAV", "IMA_ADPCM"),
    ("wav", "WAV", "MS_ADPCM"),
    ("flac", "FLAC", "PCM_16"),
    ("ogg", "OGG", "VORBIS"),
    ("ogg", "OGG", "OPUS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
    ("aiff", "AIFF", "PCM_16"),
    ("aiff", "AIFF", "FLOAT"),
)
STRUCTURED_KINDS = (
    ("ogg", "OGG", "VORBIS"),
    ("opus", "OGG", "OPUS"),
    ("flac", "FLAC", "PCM_16"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
)
NUM_SAMPLES = {False: 8000, True: 48000}  # of a source, by --structures
GOOD = ("used", "warned", "skipped", "dropped")
GROUP = 400  # mutants in one stream
LIFE = 4000  # mutants after which a child process is replaced
MOST_BATCHES = 100
HEADER_LEN = 128
EXTREMES = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
)
SPARE_BYTES = 1 << 30  # by which a child's address space may grow
LIMIT_SECS = 120.0


def read_sources(
    folder: pathlib.Path, structured: bool, count: int = 8
) -> list[tuple[str, bytes]]:
    """Reads some files and encodes them in all codecs.

    Returns:
      Pairs of file ending and contents.
    """
    kinds = STRUCTURED_KINDS if structured else KINDS
    length = NUM_SAMPLES[structured]
    paths = sorted(p for p in folder.rglob("*") if p.suffix == ".wav")
    sources = []
    for path in paths[:: max(1, len(paths) // count)][:count]:
        audio, rate = soundfile.read(path, frames=length)
        audio = np.resize(audio, (length, *audio.shape[1:]))
        for ending, form, codec in kinds:
            file = io.BytesIO()
            soundfile.write(file, audio, rate, format=form, subtype=codec)
            sources.append((ending, file.getvalue()))
    return sources


def mutate(contents: bytes, rng: np.random.Generator) -> bytes:
    """Damages a file in one to three ways."""
    data = bytearray(contents)
    for _ in range(rng.integers(1, 4)):
        header = rng.random() < 0.7
        at = int(
            rng.integers(min(len(data), HEADER_LEN) if header else len(data))
        )
        run = int(2 ** rng.uniform(0, 10))
        way = rng.integers(6)
        if way <= 1:
            for i in range(at, min(at + int(rng.integers(1, 9)), len(data))):
                data[i] ^= int(rng.integers(1, 256))
        elif way == 2:
            extreme = EXTREMES[rng.integers(len(EXTREMES))]
            data[at : at + 4] = extreme[: int(rng.choice([2, 4]))]
        elif way == 3:
            data[at:at] = rng.bytes(run) if header else data[at : at + run]
        elif way == 4:
            del data[at : at + run]
        else:
            del data[int(rng.integers(len(data))) :]
        data = data or bytearray(1)
    return bytes(data)


class Mutants:
    """The mutants of a folder's audio files, by number.

    Attributes:
      sources: Pairs of file ending and contents that mutants are made from.
    """

    def __init__(
        self, folder: pathlib.Path, seed: int, structured: bool
    ) -> None:
        self._seed = seed
        self._structured = structured
        self.sources = read_sources(folder, structured)

    def write(self, number: int, folder: pathlib.Path) -> tuple[str, int]:
        """Writes a mutant.

        Returns:
          Path; number of samples that its parts should hold, 0 if unknown.
        """
        rng = np.random.default_rng([self._seed, number])
        chosen = int(rng.integers(len(self.sources)))
        ending, contents = self.sources[chosen]
        path = folder / f"mutant_{self._seed}_{number}.{ending}"
        num_samples = 0
        if self._structured:
            step = len(STRUCTURED_KINDS)  # to another file of the same kind
            _, other = self.sources[(chosen + step) % len(self.sources)]
            mutant = structures.MUTATORS[ending](contents, other, rng)
            share = structures.audio_len(mutant) / structures.audio_len(
                contents
            )
            num_samples = int(share * NUM_SAMPLES[True])
        else:
            mutant = mutate(contents, rng)
        path.write_bytes(mutant)
        return str(path), num_samples


def read_files(wanted: dict[str, int], good: str) -> dict[str, str]:
    """Scans, decodes and streams files together with a good one.

    Args:
      wanted: Number of samples that each file should hold, by its path; 0 if
        that is unknown.
      good: Path of the good file.

    Returns:
      Outcome of each file by its path.
    """
    from absl import logging

    import loader  # here, because it takes seconds and the parent needs none

    outcomes = dict.fromkeys(wanted, "used")

    def note(text: object, *args: Any, **_: Any) -> None:
        if args and args[0] in wanted:
            outcomes[args[0]] = "warned"

    logging.warning = note  # type: ignore[assignment]
    infos, skipped = loader.scan_audio([*wanted, good])
    outcomes.update(dict.fromkeys(skipped, "skipped"))
    for info in infos[:-1]:
        try:
            audio = loader.decode_audio(info.path)
            if not np.isfinite(audio).all():
                outcomes[info.path] = "not finite"
            lost = 2 * len(audio) < wanted[info.path]
            if lost and outcomes[info.path] == "used":
                outcomes[info.path] = "silent loss"
        except loader.BadAudioError:
            outcomes[info.path] = "dropped"

    def drop(path: str, reason: str) -> None:
        if outcomes[path] in GOOD:
            outcomes[path] = "dropped"

    # Streaming comes last: some slices of a damaged file may still be good.
    batches = loader.make_dataset(
        [info.path for info in infos],
        slice_len=2048,
        batch_size=64,
        sample_rate=infos[-1].sample_rate,
        shuffle=False,
        repeat=False,
        drop_remainder=False,
        max_bad=1.0,
        on_skip=drop,
    )
    for batch in batches.take(MOST_BATCHES):
        if not np.all(np.abs(batch.numpy()) <= 1):
            outcomes = dict.fromkeys(wanted, "not finite")
    return outcomes


def work(
    pipe: multiprocessing.connection.Connection,
    folder: pathlib.Path,
    seed: int,
    structured: bool,
    scratch: pathlib.Path,
) -> None:
    """Reads groups of mutants in a child process, until the parent ends it."""
    from audio import reader

    reader.RETRY_SECS = 0.0
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # decoders log to stderr
    mutants = Mutants(folder, seed, structured)
    good = scratch / "good.wav"
    soundfile.write(good, np.full(8000, 0.1), 16000)
    read_files({}, str(good))  # loads all libraries
    size = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = size * os.sysconf("SC_PAGE_SIZE") + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while True:
        wanted = dict(mutants.write(n, scratch) for n in pipe.recv())
        try:
            pipe.send([*read_files(wanted, str(good)).values()])
        except Exception as error:  # any but the loader's own is a failure
            text = f"{type(error).__name__}: {error}"
            pipe.send([" ".join(text.split())[:200]] * len(wanted))
        for path in wanted:
            pathlib.Path(path).unlink()


class Child:
    """A child process that reads mutants, and that they may crash."""

    def __init__(
        self, folder: pathlib.Path, seed: int, structured: bool
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._scratch = tempfile.TemporaryDirectory()
        self._folder = pathlib.Path(self._scratch.name)
        self._pipe, end = context.Pipe()
        self._process = context.Process(
            target=work,
            args=(end, folder, seed, structured, self._folder),
            daemon=True,
        )
        self._process.start()
        end.close()

    def read(self, numbers: list[int]) -> list[str]:
        """Returns the outcome of each mutant, the same for all in a crash."""
        try:
            self._pipe.send(numbers)
            if self._pipe.poll(LIMIT_SECS):
                return self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return [f"crash {self._process.exitcode}"] * len(numbers)
        return ["hang"] * len(numbers)

    def end(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()
        self._scratch.cleanup()


def read_all(
    folder: pathlib.Path, seed: int, structured: bool, count: int
) -> dict[int, str]:
    """Reads all mutants in groups; splits groups that failed in halves.

    Returns:
      Outcome of each mutant by its number.
    """
    outcomes: dict[int, str] = {}
    groups = [
        list(range(first, min(first + GROUP, count)))
        for first in range(0, count, GROUP)
    ]
    child, age = None, 0
    while groups:
        group = groups.pop(0)
        child = child or Child(folder, seed, structured)
        found = child.read(group)
        # Files that fail together have the same outcome: find the one to blame.
        failed = len(set(found)) == 1 and found[0] not in GOOD
        if failed and len(group) > 1:
            half = len(group) // 2
            groups[:0] = [group[:half], group[half:]]
        else:
            outcomes.update(zip(group, found, strict=True))
            print(f"{len(outcomes):,} of {count:,}", file=sys.stderr)
        age += len(group)
        died = found[0].startswith(("crash", "hang"))
        if died or age >= LIFE or not groups:
            child.end()
            child, age = None, 0
    return outcomes


def main() -> None:
    """Prints the numbers of outcomes, and keeps the mutants that failed."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dir", type=pathlib.Path, help="folder of WAV files")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--structures", action="store_true")
    parser.add_argument("--keep", type=pathlib.Path, default="fuzz_failures")
    args = parser.parse_args()
    start = time.monotonic()
    outcomes = read_all(args.dir, args.seed, args.structures, args.count)
    counts = collections.Counter(outcomes.values())
    for outcome in sorted({*GOOD, *counts}):
        print(f"{outcome:12}{counts[outcome]:8,}")
    print(f"{len(outcomes):,} mutants, {time.monotonic() - start:.0f} s")
    mutants = Mutants(args.dir, args.seed, args.structures)
    failures = {n: o for n, o in outcomes.items() if o not in GOOD}
    for number, outcome in failures.items():
        args.keep.mkdir(parents=True, exist_ok=True)
        print(f"{outcome}: {mutants.write(number, args.keep)[0]}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
