"""Defines the metrics: a row of METRICS and a function of a Trial each."""

import dataclasses
from collections.abc import Callable

import numpy as np

from eval import bootstrap, coverage, frechet, inception, similarity
from eval.clips import Clips

# The largest number of clips of either set that a metric uses.
MAX_KERNEL_CLIPS = 2500  # memory grows with the square
MAX_PRDC_CLIPS = 10000


@dataclasses.dataclass(frozen=True)
class Trial:
    """Everything that the scores of a set are computed from.

    Attributes:
      clips: Measurements of the set to be scored.
      words: Words that the classifier knows; empty without a classifier.
      real: Measurements of real clips by kind: `reference`, which the generator
        was trained on, and `heldout`, which it was not trained on; a kind that
        was not given is absent.
      distances: Distances to the nearest clip of the reference, under the keys
        `similarity` and `memorisation` for the scored clips, by the distance of
        these metrics, and `heldout` for the held-out clips, by the distance of
        `memorisation`.
      splits: Number of splits of the inception score.
      seed: Seed of all random draws.
    """

    clips: Clips
    words: tuple[str, ...]
    real: dict[str, Clips]
    distances: dict[str, np.ndarray]
    splits: int = 10
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Score:
    """A score with its confidence interval.

    Attributes:
      value: The score.
      low: Lower end of the 95% confidence interval.
      high: Upper end of the 95% confidence interval.
      std: Standard deviation over splits, or over clips, where the paper gives
        one.
      relative: The value divided by the value for held-out real clips, where
        the paper prints this ratio.
    """

    value: float
    low: float
    high: float
    std: float | None = None
    relative: float | None = None


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a metric in the table of scores.

    Attributes:
      title: Title of the column in a Markdown table.
      better: Direction of better scores: 1 for higher, -1 for lower, 0 for
        closer to real clips.
      relative: Whether the score divided by that of held-out clips is printed
        as well.
    """

    title: str
    better: int
    relative: bool = False


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric: its function, its columns and its requirements.

    Attributes:
      compute: Function from a Trial to scores by key; those without a column
        of the same key are not printed in the table.
      columns: Columns by key.
      least: Smallest number of clips in every set that it uses.
      needs: Kinds of real clips that the metric compares with.
      uses: What it depends on: "words" (the classifier's probabilities),
        "features" (of the classifier or another embedding), or "" (neither).
    """

    compute: Callable[[Trial], dict[str, Score]]
    columns: dict[str, Column]
    least: int
    needs: tuple[str, ...] = ()
    uses: str = "words"


def _score(
    trial: Trial,
    statistic: Callable[[np.ndarray], float],
    num_clips: int,
    std: float | None = None,
) -> Score:
    """Computes a statistic of all clips, with its confidence interval."""
    value = statistic(np.arange(num_clips))
    ends = bootstrap.interval(value, statistic, num_clips, trial.seed)
    return Score(value, *ends, std=std)


def _mean(trial: Trial, values: np.ndarray, with_std: bool = False) -> Score:
    """Computes the mean over clips, with its confidence interval."""
    std = float(values.std()) if with_std else None
    return _score(trial, lambda i: float(values[i].mean()), len(values), std)


def _inception(trial: Trial) -> dict[str, Score]:
    probs = trial.clips.probs
    score = _score(
        trial,
        lambda i: inception.inception_score(probs[i], trial.splits)[0],
        len(probs),
        std=inception.inception_score(probs, trial.splits)[1],
    )
    return {"inception": score}


def _modified_inception(trial: Trial) -> dict[str, Score]:
    probs = trial.clips.probs
    return {
        "modified_inception": _score(
            trial,
            lambda i: inception.modified_inception_score(probs[i]),
            len(probs),
        )
    }


def _am(trial: Trial) -> dict[str, Score]:
    probs, real = trial.clips.probs, trial.real["reference"].probs
    return {
        "am": _score(
            trial, lambda i: inception.am_score(probs[i], real), len(probs)
        )
    }


def _frechet(trial: Trial) -> dict[str, Score]:
    ours, real = trial.clips.embeddings, trial.real["reference"].embeddings
    return {
        "frechet": _score(
            trial, lambda i: frechet.frechet_distance(ours[i], real), len(ours)
        )
    }


def _kernel(trial: Trial) -> dict[str, Score]:
    ours = trial.clips.embeddings[:MAX_KERNEL_CLIPS]
    real = trial.real["reference"].embeddings[:MAX_KERNEL_CLIPS]
    distance, n = frechet.kernel_statistic(ours, real), len(ours)
    return {
        "kernel": _score(trial, lambda i: distance(np.bincount(i, None, n)), n)
    }


def _prdc(trial: Trial) -> dict[str, Score]:
    ours, real = trial.clips.embeddings, trial.real["reference"].embeddings
    count = min(len(ours), len(real), MAX_PRDC_CLIPS)
    values = coverage.precision_recall_density_coverage(
        ours[:count], real[:count]
    )
    return {key: _mean(trial, value) for key, value in vars(values).items()}


def _ndb(trial: Trial) -> dict[str, Score]:
    ours, real = coverage.bin_features(
        trial.clips.embeddings,
        trial.real["reference"].embeddings,
        seed=trial.seed,
    )
    return {
        "ndb": _score(
            trial, lambda i: coverage.different_bins(ours[i], real), len(ours)
        )
    }


def _similarity(trial: Trial) -> dict[str, Score]:
    among, _ = similarity.nearest(
        trial.clips.log_mels, [trial.clips.log_mels], exclude_self=True
    )
    return {
        "self_distance": _mean(trial, among, with_std=True),
        "train_distance": _mean(
            trial, trial.distances["similarity"], with_std=True
        ),
    }


def _noise(trial: Trial) -> dict[str, Score]:
    noise, power = trial.clips.noise, trial.clips.power

    def level(i: np.ndarray) -> float:
        return float(noise[i].mean() / max(np.sqrt(power[i].mean()), 1e-12))

    return {
        "noise": _mean(trial, noise, with_std=True),
        "noise_levelled": _score(trial, level, len(noise)),
    }


def _memorisation(trial: Trial) -> dict[str, Score]:
    threshold = np.quantile(trial.distances["heldout"], 0.05)
    close = (trial.distances["memorisation"] < threshold).astype(float)
    return {"memorisation": _mean(trial, close)}


def _classes(trial: Trial) -> dict[str, Score]:
    predicted = trial.clips.probs.argmax(1)
    return {
        f"heard_{word}": _mean(trial, (predicted == i).astype(float))
        for i, word in enumerate(trial.words)
    }


METRICS = {
    "inception": Metric(
        _inception, {"inception": Column("inception score", 1)}, least=100
    ),
    "modified_inception": Metric(
        _modified_inception,
        {"modified_inception": Column("modified inception score", 1)},
        least=100,
    ),
    "am": Metric(_am, {"am": Column("AM", -1)}, 100, ("reference",)),
    "frechet": Metric(
        _frechet,
        {"frechet": Column("Frechet distance", -1)},
        least=200,
        needs=("reference",),
        uses="features",
    ),
    "kernel": Metric(
        _kernel,
        {"kernel": Column("kernel distance", -1)},
        least=50,
        needs=("reference",),
        uses="features",
    ),
    "prdc": Metric(
        _prdc,
        {
            "precision": Column("precision", 1),
            "recall": Column("recall", 1),
            "density": Column("density", 1),
            "coverage": Column("coverage", 1),
        },
        least=50,
        needs=("reference",),
        uses="features",
    ),
    "ndb": Metric(
        _ndb,
        {"ndb": Column("NDB/K", -1)},
        least=200,
        needs=("reference",),
        uses="features",
    ),
    "similarity": Metric(
        _similarity,
        {
            "self_distance": Column(r"\|D\|self", 0, relative=True),
            "train_distance": Column(r"\|D\|train", 0, relative=True),
        },
        least=50,
        needs=("reference",),
        uses="",
    ),
    "noise": Metric(
        _noise,
        {
            "noise": Column("noise", 0, relative=True),
            "noise_levelled": Column("noise, levelled", 0, relative=True),
        },
        least=50,
        uses="",
    ),
    "memorisation": Metric(
        _memorisation,
        {"memorisation": Column("memorised", 0)},
        least=50,
        needs=("reference", "heldout"),
        uses="",
    ),
    "classes": Metric(_classes, {}, least=50),
}
