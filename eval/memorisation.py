"""Reports whether a generator copies its training set: distances and pairs."""

import pathlib

import matplotlib.figure
import numpy as np
import soundfile

import loader
from eval import clips, features, scoring
from system import atomic

NUM_PAIRS = 10


def write_report(
    out_dir: pathlib.Path, outcome: scoring.Outcome, reference: clips.Source
) -> None:
    """Writes a plot of distances, and the closest pairs as WAV files.

    Args:
      out_dir: Folder for `distances.png`, `01_generated.wav`,
        `01_training.wav`, ...
      outcome: Scores of the generated clips, with their nearest neighbours.
      reference: The training clips.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    trial, generated = outcome.trial, outcome.trial.clips.source
    _plot(
        out_dir / "distances.png",
        {
            "held-out real clips": trial.distances["heldout"],
            generated.name: trial.distances["memorisation"],
        },
    )
    distances = trial.distances["memorisation"]
    closest = np.argsort(distances, kind="stable")[:NUM_PAIRS]
    for rank, i in enumerate(closest, start=1):
        for name, source, at in (
            ("generated", generated, int(i)),
            ("training", reference, int(outcome.neighbours[i])),
        ):
            samples = loader.to_int16(source.load(at, at + 1)[0])
            with atomic.file(out_dir / f"{rank:02d}_{name}.wav") as draft:
                soundfile.write(
                    draft, samples, features.SAMPLE_RATE, "PCM_16", format="WAV"
                )


def _plot(path: pathlib.Path, groups: dict[str, np.ndarray]) -> None:
    """Plots histograms of each group's distances to the nearest neighbour."""
    figure = matplotlib.figure.Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    farthest = max(distances.max() for distances in groups.values())
    bins = np.linspace(0, 1.02 * farthest + 1e-9, 60).tolist()
    for label, distances in groups.items():
        weights = np.full(len(distances), 1 / len(distances))
        axes.hist(distances, bins, weights=weights, alpha=0.6, label=label)
    axes.set_xlabel("distance to the nearest training clip (audible log-mel)")
    axes.set_ylabel("share of clips")
    axes.legend()
    with atomic.file(path) as draft:
        figure.savefig(draft, dpi=100, format="png")
