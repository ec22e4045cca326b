"""Tests the counts of `benchmarks/roofline.py`."""

from __future__ import annotations

import pytest

import wavegan
from benchmarks import roofline


def test_traffic_is_every_layer_of_every_pass() -> None:
    config = wavegan.WaveGANConfig(dim=4, latent_dim=8)
    generator = wavegan.build_generator(config)
    critic = wavegan.build_discriminator(config)
    # Lengths and channels of the critic's layers; the generator's are the same.
    maps = [(16384, 1), (4096, 4), (1024, 8), (256, 16), (64, 32), (16, 64)]
    sizes = [length * channels for length, channels in maps]
    layers = sum(a + b for a, b in zip(sizes, sizes[1:], strict=False))
    g, d = generator.count_params(), critic.count_params()
    # Five critic updates: G forward; D three times forward, four times backward
    # to weights or audio, and three times for the penalty.
    passes = 5 * (11 * 3 * layers + g + 10 * d)
    # One generator update: G and D forward, D backward, G backward to both.
    passes += 5 * 3 * layers + 3 * g + 2 * d
    adam = 5 * 7 * d + 7 * g
    assert roofline.count_bytes(config, 3) == 4 * (passes + adam)
    assert roofline.count_bytes(config, 3, 2) == 2 * passes + 4 * adam


def test_operations_of_the_papers_step() -> None:
    config = wavegan.WaveGANConfig()
    tera = roofline.count_operations(config, 64) / 1e12
    assert tera == pytest.approx(6.49, abs=0.01)
