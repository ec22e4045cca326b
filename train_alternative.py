"""Trains another kind of model than a WaveGAN; generates and plays audio.

Examples:
  python train_alternative.py vae train ./run --data_dir sc09/
  python train_alternative.py diffusion train ./run --data_labels=words
  python train_alternative.py vae generate ./run --n 20
"""

import dataclasses
import sys
from collections.abc import Callable

from commandline import usage

PROGRAM = "train_alternative.py"

if __name__ == "__main__":
    usage.answer_with_model(PROGRAM, __doc__ or "", sys.argv)

from system import console

console.import_tensorflow()  # before any other module does

from alternatives import diffusion, gansynth, vae, vqvae
from commandline import flags, modes, program
from networks import audio_model
from training import config as config_lib
from training import gan_model, model, train_dir


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alternative(model.Model):
    """A model that this program trains.

    Attributes:
      without: Settings of a run that have no flag for it.
    """

    without: tuple[str, ...] = ("precision", "conv")

    @property
    def program(self) -> str:
        """The program that trains it, as on a command line."""
        return f"{PROGRAM} {self.name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlternativeModel(Alternative):
    """A model that builds its own networks.

    Attributes:
      kind: Class of the model, given the settings of its networks, `ema_decay`
        and `seed`.
    """

    kind: Callable[..., audio_model.AudioModel]

    def build(
        self,
        directory: train_dir.TrainDir,
        config: config_lib.RunConfig | None = None,
    ) -> audio_model.AudioModel:
        """Builds the networks of a run, with the weights of its seed.

        Args:
          directory: Train dir of the run.
          config: Config of the run; that of the train dir if left out.
        """
        run = config or directory.read_config(self.config)
        settings = run.train
        return model.build_networks(
            settings,
            lambda: self.kind(
                run.model, ema_decay=settings.ema_decay, seed=settings.seed
            ),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlternativeGAN(Alternative, gan_model.GANModel):
    """A pair of networks that train each other."""


ALTERNATIVES: tuple[Alternative, ...] = (
    AlternativeModel(
        name="vae", title="VAE", config=vae.VAEConfig, kind=vae.VAE
    ),
    AlternativeModel(
        name="vqvae",
        title="VQ-VAE",
        config=vqvae.VQVAEConfig,
        kind=vqvae.VQVAE,
    ),
    AlternativeGAN(
        name="gansynth",
        title="GANSynth",
        config=gansynth.GANSynthConfig,
        build_generator=gansynth.build_generator,
        build_discriminator=gansynth.build_discriminator,
        gan_of=lambda directory, config: gansynth.GANSynth,
        # The others need waveforms, or spectrograms without phases.
        without=(
            *("precision", "conv"),
            *("spectral_critics", "spectral_dim", "augment"),
        ),
    ),
    AlternativeModel(
        name="diffusion",
        title="Diffusion",
        config=diffusion.DiffusionConfig,
        kind=diffusion.Diffusion,
    ),
)
# There are no checkpoints of these models by the original code.
MODES = {name: mode for name, mode in modes.MODES.items() if name != "import"}
COMMAND_LINES = {
    alternative.name: flags.CommandLine(
        alternative, modes=MODES, without=alternative.without
    )
    for alternative in ALTERNATIVES
}

if __name__ == "__main__":
    program.run(COMMAND_LINES[sys.argv.pop(1)])
