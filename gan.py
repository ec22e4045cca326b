"""The training step: two networks, their losses and optimizers."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

import losses
from networks import augmentation, critics, dcgan, replicas
from networks import random as random_lib
from system import settings


class GAN(keras.Model):
    """A generator and a discriminator that train each other.

    A step is `critic_steps` discriminator updates, then one generator update.
    Each has its own real batch, latent vectors, phase shifts, and interpolation
    points of the gradient penalty. "Critics" are the discriminator and those of
    spectrograms.

    If the networks take labels, the generated batch has the labels of the real
    batch.

    Every random draw is a function of (seed, update, purpose) alone, so
    that restoring the weights, the optimizers' moments, `seed` and `step`
    resumes a run exactly.

    Args:
      generator: Maps z, `[batch, latent_dim]`, to examples, `[batch, ...]`;
        or `[z, label]`, where label is int32, `[batch]`.
      discriminator: Maps examples, or `[examples, label]`, to raw scores,
        `[batch]`.
      latent_dim: Size of z, which is uniform in [-1, 1).
      critic_steps: Discriminator updates in a step.
      ema_decay: Decay of the exponential moving average of the generator's
        weights; at step t it is min(ema_decay, (1 + t) / (10 + t)). 0: no
        average.
      penalty_interval: The gradient penalty is applied in every
        `penalty_interval`-th discriminator update, with that many times its
        weight. 1 in the paper.
      seed: Seed of all random draws.
      augment: Names in `augmentation.KINDS` of the random changes to all clips
        that a discriminator gets; none in the paper.
      spectral_critics: Additional discriminators, made by
        `spectral_critic.build`, whose losses are added; none in the paper.

    Attributes:
      num_labels: Number of labels that the networks know; 0: no labels.
      step: Number of generator updates so far, an int64 variable, `[]`.
      first_nonfinite_step: The first step with a non-finite loss or gradient,
        an int64 variable, `[]`; the largest int64 while there is none.
      generator_optimizer: Optimizer of the generator, made by `compile`.
      discriminator_optimizer: Optimizer of all critics, made likewise.

    Raises:
      SettingError: A number is out of its range.

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
        settings.check_value("critic_steps", critic_steps, low=1)
        settings.check_value("ema_decay", ema_decay, low=0, below=1)
        settings.check_value("penalty_interval", penalty_interval, low=1)
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.critic_steps = critic_steps
        self.ema_decay = ema_decay
        self.penalty_interval = penalty_interval
        self.augment = augment
        self.spectral_critics = list(spectral_critics)
        self.critics = critics.Critics(discriminator, spectral_critics)
        self.num_labels = dcgan.num_labels(generator)
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        self.seed = tf.Variable(
            seed, trainable=False, dtype=tf.int64, name="seed"
        )
        self.first_nonfinite_step = tf.Variable(
            tf.int64.max, trainable=False, name="first_nonfinite_step"
        )
        self._average = None
        if ema_decay:
            self._average = keras.models.clone_model(generator)
            self._average.set_weights(generator.get_weights())
            self._average.trainable = False
        self._draws = random_lib.Draws(
            self.seed, generator, discriminator, *spectral_critics
        )
        self.built = True  # otherwise `fit` tries to build it by calling it

    @property
    def ema_generator(self) -> keras.Model:
        """The averaged generator; without averaging, the generator itself."""
        return self.generator if self._average is None else self._average

    def from_audio(self, audio: tf.Tensor) -> tf.Tensor:
        """Converts audio to the networks' representation: here, audio.

        Args:
          audio: Clips, `[batch, slice_len, channels]`.
        """
        return audio

    def to_audio(self, examples: tf.Tensor) -> tf.Tensor:
        """Converts the networks' representation to audio."""
        return examples

    def augment_examples(
        self, examples: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        """Applies the random changes in `augment`.

        Args:
          examples: Real or generated examples, `[batch, ...]`.
          seed: Seed of the changes, int64, `[2]`.
        """
        return augmentation.augment(examples, self.augment, seed)

    def generate(
        self, z: tf.Tensor, label: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Generates audio by the averaged weights.

        Args:
          z: Latent vectors, `[batch, latent_dim]`.
          label: Label of each clip, int32, `[batch]`; None without labels.
        """
        examples = self.ema_generator(
            critics.with_label(z, label), training=False
        )
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
          objective: An objective, or its name in `losses.OBJECTIVES`.
          jit_compile: Whether XLA compiles the training step; `generate` is
            never compiled.
          learning_rate: Learning rate of both optimizers; None: that of the
            objective.
          disc_learning_rate: Learning rate of the discriminator's optimizer;
            None: `learning_rate`.
          penalty_weight: Weight of the penalty; None: that of the objective.

        Raises:
          SettingError: No objective has that name; or `penalty_interval` is
            not 1 with batch norm on several devices.
        """
        if isinstance(objective, str):
            objective = losses.find(objective)
        if penalty_weight is not None:
            objective = dataclasses.replace(
                objective, penalty_weight=penalty_weight
            )
        self.objective = objective
        if disc_learning_rate is None:
            disc_learning_rate = learning_rate
        self.generator_optimizer = objective.build_optimizer(
            self.generator.trainable_variables, learning_rate
        )
        self.discriminator_optimizer = objective.build_optimizer(
            self.critics.variables, disc_learning_rate
        )
        syncs_batch_norm = replicas.count() > 1 and critics.has_batch_norm(
            self.generator, self.discriminator
        )
        if syncs_batch_norm and self.penalty_interval > 1:
            raise settings.SettingError(
                "penalty_interval",
                self.penalty_interval,
                "1 for batch norm on several devices",
            )
        self._critic_gradients = self._critic_loss_and_gradients
        self._generator_gradients = self._generator_loss_and_gradients
        # A function of its own is traced once, however often a step calls it.
        # But synchronised batch norm cannot run inside a nested function.
        # AutoGraph takes seconds, and no Python `if` depends on a tensor.
        if not syncs_batch_norm:
            self._critic_gradients = tf.function(
                self._critic_gradients, autograph=False
            )
            self._generator_gradients = tf.function(
                self._generator_gradients, autograph=False
            )
        # Keras wants one optimizer, and would create a default one.
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
          and `g_loss`, each `[]`, each computed just before its own update.

        Raises:
          ValueError: `batches` has too few dimensions.

        Source: section 3.1 of the paper; Gulrajani et al. (2017), algorithm 1.
        """
        update = self.step * (self.critic_steps + 1)
        audio, labels = batches if self.num_labels else (batches, None)
        if len(audio.shape) < 4:
            raise ValueError(
                f"the shape of batches is {audio.shape}: expected [critic_steps"
                ", batch, slice_len, channels], as after "
                f"dataset.batch(batch_size).batch({self.critic_steps})"
            )
        d_losses = []
        for i, clips in enumerate(tf.unstack(audio, self.critic_steps)):
            real = self.from_audio(clips)
            label = None if labels is None else labels[i]
            d_losses.append(self._update_discriminator(real, label, update))
            update += 1
        g_loss = self._update_generator(real, label, update)
        d_loss, g_loss = replicas.mean([tf.reduce_mean(d_losses), g_loss])
        self._note_nonfinite(d_loss + g_loss)
        self.step.assign_add(1)
        return {"d_loss": d_loss, "g_loss": g_loss}

    def _update_discriminator(
        self, real: tf.Tensor, label: tf.Tensor | None, update: tf.Tensor
    ) -> tf.Tensor:
        """Updates all critics by one batch of real and generated examples."""
        loss, gradients = self._critic_gradients(real, label, update)
        variables = self.critics.variables
        loss = replicas.apply_gradients(
            self.discriminator_optimizer, loss, gradients, variables
        )
        if limit := self.objective.clip:
            for variable in variables:
                variable.assign(tf.clip_by_value(variable, -limit, limit))
        return loss

    def _critic_loss_and_gradients(
        self, real: tf.Tensor, label: tf.Tensor | None, update: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the loss of the critics, `[]`, and its gradients."""
        self._draws.reseed_layers(update)
        fake = self._make_fakes(real, label, update)
        reals = self._augment_and_view(real, update, random_lib.AUGMENT_REAL)
        fakes = self._augment_and_view(fake, update, random_lib.AUGMENT_FAKE)
        with tf.GradientTape() as tape:
            scores = self.critics.score_both(reals, fakes, label)
            loss = tf.add_n([self.objective.discriminator(*s) for s in scores])
        gradients = tape.gradient(loss, self.critics.variables)
        if not self.objective.penalty_weight:
            return loss, gradients
        # Loss and penalty should not keep activations at the same time.
        reals, fakes = (
            critics.with_dependency(gradients, x) for x in (reals, fakes)
        )
        penalty, additions = self._penalise(reals, fakes, label, update)
        return loss + penalty, [*map(tf.add, gradients, additions)]

    def _penalise(
        self,
        reals: critics.Views,
        fakes: critics.Views,
        label: tf.Tensor | None,
        update: tf.Tensor,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the weighted penalty and its gradients, zero if not due."""
        penalise = functools.partial(
            self.critics.penalise,
            self.objective.penalty,
            self.objective.penalty_weight * self.penalty_interval,
            reals,
            fakes,
            label,
            self._draws.alpha(critics.num_rows(reals[0]), update),
        )
        if self.penalty_interval == 1:
            return penalise()
        # update - step counts the critic's updates, without the generator's.
        is_due = (update - self.step) % self.penalty_interval == 0
        return tf.cond(is_due, penalise, self.critics.no_penalty)

    def _update_generator(
        self, real: tf.Tensor, label: tf.Tensor | None, update: tf.Tensor
    ) -> tf.Tensor:
        """Updates the generator once, on a batch of the size of `real`."""
        loss, gradients = self._generator_gradients(real, label, update)
        variables = self.generator.trainable_variables
        loss = replicas.apply_gradients(
            self.generator_optimizer, loss, gradients, variables
        )
        if self._average is not None:
            # Warm-up: the decay is smaller in the first steps.
            age = tf.cast(self.step, tf.float32)
            decay = tf.minimum(self.ema_decay, (1 + age) / (10 + age))
            for average, variable in zip(
                self._average.weights, self.generator.weights, strict=True
            ):
                average.assign(decay * average + (1 - decay) * variable)
        return loss

    def _generator_loss_and_gradients(
        self, real: tf.Tensor, label: tf.Tensor | None, update: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the generator's loss, `[]`, and gradients for its weights."""
        self._draws.reseed_layers(update)
        real_scores = []
        if self.objective.relativistic:
            reals = self._augment_and_view(
                real, update, random_lib.AUGMENT_REAL
            )
            real_scores = [self.critics.score(reals, label)]
        with tf.GradientTape() as tape:
            fake = self._make_fakes(real, label, update)
            fakes = self._augment_and_view(
                fake, update, random_lib.AUGMENT_FAKE
            )
            scores = self.critics.score(fakes, label)
            loss = tf.add_n(
                [*map(self.objective.generator, scores, *real_scores)]
            )
        return loss, tape.gradient(loss, self.generator.trainable_variables)

    def _make_fakes(
        self, real: tf.Tensor, label: tf.Tensor | None, update: tf.Tensor
    ) -> tf.Tensor:
        """Generates as many examples as there are real ones, in training."""
        z = self._draws.z(critics.num_rows(real), self.latent_dim, update)
        return self.generator(critics.with_label(z, label), training=True)

    def _augment_and_view(
        self, examples: tf.Tensor, update: tf.Tensor, purpose: int
    ) -> critics.Views:
        """Augments examples; returns them in the form that each critic takes.

        Args:
          examples: Real or generated.
          update: Number of this update in the run, from which the seed is made.
          purpose: `random.AUGMENT_REAL` or `random.AUGMENT_FAKE`.
        """
        if self.augment:
            seed = self._draws.augmentation(update, purpose)
            examples = self.augment_examples(examples, seed)
        return self.critics.view(examples)

    def save_own_variables(self, store: Any) -> None:
        """Adds what `save_weights` needs to continue with the same draws."""
        store["step"], store["seed"] = self.step.numpy(), self.seed.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Restores what `save_own_variables` saved."""
        self.step.assign(store["step"][()])
        self.seed.assign(store["seed"][()])

    def get_config(self) -> Any:
        """Raises a NotImplementedError: Keras cannot save a GAN as a whole."""
        raise NotImplementedError(
            "Keras cannot save a GAN as a whole: use gan.save_weights(path), "
            "ModelCheckpoint(save_weights_only=True), or gan.generator.save"
        )

    def _note_nonfinite(self, number: tf.Tensor) -> None:
        """Records the first step with a non-finite loss or gradient.

        A loss is NaN if a gradient was not finite (`replicas.apply_gradients`).
        Training does not wait for the result, which is read before each save.
        """
        finite = tf.math.is_finite(number)
        step = tf.where(finite, tf.int64.max, self.step + 1)
        first = tf.minimum(self.first_nonfinite_step, step)
        self.first_nonfinite_step.assign(first)
