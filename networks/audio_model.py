"""Defines the base class of all models, which trainer and modes work with."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from system.settings import setting

LARGEST = 1 - 1e-6  # of a uniform number, whose normal one is 4.9
Networks = Mapping[str, Callable[..., Any]]


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings that the networks of all models share."""

    slice_len: int = setting(16384, "Number of samples of a clip.")
    channels: int = setting(1, "Number of audio channels.", low=1)
    latent_dim: int = setting(
        100, "Size of the latent vector z.", flag="*_latent_dim", low=1
    )
    num_labels: int = setting(
        0,
        "Number of labels; the networks get the label of each clip. 0: no "
        "labels, as in the paper.",
        low=0,
    )

    @property
    def size(self) -> str:
        """Describes the size of the networks in a few words."""
        raise NotImplementedError


class AudioModel(keras.Model):
    """Networks that learn to generate audio.

    A subclass has `train_step`, which takes batches of real clips, updates the
    weights, and returns losses by name; and `generate_by`. It makes random
    draws from `seed` and `step` alone, so that restoring these, the weights
    and the optimizers resumes a run exactly.

    Args:
      latent_dim: Size of z, which is uniform in [-1, 1).
      num_labels: Number of labels that the networks know; 0: no labels.
      seed: Seed of all random draws.

    Attributes:
      latent_dim: As given.
      num_labels: As given.
      step: Number of training steps so far, an int64 variable, `[]`.
      seed: Seed of all random draws, an int64 variable, `[]`.
      first_nonfinite_step: The first step with a non-finite loss or gradient,
        an int64 variable, `[]`; the largest int64 while there is none.
      generating: Names of the networks that `generate` uses.
    """

    generating: tuple[str, ...] = ("generator",)

    def __init__(
        self, *, latent_dim: int, num_labels: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.num_labels = num_labels
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        self.seed = tf.Variable(
            seed, trainable=False, dtype=tf.int64, name="seed"
        )
        self.first_nonfinite_step = tf.Variable(
            tf.int64.max, trainable=False, name="first_nonfinite_step"
        )
        self.built = True  # otherwise `fit` tries to build it by calling it

    @property
    def networks(self) -> dict[str, keras.Model]:
        """All networks with weights, by their names in files.

        One of them is "generator". A network that takes labels has the layer
        "label_project", a `dcgan.LabelEmbedding`, and the label as its last
        input.
        """
        raise NotImplementedError

    @property
    def averages(self) -> dict[str, keras.Model]:
        """Running averages of networks, by the names of these networks."""
        return {}

    @property
    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """All optimizers, once compiled, by their names in checkpoints."""
        raise NotImplementedError

    @property
    def has_bounded_loss(self) -> bool:
        """Whether `d_loss` of a perfect discriminator is 0."""
        return False

    def from_audio(self, audio: tf.Tensor) -> tf.Tensor:
        """Converts audio to the networks' representation: here, audio.

        Args:
          audio: Clips, `[batch, slice_len, channels]`.
        """
        return audio

    def to_audio(self, examples: tf.Tensor) -> tf.Tensor:
        """Converts the networks' representation to audio."""
        return examples

    def generate_by(self, networks: Networks, z: Any, label: Any = None) -> Any:
        """Generates examples by the given networks.

        Only `keras.ops` and networks are called, so that it takes symbolic
        tensors, too.

        Args:
          networks: Those of `generating`, by name: this model's, or others that
            take and return the same, such as copies in stock Keras layers.
          z: Latent vectors, `[batch, latent_dim]`.
          label: Label of each clip, int32, `[batch]`, or what the networks take
            in its place; None without labels.

        Returns:
          Examples, as `to_audio` takes them.
        """
        return networks["generator"](with_label(z, label), training=False)

    def generate(
        self, z: tf.Tensor, label: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Generates audio by the averaged weights.

        Args:
          z: Latent vectors, `[batch, latent_dim]`.
          label: Label of each clip, int32, `[batch]`; None without labels.

        Returns:
          Audio, `[batch, slice_len, channels]`.
        """
        if label is not None:
            label = tf.cast(label, tf.int32)
        z = tf.convert_to_tensor(z)
        return self.to_audio(
            self.generate_by(self.generating_networks, z, label)
        )

    @property
    def generating_networks(self) -> dict[str, keras.Model]:
        """The networks that `generate` uses, averaged if they are."""
        networks = {**self.networks, **self.averages}
        return {name: networks[name] for name in self.generating}

    def note_nonfinite(self, number: tf.Tensor) -> None:
        """Records the first step with a non-finite loss or gradient.

        A loss is NaN if a gradient was not finite (`replicas.apply_gradients`).
        Training does not wait for the result, which is read before each save.

        Args:
          number: The sum of the step's losses.
        """
        finite = tf.math.is_finite(number)
        step = tf.where(finite, tf.int64.max, self.step + 1)
        first = tf.minimum(self.first_nonfinite_step, step)
        self.first_nonfinite_step.assign(first)

    def save_own_variables(self, store: Any) -> None:
        """Adds what `save_weights` needs to continue with the same draws."""
        store["step"], store["seed"] = self.step.numpy(), self.seed.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Restores what `save_own_variables` saved."""
        self.step.assign(store["step"][()])
        self.seed.assign(store["seed"][()])

    def get_config(self) -> Any:
        """Raises a NotImplementedError: Keras cannot save it as a whole."""
        name = type(self).__name__
        raise NotImplementedError(
            f"Keras cannot save a {name} as a whole: use save_weights(path), "
            "ModelCheckpoint(save_weights_only=True), or networks[name].save"
        )


def with_label(x: Any, label: Any) -> Any:
    """Returns the inputs of a network: x, or x and the labels if not None."""
    return x if label is None else [x, label]


def to_normal(uniform: Any) -> Any:
    """Maps numbers uniform in [-1, 1) to standard normal ones, in order.

    This is the inverse of the normal distribution function.

    Args:
      uniform: Uniform numbers, of any shape.
    """
    uniform = keras.ops.clip(uniform, -LARGEST, LARGEST)
    return math.sqrt(2) * keras.ops.erfinv(uniform)


def update_average(
    average: keras.Model, network: keras.Model, decay: float, step: tf.Tensor
) -> None:
    """Moves an exponential running average of weights towards a network's.

    The decay at step t is min(decay, (1 + t) / (10 + t)), so that the random
    weights of the start are soon forgotten.
    """
    age = tf.cast(step, tf.float32)
    decay = tf.minimum(decay, (1 + age) / (10 + age))
    for mean, variable in zip(average.weights, network.weights, strict=True):
        mean.assign(decay * mean + (1 - decay) * variable)


def average_of(network: keras.Model) -> keras.Model:
    """Returns a copy of a network, to be moved by `update_average` alone."""
    average = keras.models.clone_model(network)
    average.set_weights(network.get_weights())
    average.trainable = False
    return average
