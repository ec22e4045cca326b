"""NumPy references of the evaluation, in float64.

Source: the authors' eval/inception/train.py and eval/similarity/feats.py, as
formulas; TensorFlow's documentation of `linear_to_mel_weight_matrix`.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def mel(hz: float | Array) -> Array:
    """The mel scale of HTK."""
    return 1127.0 * np.log1p(np.asarray(hz, np.float64) / 700.0)


def mel_matrix(
    fft_len: int, num_mels: int, sample_rate: int, low_hz: float, high_hz: float
) -> Array:
    """Triangles that are straight on the mel scale; the bin of 0 Hz is out."""
    edges = np.linspace(mel(low_hz), mel(high_hz), num_mels + 2)
    matrix = np.zeros([fft_len // 2 + 1, num_mels])
    for b in range(1, fft_len // 2 + 1):
        at = mel(b * sample_rate / fft_len)
        for m in range(num_mels):
            left, centre, right = edges[m : m + 3]
            up = (at - left) / (centre - left)
            down = (right - at) / (right - centre)
            matrix[b, m] = max(0.0, min(up, down))
    return matrix


def log_mel(audio: Array, frame_len: int, hop_len: int) -> Array:
    """Of one clip, `[num_samples]`: `[num_frames, 128]`."""
    matrix = mel_matrix(frame_len, 128, 16000, 40.0, 7800.0)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame_len) / frame_len)
    rows = []
    for start in range(0, len(audio), hop_len):
        frame = np.zeros(frame_len)
        heard = audio[start : start + frame_len]
        frame[: len(heard)] = heard
        magnitudes = np.abs(np.fft.rfft(frame * window))
        rows.append(np.log(magnitudes @ matrix + 1e-6))
    return np.stack(rows)


def inception_score(probs: Array) -> float:
    """Of one split, by the definition, clip by clip."""
    marginal = sum(probs) / len(probs)
    total = 0.0
    for p in probs:
        total += sum(
            a * np.log(a / b) for a, b in zip(p, marginal, strict=True) if a > 0
        )
    return float(np.exp(total / len(probs)))


def modified_inception_score(probs: Array) -> float:
    """Over all ordered pairs of two clips."""
    divergences = [
        np.sum(p * np.log(p / q))
        for i, p in enumerate(probs)
        for j, q in enumerate(probs)
        if i != j
    ]
    return float(np.exp(np.mean(divergences)))


def kernel_distance(a: Array, b: Array) -> float:
    """Unbiased squared MMD, pair by pair."""

    def kernel(x: Array, y: Array) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    def among(x: Array) -> float:
        pairs = [
            kernel(p, q)
            for i, p in enumerate(x)
            for j, q in enumerate(x)
            if i != j
        ]
        return float(np.mean(pairs))

    between = np.mean([kernel(p, q) for p in a for q in b])
    return float(among(a) + among(b) - 2 * between)


def nearest(queries: Array, references: Array, exclude_self: bool) -> Array:
    """Distance of each query to its nearest reference."""
    result = []
    for i, query in enumerate(queries):
        distances = [
            np.sqrt(np.sum((query - reference) ** 2))
            for j, reference in enumerate(references)
            if not (exclude_self and i == j)
        ]
        result.append(min(distances))
    return np.array(result)


def prdc(generated: Array, real: Array, k: int) -> dict[str, float]:
    """Precision, recall, density and coverage by their definitions."""

    def distance(x: Array, y: Array) -> float:
        return float(np.sqrt(np.sum((x - y) ** 2)))

    def radius(x: Array, points: Array) -> float:
        return sorted(distance(x, y) for y in points)[k]  # itself is first

    real_radii = [radius(x, real) for x in real]
    generated_radii = [radius(x, generated) for x in generated]
    inside = [
        [
            distance(g, r) <= radius
            for r, radius in zip(real, real_radii, strict=True)
        ]
        for g in generated
    ]
    recalled = [
        any(
            distance(g, r) <= radius
            for g, radius in zip(generated, generated_radii, strict=True)
        )
        for r in real
    ]
    return {
        "precision": float(np.mean([any(row) for row in inside])),
        "density": float(np.mean([sum(row) / k for row in inside])),
        "recall": float(np.mean(recalled)),
        "coverage": float(np.mean(np.any(inside, axis=0))),
    }
