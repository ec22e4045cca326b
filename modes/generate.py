"""Generates clips: by seed and word, between two seeds, the best of many."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from audio import write
from eval import classifier, features, manifest
from modes import incept, kit, phrase, render
from modes import request as request_lib
from networks import audio_model as audio_model_lib
from system import atomic, settings
from training import config as config_lib
from training import train_dir

MAX_PHRASE_NAME = 50  # characters of a phrase that its file's name holds


def generate(
    audio_model: audio_model_lib.AudioModel,
    directory: train_dir.TrainDir,
    config: config_lib.RunConfig,
    request: request_lib.Request,
    writing: write.Writing,
    *,
    model: str,
    out_dir: pathlib.Path,
    classifier_dir: pathlib.Path | None = None,
) -> None:
    """Generates clips with a checkpoint of the train dir and writes them.

    Args:
      audio_model: Built as the config says.
      directory: The train dir, which selects the checkpoint; training may be
        going on in it.
      config: Config of its run.
      request: The clips to generate.
      writing: Format of the files.
      model: Name of the model, for the titles of the files and of a kit.
      out_dir: Output folder, created if missing. Single clips are listed in
        its manifest; other kinds go to its folders `interpolations`, `joined`,
        `phrases` and `kit`.
      classifier_dir: Folder of the classifier that chooses the best clips;
        None: the one that `incept` trained for this run.

    Raises:
      FileNotFoundError: There is no checkpoint.
      ValueError: The classifier, or the model, does not know the word.
    """
    vocabulary = config.data.words
    clips = request.clips(vocabulary)
    word_classifier = None
    if request.best:
        own = directory.path / incept.OWN_CLASSIFIER
        word_classifier = classifier.load(classifier_dir or own)
    step = train_dir.restore(audio_model, directory)
    rate = config.data.sample_rate
    z = request.draw(audio_model.latent_dim)[[clip.point for clip in clips]]
    labels = None
    if vocabulary:
        labels = np.array([vocabulary.index(clip.word) for clip in clips])
    heard = ""
    if word_classifier:
        audio = render.generate_audio(audio_model.generate, z, labels)
        chosen, heard = _best(word_classifier, request, clips, audio, rate)
        clips, z = [clips[i] for i in chosen], z[chosen]
        labels = None if labels is None else labels[chosen]
    names = [clip.name for clip in clips]
    kind = ""
    audio = render.generate_audio(audio_model.generate, z, labels)
    if request.say:
        kind = "phrases"
        num_words = len(request.say)
        said = "_".join(request.say)[:MAX_PHRASE_NAME]
        points = [request.points[clip.point] for clip in clips[::num_words]]
        names = [f"{said}_{point}" for point in points]
        audio = _phrases(audio, num_words, rate)
    elif request.concat:
        kind = "joined"
        names = [_joined_name(names, bool(request.ends))]
        audio = iter([render.string_together(list(audio), rate)])
    elif request.ends:
        kind = "interpolations"
    elif request.kit:
        kind = "kit"
        everything = np.stack(list(audio))
        pads = kit.choose(features.fit(everything, rate), request.kit)
        clips, audio = [clips[i] for i in pads], iter(everything[pads])
        names = [
            kit.name(i, model, clip.name)
            for i, clip in enumerate(clips, start=1)
        ]
    files = [f"{name}.{writing.format}" for name in names]
    for file, samples in zip(files, audio, strict=True):
        path = out_dir / kind / file
        path.parent.mkdir(parents=True, exist_ok=True)
        title = f"{model}, step {step}: {path.stem}"
        write.write(path, samples, rate, writing, title)
    if request.kit:
        seeds = [request.seed + clip.point for clip in clips]
        rows = [
            {"file": file, "seed": seed, "word": clip.word}
            for file, seed, clip in zip(files, seeds, clips, strict=True)
        ]
        for file, content in kit.maps(model, step, rows).items():
            atomic.write(out_dir / kind / file, content)
    kept = 0
    if not kind:
        kept = manifest.add(
            out_dir, files, _made_by(audio_model, request, writing)
        )
    if len(files) == 1:
        print(f"step {step}: {path}{heard}")
    else:
        what = "phrases" if request.say else "clips"
        print(f"step {step}: {len(files)} {what} in {out_dir / kind}{heard}")
    if kept:
        print(
            f"clips of other weights or settings that stay in {out_dir} and "
            f"that scores leave out ({manifest.FILE}): {kept}"
        )


def _joined_name(names: Sequence[str], interpolated: bool) -> str:
    """Names the file of all clips by its first and last one."""
    ends = [name.replace("/", "_") for name in (names[0], names[-1])]
    if interpolated:  # without the numbers of the clips between two seeds
        ends = [name.rpartition("_")[0] for name in ends]
    return "_to_".join(dict.fromkeys(ends))


def _made_by(
    audio_model: audio_model_lib.AudioModel,
    request: request_lib.Request,
    writing: write.Writing,
) -> dict[str, Any]:
    """Describes what clips must have in common to be scored together."""
    weights = [
        weight
        for network in audio_model.generating_networks.values()
        for weight in network.get_weights()
    ]
    return {
        "weights": classifier.fingerprint(weights)[:16],
        "truncation": request.truncation,
        "words": list(request.words),
        "label": request.label,
        "best": request.best,
        **dataclasses.asdict(writing),
    }


def _phrases(
    audio: Iterator[np.ndarray], num_words: int, sample_rate: int
) -> Iterator[np.ndarray]:
    """Yields phrases, each of the next `num_words` clips."""
    while clips := list(itertools.islice(audio, num_words)):
        yield phrase.join(clips, sample_rate)


def _best(
    word_classifier: classifier.Classifier,
    request: request_lib.Request,
    clips: Sequence[request_lib.Clip],
    audio: Iterator[np.ndarray],
    sample_rate: int,
) -> tuple[np.ndarray, str]:
    """Chooses the clips, or phrases, that are recognised best.

    Args:
      word_classifier: Classifier that knows the words.
      request: Request with `best`.
      clips: Clips of the request.
      audio: Their audio, `[num_samples, channels]` each.
      sample_rate: In Hz.

    Returns:
      Indices of the chosen clips, the best first, and a description.

    Raises:
      SettingError: The classifier does not know a word.
    """
    known = [word.lower() for word in word_classifier.words]
    wanted = [(request.label or clip.word).lower() for clip in clips]
    if unknown := [word for word in wanted if word not in known]:
        raise settings.SettingError(
            "label" if request.label else "say",
            request.label or " ".join(request.say),
            f"words that the classifier knows, {', '.join(known)}; not "
            f"{unknown[0]}",
        )
    probs = []
    while batch := list(itertools.islice(audio, render.BATCH_SIZE)):
        heard = features.fit(np.stack(batch), sample_rate)
        probs.append(classifier.predict(word_classifier.model, heard))
    columns = [known.index(word) for word in wanted]
    correct = np.concatenate(probs)[np.arange(len(clips)), columns]
    # A phrase is recognised if each of its words is.
    num_words = len(request.say) or 1
    correct = correct.reshape(-1, num_words).prod(axis=1)
    order = np.argsort(-correct, kind="stable")[: request.best]
    rows = np.arange(len(clips)).reshape(-1, num_words)[order]
    best, worst = correct[order[[0, -1]]]
    probability = f"{best:.2f}" + (f" to {worst:.2f}" if len(order) > 1 else "")
    return rows.ravel(), (
        f", the best of {len(correct)}: heard as "
        f'"{request.label or " ".join(request.say)}" with a probability of '
        f"{probability} by the classifier {word_classifier.name}"
    )
