"""Computes inception, modified inception and AM scores of probabilities."""

import numpy as np

FLOOR = 1e-12  # smaller probabilities are raised to this


def inception_score(probs: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """Computes the inception score: sure predictions, evenly spread words.

    The score is exp(E KL(p(y|x) || p(y))), with p(y) averaged over the clip's
    own split.

    Args:
      probs: Probability of each word for each clip, `[num_clips, num_words]`,
        in random order; rows sum to 1.
      splits: Number of parts of equal size (to a clip) that are scored
        separately.

    Returns:
      Mean over the splits, from 1 to num_words, and standard deviation over the
      splits.

    Raises:
      ValueError: `probs` does not hold probabilities, or there are fewer clips
        than splits.

    Source: Salimans et al. 2016; the paper, section 6.1, with 50,000 clips in
    10 splits.
    """
    probs = check(probs)
    if not 1 <= splits <= len(probs):
        raise ValueError(
            f"splits is {splits}: expected 1 to {len(probs)}, the number of "
            "clips"
        )
    # Differs from the original: the number of clips need not be a multiple of
    # `splits`; some splits have one clip more.
    scores = [
        np.exp(_divergence(part, part.mean(0)).mean())
        for part in np.array_split(probs, splits)
    ]
    return float(np.mean(scores)), float(np.std(scores))


def modified_inception_score(probs: np.ndarray) -> float:
    """Computes the modified inception score: diversity within words as well.

    The score is exp(E KL(p(y|x) || p(y|x'))) over all pairs of two clips, where
    other implementations draw some of the pairs.

    Args:
      probs: Probabilities as for `inception_score`, of two clips or more.

    Raises:
      ValueError: `probs` does not hold probabilities.

    Source: Gurumurthy et al. 2017; on SC09, Kong et al. 2021 (DiffWave).
    """
    probs = check(probs)
    own = (probs * np.log(probs)).sum(1).mean()
    crossed = probs.mean(0) @ np.log(probs).mean(0)
    # The mean over all pairs includes each clip with itself, at distance 0; the
    # last factor takes these pairs out.
    return float(np.exp((own - crossed) * len(probs) / (len(probs) - 1)))


def am_score(probs: np.ndarray, reference: np.ndarray) -> float:
    """Computes the AM score: unsure predictions and unlike word frequencies.

    The score is KL(p_reference(y) || p(y)) + E H(p(y|x)), in nats; 0 is best.

    Args:
      probs: Probabilities as for `inception_score`, `[num_clips, num_words]`.
      reference: Probabilities for real clips, `[num_reference, num_words]`.

    Raises:
      ValueError: An argument does not hold probabilities.

    Source: Zhou et al. 2018; on SC09, Kong et al. 2021 (DiffWave).
    """
    probs, reference = check(probs), check(reference)
    entropy = -(probs * np.log(probs)).sum(1).mean()
    spread = _divergence(reference.mean(0)[None], probs.mean(0))[0]
    return float(spread + entropy)


def check(probs: np.ndarray) -> np.ndarray:
    """Checks probabilities and returns them as float64, none of them 0.

    Raises:
      ValueError: The rows do not sum to 1, or there are no rows.
    """
    probs = np.asarray(probs, np.float64)
    if probs.ndim != 2 or not len(probs) or not np.all(probs >= 0):
        raise ValueError(
            f"probs has shape {probs.shape}: expected probabilities "
            "[num_clips, num_words]"
        )
    if not np.allclose(probs.sum(1), 1, atol=1e-3):
        raise ValueError(
            "probs has rows that do not sum to 1: expected softmax"
        )
    return np.maximum(probs, FLOOR)


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Returns KL(p || q) of each row, in nats."""
    return (p * (np.log(p) - np.log(q))).sum(1)
