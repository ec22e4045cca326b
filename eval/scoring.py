"""Computes scores of sets of clips, and measures each set once."""

import dataclasses
import sys
from collections.abc import Callable

import numpy as np

from eval import classifier, clips, embedding, metrics, similarity
from system import device

# Transforms of log-mel spectrograms before the search for nearest neighbours.
VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "similarity": lambda log_mels: log_mels,
    "memorisation": similarity.audible,
}


@dataclasses.dataclass(frozen=True)
class Job:
    """The sets to score, the real sets to compare with, and the metrics.

    Attributes:
      names: Names of the metrics, keys of METRICS.
      systems: Sets to score.
      real: Sets of real clips by kind, as in `metrics.Trial`.
      splits: Number of splits of the inception score.
      seed: Seed of all random draws.
      embed: Function from audio to features, in place of the classifier's;
        None: the classifier's.
    """

    names: list[str]
    systems: list[clips.Source]
    real: dict[str, clips.Source]
    splits: int = 10
    seed: int = 0
    embed: embedding.Embedding | None = None

    def sets(self) -> list[clips.Source]:
        """Returns all sets, those to score and the real ones."""
        return [*self.systems, *self.real.values()]

    @property
    def uses_classifier(self) -> bool:
        """Whether one of the metrics depends on the classifier."""
        used = {"words"} if self.embed else {"words", "features"}
        return any(metrics.METRICS[name].uses in used for name in self.names)

    def least(self, name: str) -> int:
        """Returns the smallest number of clips that a metric can score."""
        # The score of a split with only a few clips is meaningless.
        in_splits = 10 * self.splits * (name == "inception")
        return max(metrics.METRICS[name].least, in_splits)

    def lack(self, name: str) -> str:
        """Returns an error message if a metric lacks a set or clips, or "".

        Real clips that a score is only divided by may be few, or absent.
        """
        needs = metrics.METRICS[name].needs
        for need in needs:
            if need not in self.real:
                return (
                    f"{name} compares with {need} clips: give them by "
                    f"--{need}_dir, or leave {name} out"
                )
        least = self.least(name)
        real = self.real.values()
        scored = [source for source in self.systems if source not in real]
        for source in [*scored, *(self.real[need] for need in needs)]:
            if source.num_clips < least:
                return (
                    f"{name} needs at least {least} clips, but {source.name} "
                    f"has {source.num_clips}: give more, or leave {name} out"
                )
        return ""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Scores of a set of clips.

    Attributes:
      trial: Measurements that the scores were computed from.
      scores: Scores by column.
      neighbours: Index of the nearest reference clip for each distance of
        `memorisation`; empty if this metric was not computed.
    """

    trial: metrics.Trial
    scores: dict[str, metrics.Score]
    neighbours: np.ndarray


def run(
    job: Job, word_classifier: classifier.Classifier | None
) -> list[Outcome]:
    """Scores each system of a job.

    Args:
      job: The sets and the metrics.
      word_classifier: The classifier; None if the job does not use one.

    Returns:
      Scores of each system. A set of real clips that is too small for a metric
      has no score by it.

    Raises:
      ValueError: A metric lacks a set or clips; a file cannot be decoded.
    """
    for lack in map(job.lack, job.names):
        if lack:
            raise ValueError(lack)
    print(device.describe(), file=sys.stderr)
    measured = {
        id(source): clips.measure(source, word_classifier, job.embed)
        for source in job.sets()
    }
    real = {kind: measured[id(s)] for kind, s in job.real.items()}
    sets = [measured[id(source)] for source in job.systems]
    if "heldout" in real:
        sets.append(real["heldout"])
    found = {
        name: _find_neighbours(sets, job.real["reference"], view)
        for name, view in VIEWS.items()
        if name in job.names
    }
    outcomes = []
    for i, one in enumerate(sets):
        distances = {name: pairs[i][0] for name, pairs in found.items()}
        indices = np.array([], int)
        if "memorisation" in found:
            indices = found["memorisation"][i][1]
            distances["heldout"] = found["memorisation"][-1][0]
        trial = metrics.Trial(
            one,
            tuple(word_classifier.words if word_classifier else ()),
            real,
            distances,
            job.splits,
            job.seed,
        )
        able = [n for n in job.names if one.source.num_clips >= job.least(n)]
        outcomes.append(Outcome(trial, _compute(trial, able), indices))
    if "heldout" in real:
        heldout = outcomes.pop().scores
        for outcome in outcomes:
            _relate(outcome.scores, heldout, job.names)
    return outcomes


def _find_neighbours(
    sets: list[clips.Clips],
    reference: clips.Source,
    view: Callable[[np.ndarray], np.ndarray],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Finds nearest neighbours for all sets in one pass over the reference.

    Returns:
      Distances and indices into the reference, for each set.
    """
    distances, indices = similarity.nearest(
        np.concatenate([view(one.log_mels) for one in sets]),
        (view(similarity.embed(audio)) for audio in reference),
    )
    ends = np.cumsum([len(one.log_mels) for one in sets])[:-1]
    return list(
        zip(np.split(distances, ends), np.split(indices, ends), strict=True)
    )


def _compute(
    trial: metrics.Trial, names: list[str]
) -> dict[str, metrics.Score]:
    """Computes the scores of all columns of the named metrics."""
    scores: dict[str, metrics.Score] = {}
    for name in names:
        scores |= metrics.METRICS[name].compute(trial)
    return scores


def _relate(
    scores: dict[str, metrics.Score],
    real: dict[str, metrics.Score],
    names: list[str],
) -> None:
    """Sets the ratio to held-out clips in the columns that report one."""
    for name in names:
        for key, column in metrics.METRICS[name].columns.items():
            if not column.relative or not {key} <= real.keys() & scores.keys():
                continue
            if real[key].value > 0:
                share = scores[key].value / real[key].value
                scores[key] = dataclasses.replace(scores[key], relative=share)
