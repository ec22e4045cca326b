"""The training step: two networks, their losses and optimizers."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

import augmentation
import draws
import layers
import losses
import replicas
import spectral_critic

# A discriminator, and the real and generated examples as it is shown them.
Shown = tuple[keras.Model, tf.Tensor, tf.Tensor]


class GAN(keras.Model):
    """A generator and a discriminator that train each other.

    A step is one generator update behind `critic_steps` discriminator updates,
    each with its own real batch, latent vectors, penalty positions and shifts.

    Where the networks take labels, each generated example has the label of the
    real one in its place of the batch.

    Every draw is a function of (seed, step, update, purpose) alone. So a run is
    its seed, and whoever restores weights, moments, `seed` and `step` continues
    it as if nothing had been.

    Args:
      generator: Maps z, `[batch, latent_dim]`, to examples, `[batch, ...]`;
        or `[z, label]`, where label is int32, `[batch]`.
      discriminator: Maps examples, or `[examples, label]`, to raw scores,
        `[batch]`.
      latent_dim: Size of z, which is uniform in [-1, 1).
      critic_steps: Discriminator updates in a step.
      ema_decay: Of the running average of the generator's weights, for each
        step, once it is old enough: at step t, at most (1 + t) / (10 + t); 0:
        no average.
      penalty_interval: Discriminator updates from one slope penalty to the
        next; it weighs that many times more. 1: the paper's.
      seed: Of all random draws.
      augment: Names in `augmentation.KINDS`: how clips are changed at random
        before a discriminator hears them; none in the paper.
      spectral_critics: More discriminators, made by `spectral_critic.build`,
        whose losses are added; none in the paper.

    Attributes:
      num_labels: Labels that the networks know; 0: they take none.
      step: Generator updates so far, an int64 variable, `[]`.
      broken_at: The first step with a loss or gradient that is no number, an
        int64 variable, `[]`; above all steps while there is none.
      generator_optimizer: Made by `compile`, slots included.
      discriminator_optimizer: Likewise.

    Raises:
      ValueError: A number is out of its range.

    Source: section 3 and appendix D of the paper; Karras et al. (2020), section
    3.1, for the interval.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        latent_dim: int,
        critic_steps: int = 5,
        ema_decay: float = 0.0,
        penalty_interval: int = 1,
        seed: int = 0,
        augment: tuple[str, ...] = (),
        spectral_critics: Sequence[keras.Model] = (),
    ) -> None:
        super().__init__()
        check(critic_steps, ema_decay, penalty_interval)
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.critic_steps = critic_steps
        self.ema_decay = ema_decay
        self.penalty_interval = penalty_interval
        self.augment = augment
        self.spectral_critics = list(spectral_critics)
        self.num_labels = 0
        if len(generator.inputs) > 1:
            self.num_labels = generator.get_layer("label_project").input_dim
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        self.seed = tf.Variable(
            seed, trainable=False, dtype=tf.int64, name="seed"
        )
        self.broken_at = tf.Variable(
            tf.int64.max, trainable=False, name="broken_at"
        )
        self._average = None
        if ema_decay:
            self._average = keras.models.clone_model(generator)
            self._average.set_weights(generator.get_weights())
            self._average.trainable = False
        self._draws = draws.Draws(
            self.seed, generator, discriminator, *spectral_critics
        )
        self.built = True  # or `fit` on several devices would look for a call

    @property
    def ema_generator(self) -> keras.Model:
        """The averaged generator; without averaging, the generator itself."""
        return self.generator if self._average is None else self._average

    @property
    def critic_variables(self) -> list[keras.Variable]:
        """The trainable weights of all discriminators."""
        networks = [self.discriminator, *self.spectral_critics]
        return [v for network in networks for v in network.trainable_variables]

    def from_audio(self, audio: tf.Tensor) -> tf.Tensor:
        """Turns audio into what the networks exchange: here, audio.

        Args:
          audio: `[batch, slice_len, channels]`.
        """
        return audio

    def to_audio(self, examples: tf.Tensor) -> tf.Tensor:
        """Turns what the networks exchange into audio, its inverse."""
        return examples

    def stock_audio(self, examples: Any) -> Any:
        """`to_audio` of symbolic examples, by stock Keras layers alone."""
        return examples

    def generate(
        self, z: tf.Tensor, label: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Makes audio, `[batch, slice_len, channels]`, by the averaged weights.

        Args:
          z: Latent vectors, `[batch, latent_dim]`.
          label: Of each clip, int32, `[batch]`; None if there are no labels.
        """
        examples = self.ema_generator(with_label(z, label), training=False)
        return self.to_audio(examples)

    def compile(
        self,
        objective: losses.Objective | str = "wgan-gp",
        jit_compile: bool = False,
        learning_rate: float | None = None,
        disc_learning_rate: float | None = None,
        penalty_weight: float | None = None,
    ) -> None:
        """Sets the losses and makes one optimizer for each network.

        Args:
          objective: Itself, or its name in `losses.OBJECTIVES`.
          jit_compile: Compile the training step by XLA. Inference never is.
          learning_rate: Of both optimizers, instead of the objective's.
          disc_learning_rate: Of the discriminator's alone.
          penalty_weight: Instead of the objective's.

        Raises:
          ValueError: No objective has that name; or several devices would have
            to share batch norm in some updates only.
        """
        if isinstance(objective, str):
            objective = losses.find(objective)
        if penalty_weight is not None:
            objective = dataclasses.replace(
                objective, penalty_weight=penalty_weight
            )
        self.objective = objective

        def optimizer(
            variables: list[keras.Variable], learning_rate: float | None
        ) -> keras.optimizers.Optimizer:
            made = objective.optimizer()
            if learning_rate is not None:
                made.learning_rate = learning_rate
            # Slots must be there when a checkpoint is restored into them.
            made.build(variables)
            return made

        if disc_learning_rate is None:
            disc_learning_rate = learning_rate
        self.generator_optimizer = optimizer(
            self.generator.trainable_variables, learning_rate
        )
        self.discriminator_optimizer = optimizer(
            self.critic_variables, disc_learning_rate
        )
        talking = replicas.count() > 1 and self._has_batch_norm()
        if talking and self.penalty_interval > 1:
            raise ValueError(
                f"penalty_interval is {self.penalty_interval}: expected 1 for "
                "batch norm on several devices"
            )
        self._discriminator_gradients = self._discriminate
        self._generator_gradients = self._deceive
        # A function of its own is traced once, however often a step calls it.
        # But in none may replicas talk to each other, as batch norms do.
        if not talking:
            self._discriminator_gradients = tf.function(self._discriminate)
            self._generator_gradients = tf.function(self._deceive)
        # Keras wants one optimizer; left alone, it would invent another.
        super().compile(
            optimizer=self.generator_optimizer, jit_compile=jit_compile
        )

    def train_step(self, batches: Any) -> dict[str, tf.Tensor]:
        """Updates the discriminator `critic_steps` times, the generator once.

        Args:
          batches: Real audio,
            `[critic_steps, batch, slice_len, channels]`; for networks that take
            labels, audio and labels, int32, `[critic_steps, batch]`.

        Returns:
          `d_loss` (mean over the discriminator's updates, penalty included)
          and `g_loss`, each `[]`, from before the update that they led to.

        Source: section 3.1 of the paper; Gulrajani et al. (2017), algorithm 1.
        """
        update = self.step * (self.critic_steps + 1)
        audio, labels = batches if self.num_labels else (batches, None)
        d_losses = []
        for i, clips in enumerate(tf.unstack(audio, self.critic_steps)):
            real = self.from_audio(clips)
            label = None if labels is None else labels[i]
            d_losses.append(self._update_discriminator(real, label, update))
            update += 1
        g_loss = self._update_generator(real, label, update)
        d_loss, g_loss = replicas.mean([tf.reduce_mean(d_losses), g_loss])
        self._check_numbers(d_loss + g_loss)
        self.step.assign_add(1)
        return {"d_loss": d_loss, "g_loss": g_loss}

    def _update_discriminator(
        self, real: tf.Tensor, label: tf.Tensor | None, update: tf.Tensor
    ) -> tf.Tensor:
        """One discriminator update by real examples; returns its loss, `[]`."""
        loss, gradients = self._discriminator_gradients(real, label, update)
        variables = self.critic_variables
        loss = _apply(self.discriminator_optimizer, loss, gradients, variables)
        if self.objective.clip:
            for variable in variables:
                variable.assign(
                    tf.clip_by_value(
                        variable, -self.objective.clip, self.objective.clip
                    )
                )
        return loss

    def _discriminate(
        self, real: tf.Tensor, label: tf.Tensor | None, update: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The discriminators' loss, `[]`, and its gradients by the weights."""
        self._draws.reseed_layers(update)
        batch = real.shape[0] or tf.shape(real)[0]
        z = self._draws.z(batch, self.latent_dim, update)
        fake = self.generator(with_label(z, label), training=True)
        shown = self._show(
            self._augment(real, update, draws.AUGMENT_REAL),
            self._augment(fake, update, draws.AUGMENT_FAKE),
        )
        with tf.GradientTape() as tape:
            loss = sum(
                self.objective.discriminator(*self._score(*examples, label))
                for examples in shown
            )
        gradients = tape.gradient(loss, self.critic_variables)
        if self.objective.penalty_weight:
            # Their activations need not be there at the same time.
            shown = [
                (
                    network,
                    layers.after(gradients, real),
                    layers.after(gradients, fake),
                )
                for network, real, fake in shown
            ]
            penalty, additions = self._penalise(shown, label, update)
            loss += penalty
            gradients = [
                first + second
                for first, second in zip(gradients, additions, strict=True)
            ]
        return loss, gradients

    def _augment(
        self, examples: tf.Tensor, update: tf.Tensor, purpose: int
    ) -> tf.Tensor:
        """Changes examples at random, if the run does so."""
        if not self.augment:
            return examples
        seed = self._draws.augmentation(update, purpose)
        return augmentation.augment(examples, self.augment, seed)

    def _show(self, real: tf.Tensor, fake: tf.Tensor) -> list[Shown]:
        """Real and generated examples in the form that each critic takes."""
        shown: list[Shown] = [(self.discriminator, real, fake)]
        for network in self.spectral_critics:
            show = functools.partial(
                spectral_critic.to_log_magnitude,
                frame_len=spectral_critic.frame_len(network),
            )
            shown.append((network, show(real), show(fake)))
        return shown

    def _penalise(
        self, shown: list[Shown], label: tf.Tensor | None, update: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The weighted penalty, `[]`, and its gradients by the weights."""
        variables = self.critic_variables
        real = shown[0][1]
        batch = real.shape[0] or tf.shape(real)[0]
        alpha = self._draws.alpha(batch, update)
        weight = self.objective.penalty_weight * self.penalty_interval

        def critic(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
            return lambda x: network(with_label(x, label), training=True)

        def penalise() -> tuple[tf.Tensor, list[tf.Tensor]]:
            with tf.GradientTape() as tape:
                penalty = weight * sum(
                    self.objective.penalty(
                        critic(network), real, fake, alpha=alpha
                    )
                    for network, real, fake in shown
                )
            # It has no gradient by the biases.
            gradients = tape.gradient(
                penalty,
                [variable.value for variable in variables],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return penalty, gradients

        if self.penalty_interval == 1:
            return penalise()
        return tf.cond(
            (update - self.step) % self.penalty_interval == 0,
            penalise,
            lambda: (tf.zeros([]), [tf.zeros(v.shape) for v in variables]),
        )

    def _score(
        self,
        network: keras.Model,
        real: tf.Tensor,
        fake: tf.Tensor,
        label: tf.Tensor | None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores of both, in one pass if each example is scored by itself."""
        if self._has_batch_norm(network):
            return (
                network(with_label(real, label), training=True),
                network(with_label(fake, label), training=True),
            )
        both = tf.concat([real, fake], axis=0)
        labels = None if label is None else tf.concat([label, label], axis=0)
        with replicas.in_parts(2):
            scores = network(with_label(both, labels), training=True)
        real_scores, fake_scores = tf.split(scores, 2)
        return real_scores, fake_scores

    def _update_generator(
        self, real: tf.Tensor, label: tf.Tensor | None, update: tf.Tensor
    ) -> tf.Tensor:
        """One generator update by as many fakes; returns its loss, `[]`."""
        loss, gradients = self._generator_gradients(real, label, update)
        variables = self.generator.trainable_variables
        loss = _apply(self.generator_optimizer, loss, gradients, variables)
        if self._average is not None:
            # A young average forgets faster: it is no older than the run.
            age = tf.cast(self.step, tf.float32)
            decay = tf.minimum(self.ema_decay, (1 + age) / (10 + age))
            for average, variable in zip(
                self._average.weights, self.generator.weights, strict=True
            ):
                average.assign(decay * average + (1 - decay) * variable)
        return loss

    def _deceive(
        self, real: tf.Tensor, label: tf.Tensor | None, update: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The generator's loss, `[]`, and its gradients by the weights."""
        self._draws.reseed_layers(update)
        batch = real.shape[0] or tf.shape(real)[0]
        z = self._draws.z(batch, self.latent_dim, update)

        def score(network: keras.Model, examples: tf.Tensor) -> tf.Tensor:
            return network(with_label(examples, label), training=True)

        if self.objective.relativistic:
            real = self._augment(real, update, draws.AUGMENT_REAL)
            scores_to_beat = [
                [score(network, examples)]
                for network, examples, _ in self._show(real, real)
            ]
        else:
            scores_to_beat = [[] for _ in range(1 + len(self.spectral_critics))]
        with tf.GradientTape() as tape:
            fake = self.generator(with_label(z, label), training=True)
            fake = self._augment(fake, update, draws.AUGMENT_FAKE)
            loss = sum(
                self.objective.generator(score(network, examples), *to_beat)
                for (network, _, examples), to_beat in zip(
                    self._show(fake, fake), scores_to_beat, strict=True
                )
            )
        return loss, tape.gradient(loss, self.generator.trainable_variables)

    def _check_numbers(self, number: tf.Tensor) -> None:
        """Notes the first step that has led to something that is no number.

        Nothing waits for the answer: whoever saves weights asks for it.
        """
        finite = tf.math.is_finite(number)
        step = tf.where(finite, tf.int64.max, self.step + 1)
        self.broken_at.assign(tf.minimum(self.broken_at, step))

    def _has_batch_norm(self, *networks: keras.Model) -> bool:
        """Whether any of some networks, or of both, has one."""
        return any(
            isinstance(layer, keras.layers.BatchNormalization)
            for network in networks or (self.generator, self.discriminator)
            for layer in network.layers
        )


def with_label(x: Any, label: Any) -> Any:
    """What a network is called with: x, or x and the label of each example."""
    if label is None:
        return x
    return [tf.convert_to_tensor(x), tf.convert_to_tensor(label, tf.int32)]


def _apply(
    optimizer: keras.optimizers.Optimizer,
    loss: tf.Tensor,
    gradients: list[tf.Tensor],
    variables: list[keras.Variable],
) -> tf.Tensor:
    """Updates weights; returns the loss, NaN if a gradient is no number."""
    finite = tf.math.is_finite(tf.linalg.global_norm(gradients))
    if replicas.count() > 1:  # whose gradients Keras adds
        gradients = [g / replicas.count() for g in gradients]
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return tf.where(finite, loss, math.nan)


def check(critic_steps: int, ema_decay: float, penalty_interval: int) -> None:
    """Checks numbers of a GAN.

    Raises:
      ValueError: One is out of its range.
    """
    if critic_steps < 1:
        raise ValueError(f"critic_steps is {critic_steps}: expected >= 1")
    if not 0 <= ema_decay < 1:
        raise ValueError(f"ema_decay is {ema_decay}: expected 0 to below 1")
    if penalty_interval < 1:
        raise ValueError(
            f"penalty_interval is {penalty_interval}: expected >= 1"
        )
