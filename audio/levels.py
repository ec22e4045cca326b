"""Finds float files that exceed full scale, such as int16 samples as floats."""

import contextlib
from collections.abc import Sequence

import numpy as np

from audio import decode, headers

_MAX_FILES = 1000  # that are looked at
_NUM_PLACES, _PLACE_LEN = 4, 4096  # parts of each file, and their samples


def _peak(info: headers.AudioInfo) -> float:
    """Returns the largest magnitude in some parts of a file."""
    peak = 0.0
    last = max(0, info.num_samples - _PLACE_LEN)
    for start in np.unique(np.linspace(0, last, _NUM_PLACES).astype(int)):
        stop = min(int(start) + _PLACE_LEN, info.num_samples)
        rate, channels = info.sample_rate, info.channels
        with contextlib.suppress(headers.BadAudioError):  # reported elsewhere
            audio = decode.read(info, int(start), stop, rate, channels)
            peak = max(peak, float(np.abs(audio).max()))
    return peak


def describe_loud(infos: Sequence[headers.AudioInfo]) -> str:
    """Counts the float files that exceed full scale.

    At most a thousand of the float files are looked at, in four places each.

    Returns:
      Part of a sentence, such as "3 of 5 float files exceed full scale, by up
      to 32767 times"; "" if there are none.
    """
    floats = [i for i in infos if i.subtype in ("FLOAT", "DOUBLE")]
    step = -(-len(floats) // _MAX_FILES) or 1
    peaks = np.array([_peak(info) for info in floats[::step]])
    loud = int((peaks > 1.0).sum())
    if not loud:
        return ""
    looked = "" if step == 1 else " that were looked at"
    return (
        f"{loud} of {len(peaks)} float files{looked} exceed full scale, by up "
        f"to {peaks.max():.4g} times"
    )
