"""Scores of predicted probabilities: inception score, modified, and AM."""

import numpy as np

FLOOR = 1e-12  # below which a probability counts as this


def inception_score(probs: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """Scores how surely words are heard, and how evenly they are spread.

    exp(E KL(p(y|x) || p(y))), with p(y) of the clip's own split.

    Args:
      probs: Of each word for each clip, `[num_clips, num_words]`, in random
        order; rows sum to 1.
      splits: Equal parts (to a clip) that are scored apart.

    Returns:
      Mean over the splits, from 1 to num_words, and its standard deviation.

    Raises:
      ValueError: `probs` is not of that kind, or there are fewer clips than
        splits.

    Source: Salimans et al. 2016; the paper, section 6.1, with 50,000 clips in
    10 splits.
    """
    probs = check(probs)
    if not 1 <= splits <= len(probs):
        raise ValueError(
            f"splits is {splits}: expected 1 to {len(probs)}, the number of "
            "clips"
        )
    # Differs from the original: clips that do not divide by the splits are no
    # error; some splits have one more.
    scores = [
        np.exp(_divergence(part, part.mean(0)).mean())
        for part in np.array_split(probs, splits)
    ]
    return float(np.mean(scores)), float(np.std(scores))


def modified_inception_score(probs: np.ndarray) -> float:
    """Scores diversity within words as well.

    exp(E KL(p(y|x) || p(y|x'))) over all pairs of two clips, where others draw
    some of them.

    Args:
      probs: As for `inception_score`; two clips or more.

    Raises:
      ValueError: `probs` is not of that kind.

    Source: Gurumurthy et al. 2017; on SC09, Kong et al. 2021 (DiffWave).
    """
    probs = check(probs)
    own = (probs * np.log(probs)).sum(1).mean()
    crossed = probs.mean(0) @ np.log(probs).mean(0)
    # The mean over all pairs counts each clip with itself, at no distance.
    return float(np.exp((own - crossed) * len(probs) / (len(probs) - 1)))


def am_score(probs: np.ndarray, reference: np.ndarray) -> float:
    """Scores unsure clips and a spread of words unlike the reference's.

    KL(p_reference(y) || p(y)) + E H(p(y|x)), in nats; 0 is best.

    Args:
      probs: As for `inception_score`.
      reference: Likewise, of real clips, `[num_reference, num_words]`.

    Raises:
      ValueError: They are not of that kind.

    Source: Zhou et al. 2018; on SC09, Kong et al. 2021 (DiffWave).
    """
    probs, reference = check(probs), check(reference)
    entropy = -(probs * np.log(probs)).sum(1).mean()
    spread = _divergence(reference.mean(0)[None], probs.mean(0))[0]
    return float(spread + entropy)


def check(probs: np.ndarray) -> np.ndarray:
    """Probabilities in float64, none of them 0.

    Raises:
      ValueError: Rows do not sum to 1, or there are none.
    """
    probs = np.asarray(probs, np.float64)
    if probs.ndim != 2 or not len(probs) or not np.all(probs >= 0):
        raise ValueError(
            f"probs is of shape {probs.shape}: expected probabilities "
            "[num_clips, num_words]"
        )
    if not np.allclose(probs.sum(1), 1, atol=1e-3):
        raise ValueError(
            "probs has rows that do not sum to 1: expected softmax"
        )
    return np.maximum(probs, FLOOR)


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p || q) of each row, in nats."""
    return (p * (np.log(p) - np.log(q))).sum(1)
