"""Classifies words: a convolutional network on log-mel spectrograms.

A classifier on disk is a folder of three files: `classifier.keras`, which has
only Keras's own layers, so that it loads in safe mode; `card.json`, which holds
its words, its accuracy and its origin; and the plot `confusion.png`.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from eval import features
from system import atomic

NUM_FRAMES = features.SLICE_LEN // features.HOP_LEN
KERNEL_LEN = 5
# Names of the input layer, by whether clips get the noise floor.
INPUT_NAMES = {True: "log_mel", False: "bare_log_mel"}
PAPER_WIDTHS = (128, 128, 128, 128)
MODEL_NAME, CARD_NAME = "classifier.keras", "card.json"
# The classifier that comes with the repository; it knows the ten digits.
SHIPPED = pathlib.Path(__file__).resolve().parents[1] / "pretrained/classifier"


def build_classifier(
    num_words: int = 10,
    widths: tuple[int, ...] = PAPER_WIDTHS,
    noise_floor: bool = True,
) -> keras.Model:
    """Builds the classifier's network with fresh weights.

    The network normalises each mel band over the batch; then, for each width,
    it applies a 5 x 5 convolution with ReLU, 2 x 2 max pooling and batch
    normalisation (of the flattened maps at the end); a dense layer follows.

    Args:
      num_words: Number of words (classes).
      widths: Channels of each convolution.
      noise_floor: Whether the classifier hears clips with the noise floor of
        `features.add_noise_floor`; the name of the input layer records it.

    Returns:
      Model from log-mel spectrograms `[batch, 128, 128]` to logits
      `[batch, num_words]`.

    Source: the paper, section 6.1; the authors' eval/inception/train.py.
    """
    layers = keras.layers
    log_mel = keras.Input(
        [NUM_FRAMES, features.NUM_MELS], name=INPUT_NAMES[noise_floor]
    )
    x = layers.BatchNormalization(name="batchnorm_0")(log_mel)
    x = layers.Reshape([NUM_FRAMES, features.NUM_MELS, 1], name="image")(x)
    for i, width in enumerate(widths):
        x = layers.Conv2D(
            width,
            KERNEL_LEN,
            padding="same",
            activation="relu",
            name=f"conv_{i}",
        )(x)
        x = layers.MaxPooling2D(name=f"pool_{i}")(x)
        if i == len(widths) - 1:
            x = layers.Flatten(name="flatten")(x)
        x = layers.BatchNormalization(name=f"batchnorm_{i + 1}")(x)
    logits = layers.Dense(num_words, name="logits")(x)
    return keras.Model(log_mel, logits, name="classifier")


def predict(classifier: keras.Model, audio: np.ndarray) -> np.ndarray:
    """Returns the probability of each word for each clip.

    Args:
      classifier: Model that `build_classifier` made.
      audio: One second at 16 kHz, `[batch, 16384]`.

    Returns:
      Probabilities `[batch, num_words]`; rows sum to 1.

    Raises:
      ValueError: `audio` has another shape.
    """
    return predict_and_embed(classifier, audio)[0]


def predict_and_embed(
    classifier: keras.Model, audio: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns word probabilities, and features for distances between sets.

    A feature is the mean over time and frequency of one channel of the last
    pooled feature maps, from which the dense layer computes the logits.

    Args:
      classifier: Model that `build_classifier` made.
      audio: One second at 16 kHz, `[batch, 16384]`.

    Returns:
      Probabilities `[batch, num_words]` and features `[batch, widths[-1]]`.

    Raises:
      ValueError: `audio` has another shape.
    """
    if np.shape(audio)[1:] != (features.SLICE_LEN,):
        raise ValueError(
            f"audio has shape {np.shape(audio)}: expected "
            f"[batch, {features.SLICE_LEN}]"
        )
    run = _graph(classifier)
    bare = classifier.layers[0].name == INPUT_NAMES[False]
    parts = []
    for i in range(0, len(audio), features.BATCH_SIZE):
        clips = audio[i : i + features.BATCH_SIZE]
        clips = clips if bare else features.add_noise_floor(clips)
        parts.append(run(features.log_mel(clips)))
    probs, embeddings = zip(*parts, strict=True)
    return np.concatenate(probs), np.concatenate(embeddings)


@functools.lru_cache(maxsize=2)
def _graph(classifier: keras.Model) -> Any:
    """Compiles the function from log-mels to probabilities and features."""
    pools = [layer for layer in classifier.layers if "pool" in layer.name]
    both = keras.Model(
        classifier.inputs, [classifier.outputs[0], pools[-1].output]
    )

    @tf.function(
        input_signature=[tf.TensorSpec([None, *classifier.input_shape[1:]])]
    )
    def run(log_mel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits, maps = both(log_mel, training=False)
        return tf.nn.softmax(logits), tf.reduce_mean(maps, [1, 2])

    return run


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained word classifier and its description.

    Attributes:
      model: Model that `build_classifier` made.
      card: Contents of `card.json`: `words` in the order of the model's
        outputs, `accuracy` by split, and the classifier's origin.
    """

    model: keras.Model
    card: dict[str, Any]

    @property
    def words(self) -> list[str]:
        """Words that the classifier knows, in the order of its outputs."""
        return self.card["words"]

    @property
    def name(self) -> str:
        """Fingerprint and accuracy, for printing beside every score."""
        split = "test" if "test" in self.card["accuracy"] else "valid"
        return (
            f"{self.card['fingerprint'][:8]} "
            f"({self.card['accuracy'][split]:.1%} on {split})"
        )

    @property
    def by_the_authors(self) -> bool:
        """Whether it is the classifier that the paper's scores are by."""
        return bool(self.card.get("by_the_authors"))

    def save(self, directory: pathlib.Path) -> None:
        """Writes the model and then the card, which marks a complete folder."""
        directory.mkdir(parents=True, exist_ok=True)
        # The same layers without the optimizer, whose state Keras would save.
        model = keras.Model(
            self.model.inputs, self.model.outputs, name=self.model.name
        )
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch, MODEL_NAME)  # Keras wants the suffix
            model.save(path)
            atomic.write(directory / MODEL_NAME, path.read_bytes())
        card = json.dumps(self.card, indent=2) + "\n"
        atomic.write(directory / CARD_NAME, card.encode())


def fingerprint(arrays: Iterable[np.ndarray]) -> str:
    """Returns the SHA-256 digest of arrays, in hexadecimal."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def read_card(directory: pathlib.Path) -> dict[str, Any]:
    """Reads the description of a classifier: words, accuracy and origin."""
    return json.loads((directory / CARD_NAME).read_text())


def load(directory: pathlib.Path) -> Classifier:
    """Loads a trained classifier from its folder.

    Raises:
      FileNotFoundError: The folder holds no classifier.
      ValueError: The classifier's files are damaged.
    """
    try:
        card = read_card(directory)
        model = keras.models.load_model(
            directory / MODEL_NAME, compile=False, safe_mode=True
        )
        fits = len(card["words"]) == model.output_shape[-1]
        if not (fits and card["accuracy"] and card["fingerprint"]):
            raise ValueError("model and card do not fit")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{directory} holds no classifier ({CARD_NAME} is missing): train "
            f"one with `python -m eval.train_classifier DATA_DIR --out "
            f"{directory}`"
        ) from None
    except (KeyError, TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"the classifier in {directory} is damaged ({reason}): train it "
            "anew with `python -m eval.train_classifier`"
        ) from None
    return Classifier(model, card)
