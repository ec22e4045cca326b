"""Small untrained GANs of both models, for tests of what follows training."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import gan
import specgan
import wavegan
from networks import spectrogram
from training import config as config_lib
from training import gan_model as model_lib

LATENT_DIM = 5
MOMENTS = spectrogram.Moments(
    np.linspace(2, -1, 128).astype(np.float32), np.full(128, 0.6, np.float32)
)
SPECGAN = {"model": "specgan", "dim": 1}


def config_of(model: str = "wavegan", **fields: Any) -> Any:
    """The config of a small one."""
    if model == "specgan":
        return specgan.SpecGANConfig(**{"latent_dim": LATENT_DIM, **fields})
    small = {"slice_len": 256, "dim": 2, "latent_dim": LATENT_DIM}
    return wavegan.WaveGANConfig(**{**small, **fields})


def build(bits: str = "fp32", **fields: Any) -> gan.GAN:
    """Builds one whose generator is averaged.

    Args:
      bits: A key of `precision.POLICIES`.
      **fields: Of `config_of`.
    """
    config = config_of(**fields)
    of: Any = wavegan
    kind: Any = gan.GAN
    if isinstance(config, specgan.SpecGANConfig):
        of = specgan
        kind = functools.partial(
            specgan.SpecGAN, moments=MOMENTS, iterations=config.iterations
        )
    return model_lib.build_gan(
        config_lib.TrainConfig(precision=bits, ema_decay=0.9),
        lambda: (of.build_generator(config), of.build_discriminator(config)),
        LATENT_DIM,
        kind,
    )


def draw_z(count: int = 3) -> np.ndarray:
    """Latent vectors, `[count, LATENT_DIM]`."""
    rng = np.random.default_rng(1)
    return rng.uniform(-1, 1, (count, LATENT_DIM)).astype(np.float32)


def inputs_of(model: gan.GAN) -> list[np.ndarray]:
    """What its generator takes: latent vectors, and labels if it knows any."""
    z = draw_z()
    if not model.num_labels:
        return [z]
    labels = np.arange(len(z), dtype=np.int32)[::-1] % model.num_labels
    return [z, labels]
