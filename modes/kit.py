"""Makes a kit for a sampler: which clips, their names and their MIDI notes."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from eval import features

FIRST_NOTE = 36  # MIDI note of the first pad of most drum samplers, C1 or C2
MAX_CLIPS = 128 - FIRST_NOTE  # the MIDI notes from there on
SFZ, JSON = "kit.sfz", "kit.json"


def choose(audio: np.ndarray, num_clips: int) -> list[int]:
    """Chooses clips as far apart as possible.

    The first is the one nearest to the mean; each further one is the one whose
    nearest neighbour among those chosen is farthest away (farthest-point
    traversal; Gonzalez, 1985, which is within a factor of two of the best).

    Args:
      audio: Clips, `[batch, 16384]`, as from `eval.features.fit`.
      num_clips: Number of clips to choose, at most all.

    Returns:
      Indices of the chosen clips, in the order of choice. Distances are
      Euclidean, of log-mel spectrograms.
    """
    points = features.log_mel(features.add_noise_floor(audio), hop_len=512)
    points = points.reshape(len(points), -1)
    nearest = np.linalg.norm(points - points.mean(axis=0), axis=1)
    chosen = [int(nearest.argmin())]
    nearest = np.full(len(points), np.inf)
    while len(chosen) < num_clips:
        distance = np.linalg.norm(points - points[chosen[-1]], axis=1)
        nearest = np.minimum(nearest, distance)
        chosen.append(int(nearest.argmax()))
    return chosen


def name(number: int, model: str, clip: str) -> str:
    """Names a file of a kit, without suffix.

    Args:
      number: Place in the kit, from 1 on.
      model: Name of the model.
      clip: Name of the clip, as `generate` names it.
    """
    return f"{number:02d}_{model}_{clip.replace('/', '_')}"


def maps(
    model: str, step: int, clips: Sequence[dict[str, Any]]
) -> dict[str, bytes]:
    """Makes the files that say which MIDI note plays which clip.

    Args:
      model: Name of the model.
      step: Step of its weights.
      clips: What is known of each clip: its "file", "seed" and "word".

    Returns:
      Contents of `kit.sfz` and `kit.json`, by name.

    Source: the opcodes of https://sfzformat.com.
    """
    rows = [{"note": FIRST_NOTE + i, **clip} for i, clip in enumerate(clips)]
    regions = [
        f"<region> key={row['note']} sample={row['file']}" for row in rows
    ]
    text = "\n".join(
        [
            f"// {model}, step {step}: a clip on each key from {FIRST_NOTE} on",
            "<group> loop_mode=one_shot",
            *regions,
            "",
        ]
    )
    card = {"model": model, "step": step, "clips": rows}
    return {
        SFZ: text.encode(),
        JSON: (json.dumps(card, indent=2) + "\n").encode(),
    }
