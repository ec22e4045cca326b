"""Builds networks in the layout of DCGAN, in one or two dimensions.

WaveGAN has this layout in one dimension, SpecGAN in two. The generator enlarges
a small feature map of many channels layer by layer to the size of its output;
the discriminator mirrors it.

Source: Radford et al. (2016); appendix D of the paper.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from networks import audio_model, leaky_relu, replicas, upsampling
from system import settings
from system.settings import setting

MAX_WEIGHTS = 2**31  # largest number of weights of a network


@dataclasses.dataclass(frozen=True)
class Config(audio_model.Config):
    """The settings that the networks of WaveGAN and SpecGAN share."""

    kernel_len: int = setting(25, "Number of taps of a convolution.", low=1)
    dim: int = setting(
        64,
        "Number of channels of the discriminator's first layer; it doubles "
        "with each layer.",
        flag="*_dim",
        low=1,
    )
    batchnorm: bool = setting(
        False,
        "Use batch normalisation between layers, as DCGAN does.",
        flag="*_batchnorm",
    )
    upsample: str = setting(
        "zeros",
        "Upsampling of the generator's layers: a transposed convolution "
        "(zeros), or nearest-neighbour (nn), linear or cubic interpolation "
        "before a convolution; table 1 of the paper has all four.",
        flag="*_genr_upsample",
        choices=upsampling.KINDS,
    )
    phaseshuffle: int = setting(
        0, "Radius of phase shuffle in time steps; 0: no phase shuffle.", low=0
    )
    dropout: float = setting(
        0.0,
        "Share of the discriminator's feature maps that is dropped, in [0, 1); "
        "0.5 in table 1 of the paper.",
        flag="*_disc_dropout",
        low=0,
        below=1,
    )

    @property
    def size(self) -> str:
        """Describes the size of the networks in a few words."""
        return f"dim {self.dim}"

    @property
    def widths(self) -> tuple[int, ...]:
        """Output channels of the critic's strided layers, in order of use."""
        raise NotImplementedError

    @property
    def example_channels(self) -> int:
        """Number of channels of what the generator makes."""
        return self.channels

    def check(self, first_size: int, num_taps: int, shortest: int) -> None:
        """Checks what depends on several fields.

        Args:
          first_size: Number of positions in the generator's first feature map.
          num_taps: Number of weights of a convolution for each pair of
            channels.
          shortest: Number of time steps of the shortest feature map that phase
            shuffle moves.

        Raises:
          SettingError: The radius of phase shuffle is too large, or a network
            would have too many weights.
        """
        settings.check_value(
            "phaseshuffle", self.phaseshuffle, low=0, high=shortest - 1
        )
        # An untrusted config must not use up all memory.
        widths = (self.example_channels, *self.widths)
        num_inputs = self.latent_dim + self.num_labels
        num_weights = first_size * widths[-1] * num_inputs + sum(
            num_taps * first * second
            for first, second in itertools.pairwise(widths)
        )
        if num_weights > MAX_WEIGHTS:
            raise settings.SettingError(
                "dim",
                self.dim,
                "a smaller network: with the other settings, it would have "
                f"{num_weights:,} weights, more than {MAX_WEIGHTS:,}",
            )


def generate(
    config: Config,
    first_shape: tuple[int, ...],
    upconv: Callable[[Any, int, int], Any],
) -> tuple[Any, Any]:
    """Builds a generator up to its tanh.

    Args:
      config: Architecture of the network.
      first_shape: Shape of the first feature map, without batch and channels.
      upconv: Function that applies an upsampling layer, given its input, its
        number of output channels and its index.

    Returns:
      Input of the generator, z `[batch, latent_dim]`, or with labels `[z,
      label]`, where label is int32, `[batch]`; and its output, in [-1, 1].
    """
    norms = _BatchNorms(config.batchnorm, keras.layers.BatchNormalization)
    widths = config.widths[::-1]
    z = keras.Input((config.latent_dim,), name="z")
    size = math.prod(first_shape) * widths[0]
    x = keras.layers.Dense(size, name="z_project")(z)
    inputs: Any = z
    if config.num_labels:
        label = label_input()
        inputs = [z, label]
        # At the start, the label contributes the same variance as z.
        spread = math.sqrt(2 * config.latent_dim / (config.latent_dim + size))
        x = keras.layers.Add()(
            [
                x,
                LabelEmbedding(
                    config.num_labels,
                    size,
                    embeddings_initializer=keras.initializers.RandomUniform(
                        -spread, spread
                    ),
                    name="label_project",
                )(label),
            ]
        )
    x = keras.layers.Reshape((*first_shape, widths[0]))(x)
    x = keras.layers.ReLU()(norms(x))
    outputs = (*widths[1:], config.example_channels)
    for i, width in enumerate(outputs):
        x = upconv(x, width, i)
        if i < len(outputs) - 1:
            x = keras.layers.ReLU()(norms(x))
    # The output of a network is float32 in every precision.
    return inputs, keras.layers.Activation("tanh", dtype="float32")(x)


def discriminate(
    config: Config,
    x: Any,
    downconv: Callable[[Any, int, int], Any],
    shuffle: Callable[[Any], Any],
) -> tuple[Any, Any]:
    """Builds a discriminator from its input to its scores.

    Args:
      config: Architecture of the network.
      x: Input, `[batch, ..., channels]`.
      downconv: Function that applies a strided layer, given its input, its
        number of output channels and its index.
      shuffle: Function that applies phase shuffle.

    Returns:
      Input of the discriminator, x, or with labels `[x, label]`, where label is
      int32, `[batch]`; and raw scores, `[batch]`.
    """
    inputs: Any = x
    norms = _BatchNorms(config.batchnorm, BatchOnlyNormalization)
    for i, width in enumerate(config.widths):
        x = downconv(x, width, i)
        if i > 0:
            x = norms(x)
        x = leaky_relu.LeakyReLU(negative_slope=0.2)(x)
        if config.dropout:
            x = MapDropout(config.dropout)(x)
        if config.phaseshuffle and i < len(config.widths) - 1:
            x = shuffle(x)
    x = keras.layers.Flatten()(x)
    label = label_input() if config.num_labels else None
    if label is not None:
        inputs = [inputs, label]
    return inputs, score(x, label, config.num_labels)


def mix_labels(network: keras.Model) -> Callable[..., tf.Tensor]:
    """Returns a network that takes mixtures of labels.

    The vectors that the network learned for the labels are averaged with the
    given weights. All weight on one label is the same as that label.

    Args:
      network: Model of inputs of which the last is the label.

    Returns:
      A function of the same inputs, but with the share of each label, `[batch,
      num_labels]`, in the label's place.
    """
    embedding = network.get_layer("label_project")
    *others, _ = network.inputs
    rest = keras.Model([*others, embedding.output], network.output)

    def call(inputs: list[tf.Tensor], training: bool = False) -> tf.Tensor:
        *given, shares = inputs
        return rest([*given, embedding.mix(shares)], training=training)

    return call


def label_input() -> Any:
    """Makes an input for the label of each example, int32, `[batch]`."""
    return keras.Input((), dtype="int32", name="label")


def num_labels(network: keras.Model) -> int:
    """Returns the number of labels of a network, 0 if it takes no labels."""
    if len(network.inputs) == 1:
        return 0
    return network.get_layer("label_project").input_dim


def score(features: Any, label: Any, num_labels: int) -> Any:
    """Builds the layers from a discriminator's features to its scores.

    With labels, the dot product of the features with a learned vector of the
    label is added to the score. It measures how well they fit the label.

    Args:
      features: Features of each example, `[batch, size]`.
      label: Label of each example, `[batch]`; None without labels.
      num_labels: Number of labels.

    Returns:
      Raw scores, `[batch]`.

    Source: Miyato and Koyama (2018), "cGANs with Projection Discriminator",
    equation 3.
    """
    x = keras.layers.Dense(1, dtype="float32", name="output")(features)
    if label is not None:
        projection = LabelEmbedding(
            num_labels,
            features.shape[1],
            embeddings_initializer="glorot_uniform",
            dtype="float32",
            name="label_project",
        )(label)
        fit = keras.layers.Dot(axes=1, dtype="float32")([features, projection])
        x = keras.layers.Add(dtype="float32")([x, fit])
    return keras.layers.Reshape((), dtype="float32")(x)


@keras.saving.register_keras_serializable("wavegan")
class LabelEmbedding(keras.layers.Embedding):
    """An embedding computed by a matrix product, which has dense gradients."""

    def call(self, label: tf.Tensor) -> tf.Tensor:
        """Returns the vectors, `[batch, output_dim]`, of labels, `[batch]`."""
        return self.mix(tf.one_hot(label, self.input_dim))

    def mix(self, shares: tf.Tensor) -> tf.Tensor:
        """Averages the labels' vectors with weights, `[batch, input_dim]`."""
        shares = tf.cast(shares, self.compute_dtype)
        return shares @ tf.cast(self.embeddings, self.compute_dtype)


@keras.saving.register_keras_serializable("wavegan")
class BatchOnlyNormalization(keras.layers.BatchNormalization):
    """Normalises by the moments of the batch, in training and in inference.

    Its moving averages are never updated; they exist only so that the layout of
    weights is that of Keras's batch normalisation.

    Source: the authors' code, for the discriminator.
    """

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Normalises each channel of `[..., channels]`."""
        del training
        axes = list(range(x.shape.rank - 1))
        # Differs from the original: TensorFlow's moments treat the mean as a
        # constant, which makes the second derivatives of a slope penalty wrong.
        (mean,) = replicas.mean([tf.reduce_mean(x, axes)])
        (variance,) = replicas.mean([tf.reduce_mean((x - mean) ** 2, axes)])
        return tf.nn.batch_normalization(
            x, mean, variance, self.beta, self.gamma, self.epsilon
        )


@keras.saving.register_keras_serializable("wavegan")
class MapDropout(keras.layers.Dropout):
    """Drops whole feature maps: all positions of a map share one mask.

    Source: Tompson et al. (2015), "Efficient Object Localization", section 3.2,
    as Keras's SpatialDropout1D and 2D; the authors' code, for table 1.
    """

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Drops feature maps of `[batch, ..., channels]` in training."""
        if not training:
            return x
        batch = x.shape[0] or tf.shape(x)[0]
        shape = [1] * (x.shape.rank - 2) + [x.shape[-1]]
        masks = keras.random.dropout(
            tf.ones([batch * replicas.count(), *shape], x.dtype),
            self.rate,
            seed=self.seed_generator,
        )
        return x * replicas.own_rows(masks)


class _BatchNorms:
    """Applies batch normalisations named in the order of use, if enabled.

    Args:
      enabled: Whether to normalise.
      kind: Class of the layers.
    """

    def __init__(self, enabled: bool, kind: type[keras.layers.Layer]) -> None:
        self._enabled = enabled
        self._kind = kind
        self._count = 0

    def __call__(self, x: Any) -> Any:
        if not self._enabled:
            return x
        # The constants of TensorFlow 1. They are Keras's defaults today, but
        # these may change.
        norm = self._kind(
            momentum=0.99,
            epsilon=1e-3,
            synchronized=replicas.count() > 1,
            name=f"batchnorm_{self._count}",
        )
        self._count += 1
        return norm(x)
