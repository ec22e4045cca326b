"""The training step: two networks, their losses and optimizers."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

import losses
from networks import audio_model, augmentation, critics, dcgan, replicas
from networks import random as random_lib
from system import settings


class GAN(audio_model.AudioModel):
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
        super().__init__(
            latent_dim=latent_dim,
            num_labels=dcgan.num_labels(generator),
            seed=seed,
        )
        settings.check_value("critic_steps", critic_steps, low=1)
        settings.check_value("ema_decay", ema_decay, low=0, below=1)
        settings.check_value("penalty_interval", penalty_interval, low=1)
        self.generator = generator
        self.discriminator = discriminator
        self.critic_steps = critic_steps
        self.ema_decay = ema_decay
        self.penalty_interval = penalty_interval
        self.augment = augment
        self.spectral_critics = list(spectral_critics)
        self.critics = critics.Critics(discriminator, spectral_critics)
        self._average = None
        if ema_decay:
            self._average = audio_model.average_of(generator)
        self._draws = random_lib.Draws(
            self.seed, generator, discriminator, *spectral_critics
        )

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Generator, discriminator and spectral critics, by name."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            **{critic.name: critic for critic in self.spectral_critics},
        }

    @property
    def averages(self) -> dict[str, keras.Model]:
        """The averaged generator, if there is one."""
        return {} if self._average is None else {"generator": self._average}

    @property
    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Both optimizers, by name."""
        names = "generator_optimizer", "discriminator_optimizer"
        return {name: getattr(self, name) for name in names}

    @property
    def has_bounded_loss(self) -> bool:
        """Whether `d_loss` of a perfect discriminator is 0."""
        return self.objective.bounded

    @property
    def ema_generator(self) -> keras.Model:
        """The averaged generator; without averaging, the generator itself."""
        return self.generator if self._average is None else self._average

    def augment_examples(
        self, examples: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        """Applies the random changes in `augment`.

        Args:
          examples: Real or generated examples, `[batch, ...]`.
          seed: Seed of the changes, int64, `[2]`.
        """
        return augmentation.augment(examples, self.augment, seed)

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
        # A function of its own is traced once, however often a step calls it,
        # and, if it is not inlined, optimised once; AutoGraph takes seconds,
        # and no Python `if` depends on a tensor. But synchronised batch norm
        # cannot run inside a nested function.
        if not syncs_batch_norm:
            as_function = functools.partial(
                tf.function,
                autograph=False,
                experimental_attributes={"_noinline": True},
            )
            self._critic_gradients = as_function(self._critic_gradients)
            self._generator_gradients = as_function(self._generator_gradients)
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
        count = self.critic_steps
        reals = [self.from_audio(x) for x in tf.unstack(audio, count)]
        labels = [None] * count if labels is None else tf.unstack(labels, count)
        fakes = self._fakes_of_updates(reals, labels, update)
        d_losses = []
        for real, fake, label in zip(reals, fakes, labels, strict=True):
            loss = self._update_discriminator(real, fake, label, update)
            d_losses.append(loss)
            update += 1
        g_loss = self._update_generator(real, label, update)
        d_loss, g_loss = replicas.mean([tf.reduce_mean(d_losses), g_loss])
        self.note_nonfinite(d_loss + g_loss)
        self.step.assign_add(1)
        return {"d_loss": d_loss, "g_loss": g_loss}

    def _fakes_of_updates(
        self,
        reals: list[tf.Tensor],
        labels: list[tf.Tensor | None],
        update: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Generates the examples of all discriminator updates of a step.

        The generator does not change in between, so that one pass makes them
        all, unless batch norm couples the examples of a batch.
        """
        draws = [self._draw_z(real, update + i) for i, real in enumerate(reals)]
        if critics.has_batch_norm(self.generator):
            return [*map(self._generate, draws, labels)]
        label = None if labels[0] is None else tf.concat(labels, 0)
        return tf.split(self._generate(tf.concat(draws, 0), label), len(reals))

    def _update_discriminator(
        self,
        real: tf.Tensor,
        fake: tf.Tensor,
        label: tf.Tensor | None,
        update: tf.Tensor,
    ) -> tf.Tensor:
        """Updates all critics by one batch of real and generated examples."""
        loss, gradients = self._critic_gradients(real, fake, label, update)
        variables = self.critics.variables
        loss = replicas.apply_gradients(
            self.discriminator_optimizer, loss, gradients, variables
        )
        if limit := self.objective.clip:
            for variable in variables:
                variable.assign(tf.clip_by_value(variable, -limit, limit))
        return loss

    def _critic_loss_and_gradients(
        self,
        real: tf.Tensor,
        fake: tf.Tensor,
        label: tf.Tensor | None,
        update: tf.Tensor,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the loss of the critics, `[]`, and its gradients."""
        self._draws.reseed_layers(update)
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
            audio_model.update_average(
                self._average, self.generator, self.ema_decay, self.step
            )
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
            fake = self._generate(self._draw_z(real, update), label)
            fakes = self._augment_and_view(
                fake, update, random_lib.AUGMENT_FAKE
            )
            scores = self.critics.score(fakes, label)
            loss = tf.add_n(
                [*map(self.objective.generator, scores, *real_scores)]
            )
        return loss, tape.gradient(loss, self.generator.trainable_variables)

    def _draw_z(self, real: tf.Tensor, update: tf.Tensor) -> tf.Tensor:
        """Draws as many latent vectors as there are real examples."""
        return self._draws.z(critics.num_rows(real), self.latent_dim, update)

    def _generate(self, z: tf.Tensor, label: tf.Tensor | None) -> tf.Tensor:
        """Generates examples, in training."""
        return self.generator(audio_model.with_label(z, label), training=True)

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
