"""Plots audio: waveforms above log-mel spectrograms."""

import io
from collections.abc import Sequence

import librosa
import matplotlib.figure
import matplotlib.image
import numpy as np


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
    figure = matplotlib.figure.Figure(
        figsize=(2.1 * columns * len(groups) + 1.0, 2.2 * lines + 0.6),
        layout="constrained",
    )
    panels = np.atleast_1d(figure.subfigures(1, len(groups), wspace=0.02))
    for panel, (title, clips) in zip(panels, groups.items(), strict=True):
        panel.suptitle(title)
        axes = panel.subplots(
            2 * lines,
            columns,
            squeeze=False,
            height_ratios=[1, 2] * lines,
        )
        for axis in axes.flat:
            axis.set_axis_off()
        image = None
        for row_title, axis in zip(row_titles, axes[::2, 0], strict=False):
            axis.set_title(row_title, loc="left", fontsize="medium")
        for i, clip in enumerate(clips):
            line, column = divmod(i, columns)
            spectrogram = axes[2 * line + 1, column]
            image = _draw_clip(
                axes[2 * line, column],
                spectrogram,
                clip.mean(axis=-1),
                sample_rate,
            )
            below = i + columns >= len(clips)
            _label_axes(spectrogram, left=not column, below=below)
        if panel is panels[-1] and image:
            bar = panel.colorbar(image, ax=axes, aspect=40)
            bar.ax.tick_params(labelsize="x-small")
            bar.set_label("dB", fontsize="x-small")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()


def _draw_clip(
    wave: matplotlib.axes.Axes,
    spectrogram: matplotlib.axes.Axes,
    samples: np.ndarray,
    sample_rate: int,
) -> matplotlib.image.AxesImage:
    """Plots one clip, `[num_samples]`, into two axes; returns the picture."""
    wave.plot(samples, linewidth=0.4, color="0.25")
    wave.set_xlim(0, len(samples))
    wave.set_ylim(-1, 1)
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=sample_rate,
        n_fft=min(512, len(samples)),
        hop_length=128,
        n_mels=min(64, len(samples) // 8),
    )
    # In seconds, and in mels.
    top = librosa.hz_to_mel(sample_rate / 2)
    image = spectrogram.imshow(
        librosa.power_to_db(power, ref=np.max, amin=1e-8, top_db=80),
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-80,
        vmax=0,
        extent=(0, len(samples) / sample_rate, 0, float(top)),
    )
    ticks = [k for k in (0, 0.5, 1, 2, 4, 8, 16) if 2000 * k <= sample_rate]
    places = [librosa.hz_to_mel(1000 * k) for k in ticks]
    spectrogram.set_yticks(places, [f"{k:g}" for k in ticks])
    return image


def _label_axes(
    spectrogram: matplotlib.axes.Axes, left: bool, below: bool
) -> None:
    """Shows the axis of frequencies, that of time, or both."""
    spectrogram.set_axis_on()
    spectrogram.tick_params(
        labelsize="x-small",
        left=left,
        labelleft=left,
        bottom=below,
        labelbottom=below,
    )
    spectrogram.locator_params(axis="x", nbins=4)
    if left:
        spectrogram.set_ylabel("kHz", fontsize="x-small")
    if below:
        spectrogram.set_xlabel("seconds", fontsize="x-small")
