"""Formats scores as a Markdown table and as JSON."""

import dataclasses
from typing import Any

from eval import metrics, scoring

ARROWS = {1: " ↑", -1: " ↓", 0: ""}


def markdown(
    names: list[str], outcomes: list[scoring.Outcome], words: list[str]
) -> str:
    """Makes a table with a row for each set; 95% intervals are in brackets.

    Args:
      names: Names of the metrics.
      outcomes: Scores of each set.
      words: Words that the classifier knows; empty without a classifier.

    Returns:
      The table in Markdown.
    """
    columns = {
        key: column
        for name in names
        for key, column in metrics.METRICS[name].columns.items()
    }
    titles = [c.title + ARROWS[c.better] for c in columns.values()]
    if "classes" in names:
        titles.append(f"% heard as {'/'.join(words)}")
    lines = [["clips", "n", *titles]]
    lines.append(["---"] * len(lines[0]))
    for outcome in outcomes:
        source = outcome.trial.clips.source
        scores = outcome.scores
        cells = [_cell(scores[key]) if key in scores else "" for key in columns]
        if "classes" in names:
            heard = [scores.get(f"heard_{word}") for word in words]
            shares = [f"{100 * score.value:.0f}" for score in heard if score]
            cells.append("/".join(shares))
        lines.append([source.name, f"{source.num_clips:,}", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(score: metrics.Score) -> str:
    """Formats a score, such as 4.671 ± 0.012 [4.621, 4.713] (0.6)."""
    places = 3 - len(f"{abs(score.value):.0f}") + 1
    form = f",.{max(places, 0)}f" if abs(score.value) < 1e6 else ".3g"
    text = f"{score.value:{form}}"
    if score.std is not None:
        text += f" ± {score.std:{form}}"
    text += f" [{score.low:{form}}, {score.high:{form}}]"
    if score.relative is not None:
        text += f" ({score.relative:.1f})"
    return text


def rows(outcomes: list[scoring.Outcome]) -> list[dict[str, Any]]:
    """Returns the rows of the table for JSON, in full precision."""
    return [
        {
            "name": outcome.trial.clips.source.name,
            "num_clips": outcome.trial.clips.source.num_clips,
            "scores": {
                key: {
                    field: value
                    for field, value in dataclasses.asdict(score).items()
                    if value is not None
                }
                for key, score in outcome.scores.items()
            },
        }
        for outcome in outcomes
    ]


def footnote(settings: dict[str, Any]) -> str:
    """Describes in one line the settings that the scores depend on."""
    parts = [f"{settings['splits']} splits", f"seed {settings['seed']}"]
    if settings["classifier"]:
        parts.insert(0, f"Classifier {settings['classifier']['name']}")
    if embedding := settings["embedding"]:
        text = f"Embedding {embedding['name']} ({embedding['fingerprint'][:8]})"
        parts.insert(0, text)
    if settings["normalize"]:
        parts.append("the peak of each clip at 1")
    for source in settings["real"].values():
        parts.append(f"{source['name']} ({source['num_clips']:,} clips)")
    return "; ".join(parts) + "."
