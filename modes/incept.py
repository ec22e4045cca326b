"""Scores a generator while it trains, by what a classifier hears."""

import itertools
import json
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from absl import logging
from tensorboard.plugins.hparams import api as hparams

from eval import (
    classifier,
    coverage,
    features,
    frechet,
    inception,
    recipes,
)
from modes import render
from networks import audio_model as audio_model_lib
from system import atomic
from training import config as config_lib
from training import dataset, train_dir

MAX_REAL_CLIPS = 5000  # that the Frechet distance compares with
OWN_CLASSIFIER = "incept/classifier"  # folder in the train dir


class Scorer:
    """Scores generators by the same latent vectors.

    Args:
      word_classifier: Classifier of words.
      z: Latent vectors, `[num_clips, latent_dim]`.
      sample_rate: Of what the generator makes, in Hz.
      real: Real clips at that rate, `[num_clips, num_samples, channels]`;
        without them there is no Frechet distance.
      splits: Of the inception score.
      words: That labels stand for; clips take turns at them. Empty: no labels.
    """

    def __init__(
        self,
        word_classifier: classifier.Classifier,
        z: np.ndarray,
        sample_rate: int,
        real: np.ndarray | None,
        splits: int = 10,
        words: Sequence[str] = (),
    ) -> None:
        self._classifier = word_classifier
        self._words = words
        self._labels = dataset.labels_in_turn(len(z), len(words))
        if unknown := sorted({*words} - {*word_classifier.words}):
            logging.warning(
                "the classifier does not know %s: clips are not compared with "
                "what was asked for",
                ", ".join(unknown),
            )
        self._compares = bool(words) and not unknown
        self._z = z
        self._sample_rate = sample_rate
        self._splits = splits
        self._real = None if real is None else self._listen(real)[1]

    def __call__(self, generate: Callable[..., tf.Tensor]) -> dict[str, float]:
        """Scores a generator by the inception score, `mean` and `std`.

        With real clips, it adds `fid`, `precision` and `recall`. With labels,
        and if the classifier knows all words, `accuracy`, the share of clips
        that are classified as asked, and that of each word, as
        `accuracy/seven`.

        Args:
          generate: Maps latent vectors to audio; `AudioModel.generate`.
        """
        audio = render.generate_audio(generate, self._z, self._labels)
        heard = []
        while clips := list(itertools.islice(audio, render.BATCH_SIZE)):
            heard.append(self._listen(np.stack(clips)))
        probs, embeddings = map(np.concatenate, zip(*heard, strict=True))
        mean, std = inception.inception_score(probs, self._splits)
        scores = {"mean": mean, "std": std}
        if self._real is not None:
            scores["fid"] = frechet.frechet_distance(embeddings, self._real)
            count = min(len(embeddings), len(self._real))
            if count > coverage.NEAREST_K:
                prdc = coverage.precision_recall_density_coverage(
                    embeddings[:count], self._real[:count]
                )
                scores["precision"] = float(prdc.precision.mean())
                scores["recall"] = float(prdc.recall.mean())
        if self._labels is not None and self._compares:
            heard_words = np.array(self._classifier.words)[probs.argmax(axis=1)]
            right = heard_words == np.array(self._words)[self._labels]
            scores["accuracy"] = float(right.mean())
            for label in np.unique(self._labels):
                share = float(right[self._labels == label].mean())
                scores[f"accuracy/{self._words[label]}"] = share
        return scores

    def _listen(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and features of each clip."""
        return classifier.predict_and_embed(
            self._classifier.model, features.fit(audio, self._sample_rate)
        )


def incept(
    audio_model: audio_model_lib.AudioModel,
    directory: train_dir.TrainDir,
    config: config_lib.RunConfig,
    *,
    classifier_dir: pathlib.Path | None = None,
    num_clips: int = 5000,
    splits: int = 10,
    once: bool = False,
) -> None:
    """Scores every new checkpoint, by the same latent vectors; keeps the best.

    Writes a line of `incept/scores.jsonl` and TensorBoard scalars for each, and
    copies the best so far to `incept/best`, a train dir for the other modes.
    Best is the inception score; the Frechet distance from the training data
    stands beside it while they are there.

    Args:
      audio_model: Built as the config says.
      directory: A train dir; it may be training.
      config: Of its run.
      classifier_dir: What `eval.train_classifier` made. If left out, it is the
        one that comes with the repository; if that one does not know the run's
        words, one is trained from the names of the training files, in
        `incept/classifier`.
      num_clips: To score. Latent vectors are drawn once and kept.
      splits: Of the inception score.
      once: Stop after the newest checkpoint there is.

    Raises:
      FileNotFoundError: There is no classifier; or `once`, and no checkpoint.
      ValueError: Names tell no words; or there are too few clips for a split.

    Source: the paper, section 6.1; the mode `incept` of the authors' code.
    """
    if num_clips < 10 * splits or splits < 1:
        raise ValueError(
            f"--incept_n is {num_clips}: expected at least 10 clips for each "
            f"of --incept_k={splits} splits, 1 or more"
        )
    folder = directory.path / "incept"
    folder.mkdir(exist_ok=True)
    chosen = classifier_dir or default_classifier(directory, config.data.words)
    if chosen:
        word_classifier = classifier.load(chosen)
    else:
        word_classifier = _train_classifier(directory, config.data.dir)
    settings = {"n": num_clips, "k": splits, "classifier": word_classifier.name}
    path = folder / "scores.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [
        row for row in map(json.loads, lines) if settings.items() <= row.items()
    ]
    writer = tf.summary.create_file_writer(str(folder / "logs"))
    with writer.as_default():  # TensorBoard's tab HPARAMS compares runs by them
        hparams.hparams(config_lib.flat(config), directory.path.resolve().name)
    scorer = None
    for step in render.watch(audio_model, directory, once):
        row = next((row for row in rows if row["step"] == step), None)
        best = max((row["mean"] for row in rows), default=0.0)
        if row is None:
            # At once: the trainer keeps but a few.
            draft = directory.copy(step, folder / "draft")
            scorer = scorer or Scorer(
                word_classifier,
                render.fixed_z(
                    folder / "z.npy", num_clips, audio_model.latent_dim
                ),
                config.data.sample_rate,
                dataset.real_clips(config, MAX_REAL_CLIPS),
                splits,
                config.data.words,
            )
            logging.info(
                "step %d: scoring %d clips by the classifier %s",
                step,
                num_clips,
                word_classifier.name,
            )
            scores = scorer(audio_model.generate)
            # Differs from the original: the best is a train dir of its own.
            if scores["mean"] > best:
                atomic.move_folder(draft, folder / "best")
            row = {"step": step, **scores, **settings}
            rows.append(row)
            lines.append(json.dumps(row))
            atomic.write(path, "\n".join([*lines, ""]).encode())
            with writer.as_default(step=step):
                for name, value in scores.items():
                    tf.summary.scalar(f"incept_{name}", value)
            writer.flush()
        best_row = max(rows, key=lambda row: row["mean"])
        more = f", FID {row['fid']:.2f}" if "fid" in row else ""
        if "accuracy" in row:
            more += f", {row['accuracy']:.1%} heard as asked"
        print(
            f"step {step}: inception score {row['mean']:.3f} ± "
            f"{row['std']:.3f}{more} ({num_clips} clips, {splits} splits, "
            f"classifier {word_classifier.name}); best {best_row['mean']:.3f} "
            f"at step {best_row['step']}: {folder / 'best'}",
            flush=True,
        )


def default_classifier(
    directory: train_dir.TrainDir, words: Sequence[str]
) -> pathlib.Path | None:
    """Returns the folder of a run's classifier if the user names none.

    Args:
      directory: The run's train dir.
      words: Words that the classifier must know; none for clips of any kind.

    Returns:
      The classifier that `incept` trained for this run, or else the shipped
      one; None if neither knows all words.
    """
    for folder in (directory.path / OWN_CLASSIFIER, classifier.SHIPPED):
        if (folder / classifier.CARD_NAME).exists():
            known = {w.lower() for w in classifier.read_card(folder)["words"]}
            if known.issuperset(words):
                return folder
    return None


def _train_classifier(
    directory: train_dir.TrainDir, data_dir: str
) -> classifier.Classifier:
    """Trains a classifier on a run's data and keeps it in the train dir."""
    if not data_dir:
        raise ValueError(
            "released weights have no training data: give a classifier by "
            "--incept_classifier"
        )
    logging.info(
        "the classifier that comes with the repository does not know all "
        "words: training one on %s",
        data_dir,
    )
    try:
        result, _ = recipes.train(pathlib.Path(data_dir))
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(
            f"no classifier can be trained ({error}); give one by "
            "--incept_classifier"
        ) from None
    result.save(directory.path / OWN_CLASSIFIER)
    return result
