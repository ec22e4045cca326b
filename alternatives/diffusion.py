"""Builds a diffusion model of audio: noise becomes a clip in small steps.

A clip x mixed with noise e is z = a x + b e, where a = cos(pi t / 2) and b =
sin(pi t / 2): the clip at time t = 0, pure noise at t = 1. A network learns to
predict the velocity v = a e - b x from z, which gives both: x = a z - b v, and
e = b z + a v. Generation starts from noise, and moves towards the predicted
clip again and again, without any further draws.

Samples are folded into channels, so that the network has few positions to look
at, and is cheap enough for a CPU.

Source: Ho et al. (2020), "Denoising Diffusion Probabilistic Models"; Nichol and
Dhariwal (2021) for the schedule; Salimans and Ho (2022), "Progressive
Distillation for Fast Sampling of Diffusion Models", for the velocity; Song et
al. (2021), "Denoising Diffusion Implicit Models", for the sampling; Kong et al.
(2021), "DiffWave"; Ho and Salimans (2022), "Classifier-Free Diffusion
Guidance".
"""

import dataclasses
import itertools
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alternatives import unet
from networks import audio_model, replicas
from networks import random as random_lib
from system import settings
from system.settings import setting

FOLD = 32  # samples that are channels of one position
# Of samples, so that all levels of the network are whole.
MULTIPLE = FOLD * unet.STRIDE ** (len(unet.MULTIPLES) - 1)
# Half of the power of speech lies below 500 Hz. The filter 1 - 0.9 / z evens
# that out, or noise would hide the soft high frequencies until the last steps.
EMPHASIS = 0.9
# Filtered speech with peaks of 1 has an RMS of 0.04 (FSDD) to 0.06 (Speech
# Commands). Multiplied by this, it has about half the RMS of the noise.
SCALE = 10.0
LIMIT = SCALE * (1 + EMPHASIS)  # of a sample that is filtered and scaled
LEARNING_RATE = 5e-4
EMA_DECAY = 0.999


@dataclasses.dataclass(frozen=True)
class DiffusionConfig(audio_model.Config):
    """The architecture of the network, and how clips are drawn from it.

    Raises:
      SettingError: A setting is out of its range.
    """

    slice_len: int = setting(
        16384,
        f"Number of samples of a clip, a multiple of {MULTIPLE}.",
        flag="data_slice_len",
        low=MULTIPLE,
        high=2**20,
    )
    channels: int = setting(
        1,
        "Number of audio channels.",
        flag="data_num_channels",
        low=1,
        high=64,
    )
    latent_dim: int = setting(
        0, "Size of z, which has one number for each sample of a clip."
    )
    dim: int = setting(
        64,
        "Number of channels of the network's first level, a multiple of "
        f"{unet.GROUPS}; the others have "
        f"{', '.join(map(str, unet.MULTIPLES[1:]))} times "
        "as many.",
        flag="*_dim",
        low=unet.GROUPS,
        high=1024,
    )
    label_dropout: float = setting(
        0.1,
        "Share of the clips of which training does not tell the label, so that "
        "the network knows clips of any label too.",
        flag="*_label_dropout",
        low=0,
        high=1,
    )
    sampling_steps: int = setting(
        25,
        "Number of steps from noise to a clip.",
        flag="*_steps",
        low=1,
        high=1000,
        resumable=True,
    )
    guidance: float = setting(
        2.0,
        "Weight of a clip's label: 1 is what was learned; more makes words "
        "clearer and voices fewer; 0 ignores the label.",
        flag="*_guidance",
        low=0,
        high=100,
        resumable=True,
    )

    def __post_init__(self) -> None:
        """Checks all settings, and sets the size of z."""
        settings.check(self)
        for name, multiple in (("slice_len", MULTIPLE), ("dim", unet.GROUPS)):
            value = getattr(self, name)
            if value % multiple:
                raise settings.SettingError(
                    name, value, f"a multiple of {multiple}"
                )
        object.__setattr__(self, "latent_dim", self.slice_len * self.channels)

    @property
    def size(self) -> str:
        """Describes the size of the networks in a few words."""
        return f"dim {self.dim}"


# The process -----------------------------------------------------------------


def mix(clip: Any, noise: Any, time: Any) -> tuple[Any, Any]:
    """Mixes clips with noise.

    Args:
      clip: Clips.
      noise: Noise of the same shape.
      time: Share of the way from clip to noise, of a shape that fits.

    Returns:
      Noisy clips, and their velocities.

    Source: Salimans and Ho (2022), section 4 and appendix D.
    """
    angle = time * (math.pi / 2)
    a, b = keras.ops.cos(angle), keras.ops.sin(angle)
    return a * clip + b * noise, a * noise - b * clip


def move(noisy: Any, velocity: Any, now: float, then: float) -> Any:
    """Moves noisy clips from one time to an earlier one, along a fixed path.

    Samples of the predicted clip are kept within the range that they can have.

    Args:
      noisy: Noisy clips at time `now`.
      velocity: Their velocities, as predicted.
      now: A time above 0.
      then: A time from 0 to below `now`.

    Returns:
      Noisy clips at time `then`.

    Source: Song et al. (2021), equation 12 without noise.
    """
    a, b = math.cos(math.pi / 2 * now), math.sin(math.pi / 2 * now)
    clip = keras.ops.clip(noisy * a - velocity * b, -LIMIT, LIMIT)
    noise = (noisy - clip * a) * (1 / b)
    a, b = math.cos(math.pi / 2 * then), math.sin(math.pi / 2 * then)
    return clip * a + noise * b


def to_normal(z: Any) -> Any:
    """Converts uniform numbers in [-1, 1) to normally distributed ones.

    Larger ones, up to 2, are on the arc between two latent vectors. They are
    reflected at 1, so that noise half-way is much like other noise.
    """
    ops = keras.ops
    size = 1 - ops.absolute(1 - ops.absolute(z))
    return audio_model.to_normal(ops.sign(z) * size)


def emphasise(audio: Any) -> Any:
    """Amplifies high frequencies: subtracts 0.9 times the sample before.

    Args:
      audio: Audio, `[batch, time, channels]`.
    """
    return audio - _delay(audio, 1) * EMPHASIS


def deemphasise(audio: Any) -> Any:
    """Inverts `emphasise`, but for what is 220 dB softer.

    The sum of 0.9^k times the sample k before is a product of delays by powers
    of two.
    """
    for k in (1, 2, 4, 8, 16, 32, 64, 128):
        audio = audio + _delay(audio, k) * EMPHASIS**k
    return audio


def _delay(audio: Any, steps: int) -> Any:
    """Delays audio, `[batch, time, channels]`, by a number of samples."""
    return keras.ops.pad(audio[:, :-steps], [(0, 0), (steps, 0), (0, 0)])


class Diffusion(audio_model.AudioModel):
    """A model that learns to take noise out of clips.

    Args:
      config: Architecture of the network, and how clips are drawn from it.
      ema_decay: Decay of the running average of the weights, with which clips
        are generated; 0: 0.999.
      seed: Seed of all random draws.

    Attributes:
      config: As given.
      generator: The network that predicts velocities.
      generator_optimizer: Its optimizer, made by `compile`.
    """

    def __init__(
        self, config: DiffusionConfig, *, ema_decay: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__(
            latent_dim=config.latent_dim,
            num_labels=config.num_labels,
            seed=seed,
        )
        settings.check_value("ema_decay", ema_decay, low=0, below=1)
        self.config = config
        self.ema_decay = ema_decay or EMA_DECAY
        self.generator = unet.build(
            (config.slice_len // FOLD, FOLD * config.channels),
            config.dim,
            config.num_labels,
        )
        self._average = audio_model.average_of(self.generator)
        self._draws = random_lib.Draws(self.seed, self.generator)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The network that predicts velocities."""
        return {"generator": self.generator}

    @property
    def averages(self) -> dict[str, keras.Model]:
        """The network with averaged weights."""
        return {"generator": self._average}

    @property
    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """The optimizer of the network."""
        return {"generator_optimizer": self.generator_optimizer}

    def compile(
        self, jit_compile: bool = False, learning_rate: float | None = None
    ) -> None:
        """Makes the optimizer.

        Args:
          jit_compile: Whether XLA compiles the training step.
          learning_rate: Learning rate of Adam; None: 5e-4.
        """
        self.generator_optimizer = keras.optimizers.Adam(
            LEARNING_RATE if learning_rate is None else learning_rate
        )
        self.generator_optimizer.build(self.generator.trainable_variables)
        super().compile(
            optimizer=self.generator_optimizer, jit_compile=jit_compile
        )

    def train_step(self, batches: Any) -> dict[str, tf.Tensor]:
        """Updates the network once.

        Args:
          batches: Real audio, `[1, batch, slice_len, channels]`; for a network
            that takes labels, audio and labels, int32, `[1, batch]`.

        Returns:
          `loss`, `[]`: the mean squared error of the predicted velocities, each
          of an example at its own time.

        Source: Salimans and Ho (2022), section 4; Kingma et al. (2021),
        "Variational Diffusion Models", appendix I.1, for times that are spread
        evenly over a batch.
        """
        audio, labels = batches if self.num_labels else (batches, None)
        clip = self.from_audio(audio[0])
        batch = clip.shape[0] or tf.shape(clip)[0]
        noise = self._draws.normal(
            [batch, *clip.shape[1:]], self.step, random_lib.NOISE
        )
        time = self._draws.times(batch, self.step)
        noisy, velocity = mix(clip, noise, time[:, tf.newaxis, tf.newaxis])
        inputs = [noisy, unet.time_features(time[:, tf.newaxis])]
        if labels is not None:
            draws = self._draws.uniform(batch, self.step, random_lib.DROP)
            known = tf.cast(draws >= self.config.label_dropout, tf.float32)
            inputs += [known[:, tf.newaxis], labels[0]]
        variables = self.generator.trainable_variables
        with tf.GradientTape() as tape:
            predicted = self.generator(inputs, training=True)
            loss = tf.reduce_mean((predicted - velocity) ** 2)
        gradients = tape.gradient(loss, variables)
        loss = replicas.apply_gradients(
            self.generator_optimizer, loss, gradients, variables
        )
        audio_model.update_average(
            self._average, self.generator, self.ema_decay, self.step
        )
        (loss,) = replicas.mean([loss])
        self.note_nonfinite(loss)
        self.step.assign_add(1)
        return {"loss": loss}

    def generate_by(
        self, networks: audio_model.Networks, z: Any, label: Any = None
    ) -> Any:
        """Generates examples in `sampling_steps` steps, from noise made of z.

        The arguments are those of `AudioModel.generate_by`.

        Source: Song et al. (2021), section 4; Ho and Salimans (2022), equation
        6, for labels.
        """
        _, *shape = self.generator.inputs[0].shape
        noisy = keras.ops.reshape(to_normal(z), (-1, *shape))
        times = np.linspace(1, 0, self.config.sampling_steps + 1).tolist()
        zeros = keras.ops.zeros_like(z[:, :1])
        for now, then in itertools.pairwise(times):
            inputs = [noisy, unet.time_features(zeros + now)]
            velocity = self._guided(networks["generator"], inputs, zeros, label)
            noisy = move(noisy, velocity, now, then)
        return noisy

    def _guided(
        self, network: Any, inputs: list[Any], zeros: Any, label: Any
    ) -> Any:
        """Predicts velocities, with the label's influence as configured."""
        if label is None:
            return network(inputs, training=False)
        weight = self.config.guidance
        known = network([*inputs, zeros + 1.0, label], training=False)
        if weight == 1:
            return known
        unknown = network([*inputs, zeros, label], training=False)
        return unknown + (known - unknown) * weight

    def from_audio(self, audio: tf.Tensor) -> tf.Tensor:
        """Filters, scales and folds audio, as the network takes it.

        Returns:
          Examples, `[batch, slice_len / FOLD, FOLD * channels]`.
        """
        _, length, channels = audio.shape
        shape = (-1, length // FOLD, FOLD * channels)
        return tf.reshape(emphasise(audio) * SCALE, shape)

    def to_audio(self, examples: Any) -> Any:
        """Inverts `from_audio`; audio beyond [-1, 1] is clipped."""
        shape = (-1, self.config.slice_len, self.config.channels)
        audio = keras.ops.reshape(examples, shape) * (1 / SCALE)
        return keras.ops.clip(deemphasise(audio), -1.0, 1.0)
