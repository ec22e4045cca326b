"""Trains word classifiers: recipes, the training loop, and the card."""

import dataclasses
import pathlib
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import loader
from eval import classifier, features, labels
from system import device

CHUNK_LEN = 512  # clips that are decoded at a time
PRINT_SECS = 15  # between two reports of progress
MAX_SHIFT = 1600  # samples, a tenth of a second
# Level of added noise relative to the clip's RMS. At the lower end it is
# inaudible under the noise floor of `features.add_noise_floor`.
NOISE_DB = (-110.0, -10.0)
GAIN_DB = (-12.0, 6.0)
# Some clips, loud or quiet, get noise at -20 dB SNR and are labelled uniformly:
# each word has the same probability.
LOW_SNR_SHARE, LOW_SNR_NOISE_DB, LOW_SNR_GAIN_DB = 0.05, 20.0, (-50.0, 6.0)
# Some clips are low-passed to the bandwidth of a telephone or more, because
# generators at a lower sampling rate have such bandwidths.
NARROW_SHARE, NARROW_BAND = 0.25, (0.4, 1.0)  # as a share of 8 kHz


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings of a classifier's training.

    Attributes:
      widths: Channels of each convolution.
      optimizer: Function from the number of updates to an optimizer.
      num_updates: Number of updates of the weights.
      check_every: Number of updates between two validations.
      augment: Whether to move each clip by up to a tenth of a second, change
        its level and add white noise, which masks some clips (-20 dB SNR), and
        to low-pass some clips.
      batch_size: Number of clips in an update.
    """

    widths: tuple[int, ...]
    optimizer: Callable[[int], keras.optimizers.Optimizer]
    num_updates: int
    check_every: int
    augment: bool
    batch_size: int = 64


def _adam(num_updates: int) -> keras.optimizers.Optimizer:
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-6, num_updates, warmup_target=2e-3, warmup_steps=num_updates // 10
    )
    return keras.optimizers.Adam(schedule)


def _sgd(num_updates: int) -> keras.optimizers.Optimizer:
    del num_updates
    return keras.optimizers.SGD(1e-4)


# The authors stopped where accuracy on the validation set was best: the
# checkpoint that they published is from update 103,005. An epoch of SC09 has
# 291 batches.
RECIPES = {
    "quick": Recipe((16, 32, 64, 128), _adam, 1000, 50, augment=True),
    "paper": Recipe(classifier.PAPER_WIDTHS, _sgd, 103005, 291, augment=False),
}


def train(
    data_dir: pathlib.Path, recipe_name: str = "quick", seed: int = 0
) -> tuple[classifier.Classifier, np.ndarray]:
    """Trains a classifier and keeps its best weights on the validation set.

    Args:
      data_dir: Folder of labelled audio, as `labels.find` expects it.
      recipe_name: Name of a recipe in RECIPES.
      seed: Seed of weights, order and augmentation.

    Returns:
      The classifier, and its confusion matrix on the validation set: numbers of
      clips, `[labelled word, predicted word]`.

    Raises:
      FileNotFoundError: The folder does not exist.
      ValueError: Names of files hold no words, or a file cannot be decoded.
    """
    recipe = RECIPES[recipe_name]
    words, splits = labels.find(data_dir)
    num_clips = sum(len(split.paths) for split in splits.values())
    print(
        f"{data_dir}: reading {num_clips:,} clips of {len(words)} words; then "
        f"{recipe.num_updates:,} updates",
        device.describe(),
        sep="\n",
        file=sys.stderr,
    )
    started = time.monotonic()
    audio = {name: _decode(split.paths) for name, split in splits.items()}
    keras.utils.set_random_seed(seed)
    model = classifier.build_classifier(len(words), recipe.widths)
    model.compile(
        recipe.optimizer(recipe.num_updates),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    valid = loader.from_int16(audio["valid"])
    valid_labels = np.array(splits["valid"].labels)
    model.fit(
        _batches(audio["train"], splits["train"].labels, recipe, seed),
        steps_per_epoch=recipe.check_every,
        epochs=-(-recipe.num_updates // recipe.check_every),
        validation_data=(
            features.log_mel(features.add_noise_floor(valid)),
            np.eye(len(words))[valid_labels],
        ),
        callbacks=[
            _KeepBest(),
            _Progress(),
            keras.callbacks.TerminateOnNaN(),
        ],
        shuffle=False,  # the batches are already shuffled
        verbose=0,
    )
    probs = {
        name: classifier.predict(model, loader.from_int16(clips))
        for name, clips in audio.items()
    }
    rated = {
        name: rate(probs[name], np.array(split.labels))
        for name, split in splits.items()
    }
    card = {
        "words": words,
        "recipe": recipe_name,
        "seed": seed,
        "num_clips": {name: len(clips) for name, clips in audio.items()},
        **{
            key: {name: scores[key] for name, scores in rated.items()}
            for key in rated["valid"]
        },
        "data": str(data_dir),
        "data_fingerprint": classifier.fingerprint(
            [audio[name] for name in labels.SPLITS if name in audio]
        ),
        "fingerprint": classifier.fingerprint(model.get_weights()),
        "seconds": round(time.monotonic() - started, 1),
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }
    confusion = np.zeros([len(words), len(words)], int)
    np.add.at(confusion, (valid_labels, probs["valid"].argmax(1)), 1)
    return classifier.Classifier(model, card), confusion


def rate(probs: np.ndarray, true_labels: np.ndarray) -> dict[str, float]:
    """Measures a classifier's accuracy, cross-entropy and calibration.

    Args:
      probs: Predicted probabilities, `[num_clips, num_words]`.
      true_labels: Index of each clip's word, `[num_clips]`.

    Returns:
      `accuracy`; `cross_entropy`, the mean in nats; `calibration_error`, the
      expected calibration error: the mean distance between confidence and
      accuracy over 15 bins of confidence.

    Source: Guo et al., arXiv:1706.04599, for the calibration error.
    """
    right = probs.argmax(1) == true_labels
    chosen = probs[np.arange(len(true_labels)), true_labels]
    bins = np.minimum((probs.max(1) * 15).astype(int), 14)
    gaps = np.bincount(bins, weights=probs.max(1) - right)
    return {
        "accuracy": float(right.mean()),
        "cross_entropy": float(-np.log(np.maximum(chosen, 1e-12)).mean()),
        "calibration_error": float(np.abs(gaps).sum() / len(true_labels)),
    }


def _decode(paths: list[str]) -> np.ndarray:
    """Decodes the first second of each file, int16 `[num_clips, 16384]`."""
    return np.concatenate(
        [
            loader.to_int16(features.load(paths[i : i + CHUNK_LEN]))
            for i in range(0, len(paths), CHUNK_LEN)
        ]
    )


def _batches(
    audio: np.ndarray, true_labels: list[int], recipe: Recipe, seed: int
) -> tf.data.Dataset:
    """Makes an endless stream of batches, reshuffled every epoch.

    A batch is log-mel spectrograms `[batch, 128, 128]` and target probabilities
    `[batch, num_words]`.
    """
    rng = np.random.default_rng(seed)
    num_drawn = recipe.num_updates * recipe.batch_size
    num_epochs = -(-num_drawn // len(audio))
    order = np.concatenate(
        [rng.permutation(len(audio)) for _ in range(num_epochs)]
    )[:num_drawn].reshape(-1, recipe.batch_size)
    clips = tf.constant(audio)
    words = tf.one_hot(true_labels, max(true_labels) + 1)

    @tf.autograph.experimental.do_not_convert  # conversion takes seconds
    def load(step: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = tf.cast(tf.gather(clips, chosen), tf.float32) / 32768
        target = tf.gather(words, chosen)
        if recipe.augment:
            key = tf.stack([tf.cast(seed, tf.int64), step])
            batch, low_snr = augment(batch, key)
            target = tf.where(low_snr, 1 / target.shape[1], target)
        batch = features.add_noise_floor(batch)
        return features.log_mel_tensor(batch), target

    steps = tf.data.Dataset.from_tensor_slices(order).enumerate()
    return steps.repeat().map(load, tf.data.AUTOTUNE).prefetch(2)


def augment(audio: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Moves clips in time, changes levels, adds noise and low-passes some.

    Args:
      audio: Clips at 16 kHz, `[batch, num_samples]`.
      seed: Seed of the random draws, two integers.

    Returns:
      The augmented clips, `[batch, num_samples]`, and which of them got noise
      at -20 dB SNR, boolean, `[batch, 1]`.
    """
    batch, length = audio.shape[0], audio.shape[1]
    seeds = tf.random.split(seed, 7)
    moves = tf.random.stateless_uniform(
        [batch], seeds[0], 0, 2 * MAX_SHIFT + 1, tf.int32
    )
    padded = tf.pad(audio, [[0, 0], [MAX_SHIFT, MAX_SHIFT]])
    at = moves[:, None] + tf.range(length)
    audio = tf.gather(padded, at, batch_dims=1)

    def draw(purpose: int, ends: tuple[float, float] = (0, 1)) -> tf.Tensor:
        return tf.random.stateless_uniform([batch, 1], seeds[purpose], *ends)

    low_snr = draw(1) < LOW_SNR_SHARE
    noise_db = tf.where(low_snr, LOW_SNR_NOISE_DB, draw(2, NOISE_DB))
    gain_db = tf.where(low_snr, draw(3, LOW_SNR_GAIN_DB), draw(3, GAIN_DB))
    rms = tf.sqrt(tf.reduce_mean(audio**2, axis=1, keepdims=True))
    noise = tf.random.stateless_normal([batch, length], seeds[4])
    audio = _gain(gain_db) * (audio + rms * _gain(noise_db) * noise)
    band = tf.where(draw(5) < NARROW_SHARE, draw(6, NARROW_BAND), 1)
    passed = tf.linspace(0.0, 1.0, length // 2 + 1) <= band
    spectra = tf.signal.rfft(audio) * tf.cast(passed, tf.complex64)
    return tf.signal.irfft(spectra, [length]), low_snr


def _gain(decibels: tf.Tensor) -> tf.Tensor:
    """Converts decibels to a factor of amplitude."""
    return 10 ** (decibels / 20)


class _Progress(keras.callbacks.Callback):
    """Prints how many updates are done and how long the others will take."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.num_done = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.num_done += 1
        now = time.monotonic()
        if self.num_done == 1:  # the first update takes longer: it compiles
            self.started = self.printed = now
        elif now - self.printed >= PRINT_SECS:
            self.printed = now
            num_updates = self.params["epochs"] * self.params["steps"]
            pace = (now - self.started) / (self.num_done - 1)
            secs = (num_updates - self.num_done) * pace
            left = f"{secs / 60:.0f} min" if secs > 90 else f"{secs:.0f} s"
            print(
                f"update {self.num_done:,} of {num_updates:,}, about {left} "
                "left",
                file=sys.stderr,
            )


class _KeepBest(keras.callbacks.Callback):
    """Prints each validation and restores the weights that scored best."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.best, self.weights = (-1.0, 0.0), None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        score = logs["val_accuracy"], -logs["val_loss"]
        if score > self.best:
            self.best, self.weights = score, self.model.get_weights()
        print(
            f"check {epoch + 1} of {self.params['epochs']}: accuracy "
            f"{logs['accuracy']:.1%} in training, {score[0]:.1%} on valid, "
            f"cross-entropy {-score[1]:.3f}",
            file=sys.stderr,
        )

    def on_train_end(self, logs: Any = None) -> None:
        self.model.set_weights(self.weights)
