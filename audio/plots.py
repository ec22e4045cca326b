"""Plots audio: waveforms above log-mel spectrograms."""

import io
from collections.abc import Sequence

import librosa
import matplotlib.cm
import matplotlib.colors
import matplotlib.figure
import matplotlib.ticker
import numpy as np

# Inches: a clip with the space around it, and the margins of a group.
WIDTH, HEIGHT = 1.9, 2.2
LEFT, RIGHT, BELOW, ABOVE = 0.5, 0.1, 0.5, 0.35
COLOR_BAR = 0.75
# Parts of a clip's place, 1 wide and 1 high, for spectrogram and waveform.
CLIP_WIDTH, SPECTROGRAM, WAVE = 0.94, (0.0, 0.58), (0.61, 0.89)
COLORS = matplotlib.cm.ScalarMappable(
    matplotlib.colors.Normalize(-80, 0), "magma"
)


def draw_clips(
    groups: dict[str, np.ndarray],
    sample_rate: int,
    row_titles: Sequence[str] = (),
) -> bytes:
    """Plots groups of clips side by side, each as waveform and spectrogram.

    Colours show level in decibels below the loudest point of a clip, from 0 to
    -80, so that quiet and loud clips can be compared by eye. The axes at the
    left and below are in kHz, on the mel scale, and in seconds.

    Args:
      groups: Audio by title, `[num_clips, num_samples, channels]` each;
        channels are averaged.
      sample_rate: Sampling rate in Hz.
      row_titles: Title of each row of a group; the clips are distributed evenly
        over the rows. If left out, a row holds four clips and has no title.

    Returns:
      Contents of a PNG file.
    """
    most = max(len(clips) for clips in groups.values())
    columns = most // len(row_titles) if row_titles else min(most, 4)
    lines = len(row_titles) or -(-most // columns)
    panel_width = LEFT + WIDTH * columns + RIGHT
    width = panel_width * len(groups) + COLOR_BAR
    height = BELOW + HEIGHT * lines + ABOVE
    figure = matplotlib.figure.Figure(figsize=(width, height))
    # One axes for each group: axes for each clip would take seconds to draw.
    for i, (title, clips) in enumerate(groups.items()):
        axes = figure.add_axes(
            (
                (panel_width * i + LEFT) / width,
                BELOW / height,
                WIDTH * columns / width,
                HEIGHT * lines / height,
            )
        )
        axes.set_title(title)
        axes.spines[:].set_visible(False)
        for j, clip in enumerate(clips):
            line, column = divmod(j, columns)
            place = column, lines - 1 - line
            _draw_clip(axes, place, clip.mean(axis=-1), sample_rate)
        for line, text in enumerate(row_titles):
            axes.text(0, lines - line - 0.1, text, va="bottom")
        axes.set_xlim(0, columns)
        axes.set_ylim(0, lines)
        secs = clips.shape[1] / sample_rate
        _label_axes(axes, columns, lines, secs, sample_rate)
    bar = figure.add_axes(
        (
            1 - COLOR_BAR / width,
            BELOW / height,
            0.15 / width,
            HEIGHT * lines / height,
        )
    )
    figure.colorbar(COLORS, cax=bar)
    bar.set_title("dB", fontsize="x-small")
    bar.tick_params(labelsize="x-small")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()


def _draw_clip(
    axes: matplotlib.axes.Axes,
    place: tuple[int, int],
    samples: np.ndarray,
    sample_rate: int,
) -> None:
    """Plots one clip, `[num_samples]`, at a place (left, lower end)."""
    left, low = place
    bottom, top = WAVE
    axes.plot(
        left + np.linspace(0, CLIP_WIDTH, len(samples)),
        low + bottom + (top - bottom) * (1 + samples.clip(-1, 1)) / 2,
        linewidth=0.4,
        color="0.25",
    )
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=sample_rate,
        n_fft=min(512, len(samples)),
        hop_length=128,
        n_mels=min(64, len(samples) // 8),
    )
    bottom, top = SPECTROGRAM
    axes.imshow(
        librosa.power_to_db(power, ref=np.max, amin=1e-8, top_db=80),
        origin="lower",
        aspect="auto",
        cmap=COLORS.cmap,
        norm=COLORS.norm,
        extent=(left, left + CLIP_WIDTH, low + bottom, low + top),
    )


def _label_axes(
    axes: matplotlib.axes.Axes,
    columns: int,
    lines: int,
    secs: float,
    sample_rate: int,
) -> None:
    """Labels frequencies at the left of each line, times below each column."""
    khz = [k for k in (0, 0.5, 1, 2, 4, 8, 16) if 2000 * k <= sample_rate]
    mels = librosa.hz_to_mel(1000 * np.array([*khz, sample_rate / 2000]))
    bottom, top = SPECTROGRAM
    heights = bottom + (top - bottom) * mels[:-1] / mels[-1]
    axes.set_yticks(
        np.add.outer(np.arange(lines), heights).ravel(),
        [f"{k:g}" for k in khz] * lines,
        fontsize="x-small",
    )
    times = np.array(matplotlib.ticker.MaxNLocator(3).tick_values(0, secs))
    times = times[times <= secs * (1 + 1e-9)]
    axes.set_xticks(
        np.add.outer(np.arange(columns), CLIP_WIDTH * times / secs).ravel(),
        [f"{t:g}" for t in times] * columns,
        fontsize="x-small",
    )
    axes.set_ylabel("kHz", fontsize="x-small")
    axes.set_xlabel("seconds", fontsize="x-small")
