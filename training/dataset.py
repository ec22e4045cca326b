"""Finds, checks, records and streams the audio of a run."""

import collections
import contextlib
import dataclasses
import math
import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

import loader
from eval import labels as labels_lib
from system import settings as settings_lib
from training import config as config_lib
from training import file_list, train_dir

PASS_SIZE = 64  # slices at once
NAMED = 10  # skipped files that the terminal names; a file lists them all


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The usable audio files of a folder.

    Attributes:
      infos: The usable files.
      skipped: The others, and why.
      words: What the files say, in alphabetical order; empty without labels.
      labels: Of each usable file, an index into the words; None without labels.
    """

    infos: list[loader.AudioInfo]
    skipped: dict[str, str]
    words: tuple[str, ...] = ()
    labels: list[int] | None = None

    @property
    def paths(self) -> list[str]:
        """Of the usable files."""
        return [info.path for info in self.infos]


def find(config: config_lib.RunConfig, directory: train_dir.TrainDir) -> Corpus:
    """Finds the audio files of a run, and says what it found.

    Args:
      config: Of the run.
      directory: Its train dir, which may remember them.

    Raises:
      FileNotFoundError: The folder is missing.
      ValueError: It holds no audio, or too many files that cannot be used; or
        names tell no words, or not those of the run, and labels are to be
        learnt.
    """
    data = config.data
    paths = _find_paths(data)
    known = file_list.read(directory)
    infos, skipped = loader.scan_audio(
        paths, known, _show_progress, config.model.channels
    )
    if len(skipped) > data.max_bad * len(paths):
        path, reason = next(iter(skipped.items()))
        share = math.ceil(100 * len(skipped) / len(paths)) / 100
        raise ValueError(
            f"{len(skipped)} of {len(paths)} audio files cannot be used, the "
            f"first is {path!r}: {reason} - mend or remove them, or accept "
            f"more by --data_max_bad={share}"
        )
    for info in infos:
        if data.fast_wav and not info.is_standard_wav(data.sample_rate):
            raise ValueError(
                f"--data_fast_wav takes 16-bit or float WAV at "
                f"{data.sample_rate} Hz alone, which {info.path!r} is not: "
                "leave the flag out, and files are converted"
            )
    for path, reason in list(skipped.items())[:NAMED]:
        logging.warning("skipped: %r: %s", path, reason)
    if len(skipped) > NAMED:
        logging.warning("skipped: %d more", len(skipped) - NAMED)
    index = loader.index_slices(infos, **_slicing(config))
    rates = collections.Counter(info.sample_rate for info in infos)
    del rates[data.sample_rate]
    logging.info(
        "data: %d files, %.1f minutes, %d slices; %d files skipped%s%s",
        len(infos),
        index.seconds / 60,
        index.num_slices,
        len(skipped),
        f" (listed in {directory.skipped})" if skipped else "",
        "".join(f"; {n} at {rate} Hz" for rate, n in rates.most_common()),
    )
    file_list.compare(known, infos)
    loud = "" if data.normalize else loader.describe_loud(infos)
    if loud:
        text = "%s; what exceeds it is clipped: --data_normalize scales files"
        logging.warning(text, loud)
    _warn_of_surplus(infos, config)
    if not data.labels:
        return Corpus(infos, skipped)
    return Corpus(infos, skipped, *_label(infos, data))


def _warn_of_surplus(
    infos: list[loader.AudioInfo], config: config_lib.RunConfig
) -> None:
    """Warns of frequencies and channels that the settings add to all files."""
    rate, channels = config.data.sample_rate, config.model.channels
    highest = max(info.sample_rate for info in infos)
    if highest < rate:
        logging.warning(
            "no file has more than %d Hz, so nothing is above %g kHz at %d Hz: "
            "--data_sample_rate=%d learns the same from fewer samples",
            *(highest, highest / 2000, rate, highest),
        )
    if max(info.channels for info in infos) < channels:
        logging.warning(
            "all files are mono, so both channels are alike: "
            "--data_num_channels=1 learns the same"
        )


def _label(
    infos: list[loader.AudioInfo], data: config_lib.DataConfig
) -> tuple[tuple[str, ...], list[int]]:
    """Returns the words of a run, and the label of each file."""
    root = loader.audio_root(data.dir)
    said = [labels_lib.word_of(info.path, root) for info in infos]
    words = data.words or tuple(sorted(set(said)))
    labels_lib.check_words(words)
    counts = collections.Counter(said)
    if odd := sorted(set(said) - set(words)):
        raise ValueError(
            f"{data.dir} has files that say {', '.join(odd)}, but that run "
            f"learns {', '.join(words)}: remove them, or name another train dir"
        )
    if len(words) < 2:
        raise settings_lib.SettingError(
            "labels",
            data.labels,
            f"two words or more, but all say {words[0]!r}, by "
            "Word_anything.wav or a folder for each word",
        )
    logging.info(
        "labels: %s",
        ", ".join(f"{word} ({counts[word]})" for word in words),
    )
    return words, [words.index(word) for word in said]


def remember(corpus: Corpus, directory: train_dir.TrainDir) -> None:
    """Writes down what was found, and what was skipped, in a train dir."""
    file_list.write(corpus.infos, corpus.skipped, directory)


def _show_progress(names: Iterable[str]) -> Iterable[str]:
    """Shows a bar on a terminal, unless it is done in a second."""
    return tqdm.tqdm(
        names, "reading headers", unit=" files", delay=1.0, disable=None
    )


def _slicing(config: config_lib.RunConfig) -> dict[str, Any]:
    """Returns how files are cut, as keywords of `loader`."""
    data = config.data
    return {
        "slice_len": config.model.slice_len,
        "channels": config.model.channels,
        "sample_rate": data.sample_rate,
        "overlap_ratio": data.overlap_ratio,
        "first_slice": data.first_slice,
        "pad_end": data.pad_end,
        # As the original: slices start anywhere, unless only the first counts.
        "random_offset": not data.first_slice,
    }


def pass_once(
    corpus: Corpus,
    config: config_lib.RunConfig,
    on_skip: Callable[[str, str], None],
) -> tf.data.Dataset:
    """Streams every slice that a run learns from, once and in order.

    Args:
      corpus: Of the run.
      config: Of the run.
      on_skip: Called with each file that cannot be read, and the reason.

    Returns:
      Audio, `[batch, slice_len, channels]`.
    """
    data = config.data
    return loader.make_dataset(
        corpus.paths,
        batch_size=PASS_SIZE,
        normalize=data.normalize,
        shuffle=False,
        repeat=False,
        drop_remainder=False,
        max_bad=data.max_bad,
        on_skip=on_skip,
        **_slicing(config),
    )


def stream(
    corpus: Corpus,
    config: config_lib.RunConfig,
    directory: train_dir.TrainDir,
    steps_done: int,
    on_skip: Callable[[str, str], None],
    strategy: tf.distribute.Strategy,
) -> tf.data.Dataset:
    """Streams what a run learns from, from a step on, to each replica its rows.

    Args:
      corpus: Of the run.
      config: Of the run.
      directory: Where a cache on disk may live.
      steps_done: Number of training steps that are done.
      on_skip: Called with each file that cannot be read, and the reason.
      strategy: By which replicas train; each gets its own rows of the batches.

    Returns:
      Audio of each step, `[batches, batch, slice_len, channels]`, without end;
      with labels, audio and labels, int32, `[batches, batch]`.

    Raises:
      ValueError: Replicas cannot share a batch equally.
    """
    data, settings = config.data, config.train
    batches = settings.batches_per_step
    replicas = strategy.num_replicas_in_sync
    share, rest = divmod(settings.batch_size, replicas)
    if rest:
        raise settings_lib.SettingError(
            "batch_size",
            settings.batch_size,
            f"a multiple of {replicas}, the number of devices that train",
        )

    def stream_to(worker: tf.distribute.InputContext) -> tf.data.Dataset:
        """Streams to the replicas of one process, in turn."""
        neighbours = replicas // worker.num_input_pipelines
        first = worker.input_pipeline_id * neighbours

        # Each batch of the stream has a share for each replica. For a step, the
        # process loads all shares of its first replica, then of the next.
        def choose(number: tf.Tensor) -> tf.Tensor:
            turn, update = number // batches, number % batches
            step, neighbour = turn // neighbours, turn % neighbours
            batch = step * batches + update
            return batch * replicas + first + neighbour

        dataset = loader.make_dataset(
            corpus.paths,
            batch_size=share,
            normalize=data.normalize,
            cache=data.cache,
            seed=settings.seed,
            start=steps_done * batches * settings.batch_size,
            cache_dir=directory.path,
            max_bad=data.max_bad,
            on_skip=on_skip,
            choose=None if replicas == 1 else choose,
            labels=corpus.labels,
            **_slicing(config),
        ).batch(batches)
        gpus = tf.config.list_logical_devices("GPU")
        if replicas == 1 and 0 <= data.prefetch_gpu_num < len(gpus):
            device = gpus[data.prefetch_gpu_num].name
            dataset = dataset.apply(
                tf.data.experimental.prefetch_to_device(device)
            )
        return dataset

    return strategy.distribute_datasets_from_function(stream_to)


def files_of_step(
    corpus: Corpus, config: config_lib.RunConfig, step: int
) -> list[str]:
    """Paths of the files that a step learns from, each once, in order.

    Args:
      corpus: Of the run.
      config: Of the run.
      step: Its number; the first is 1.
    """
    settings = config.train
    count = settings.batches_per_step * settings.batch_size
    index = loader.index_slices(corpus.infos, **_slicing(config))
    positions = tf.range((step - 1) * count, step * count, dtype=tf.int64)
    keys = loader.shuffle_slices(positions, index.num_slices, settings.seed)
    paths = [corpus.paths[i] for i in index.file[keys.numpy()]]
    return list(dict.fromkeys(paths))


def real_clips(
    config: config_lib.RunConfig, num_clips: int
) -> np.ndarray | None:
    """Returns real clips as a run gets them, or None without its data.

    Args:
      config: Of a train dir.
      num_clips: How many.

    Returns:
      Mono audio, `[num_clips, slice_len, 1]`, from starts of random files.
    """
    clips = _load(_shuffled_paths(config), num_clips, config)
    return clips if len(clips) else None


def real_clips_of_words(
    config: config_lib.RunConfig, num_columns: int
) -> np.ndarray | None:
    """Returns real clips of each word, or None if there are none.

    Args:
      config: Of a train dir whose run learns words.
      num_columns: Clips of each word.

    Returns:
      Mono audio, `[num_words * num_columns, slice_len, 1]`, word after word;
      silence in place of clips that are missing.
    """
    root = loader.audio_root(config.data.dir)
    paths = collections.defaultdict(list)
    for path in _shuffled_paths(config):
        with contextlib.suppress(ValueError):  # its name holds no word
            paths[labels_lib.word_of(path, root)].append(path)
    words = config.data.words
    shape = len(words), num_columns, config.model.slice_len, 1
    rows = np.zeros(shape, np.float32)
    found = 0
    for row, word in zip(rows, words, strict=True):
        clips = _load(paths[word], num_columns, config)
        row[: len(clips)] = clips
        found += len(clips)
    if not found:
        return None
    return rows.reshape(-1, *shape[2:])


def _find_paths(data: config_lib.DataConfig) -> list[str]:
    """Returns a run's files, without background noise if it learns words."""
    paths = loader.find_audio(data.dir)
    # A run of earlier code may have learned the noise as a word.
    if data.labels and labels_lib.BACKGROUND not in data.words:
        root = loader.audio_root(data.dir)
        paths = labels_lib.without_background(paths, root)
    return paths


def _shuffled_paths(config: config_lib.RunConfig) -> list[str]:
    """Returns a run's files in a random order, always the same."""
    folder = config.data.dir
    try:  # released weights name no folder
        paths = _find_paths(config.data) if folder else []
    except (OSError, ValueError):
        logging.info("no real clips to compare with in %r", folder)
        return []
    random.Random(0).shuffle(paths)
    return paths


def _load(
    paths: list[str], num_clips: int, config: config_lib.RunConfig
) -> np.ndarray:
    """Loads starts of files, at most so many, without the broken ones.

    Returns:
      Mono audio, `[num_clips, slice_len, 1]`.
    """
    data = config.data
    length = config.model.slice_len
    clips: list[np.ndarray] = []
    for path in paths:
        if len(clips) == num_clips:
            break
        with contextlib.suppress(OSError, ValueError):
            clips.append(loader.load_clips([path], length, data.sample_rate)[0])
    audio = np.reshape(np.asarray(clips, np.float32), (-1, length, 1))
    if data.normalize:
        audio /= np.maximum(np.abs(audio).max(axis=1, keepdims=True), 1e-9)
    return audio


def labels_in_turn(num_clips: int, num_labels: int) -> np.ndarray | None:
    """Labels of clips that take turns, int32, `[num_clips]`; None without."""
    if not num_labels:
        return None
    return (np.arange(num_clips) % num_labels).astype(np.int32)
