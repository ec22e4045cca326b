"""Clips of tones, which a small model learns in seconds."""

from __future__ import annotations

import numpy as np


def batch(
    num_clips: int, slice_len: int, channels: int = 1, seed: int = 0
) -> np.ndarray:
    """Makes tones of four pitches, each of its own loudness.

    Returns:
      What a training step takes, `[1, num_clips, slice_len, channels]`.
    """
    rng = np.random.default_rng(seed)
    pitch = rng.integers(1, 5, (num_clips, 1, 1)) / 40
    loudness = rng.uniform(0.3, 0.9, (num_clips, 1, channels))
    time = np.arange(slice_len)[:, np.newaxis]
    clips = loudness * np.sin(2 * np.pi * pitch * time)
    return clips[np.newaxis].astype(np.float32)
