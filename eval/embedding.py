"""Computes features of sounds without words, in place of the classifier's.

Frechet and kernel distance, precision and recall compare sets of points. By
default a point is what the word classifier computes of a clip, which means
little for drums or birds. An embedding is any other function from clips to
points.
"""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from eval import classifier, clips, features

MEL = "mel"  # name of the built-in embedding
NUM_COMPONENTS = 64
MAX_CLIPS = 2000  # of the reference, to which the components are fitted
# The mean of blocks of a log-mel spectrogram of 128 frames and 128 bands.
FRAMES, BANDS = 32, 64

Embed = Callable[[np.ndarray], np.ndarray]


class Embedding:
    """A function from clips to points, with a name and a fingerprint.

    Args:
      name: Name in reports.
      embed: Function from audio, `[batch, 16384]`, to points, `[batch, dim]`.
      fingerprint: Digest of what the function depends on.
    """

    def __init__(self, name: str, embed: Embed, fingerprint: str) -> None:
        self.name, self.fingerprint = name, fingerprint
        self._embed = embed

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Computes points, `[batch, dim]`.

        Raises:
          ValueError: The function returns other shapes, or no finite numbers.
        """
        points = np.asarray(self._embed(audio), np.float64)
        if points.ndim != 2 or len(points) != len(audio):
            raise ValueError(
                f"the embedding {self.name} makes an array of shape "
                f"{points.shape} of {len(audio)} clips: expected "
                f"[{len(audio)}, dim]"
            )
        if not np.isfinite(points).all():
            raise ValueError(f"the embedding {self.name} is not finite")
        return points


def load(name: str, reference: clips.Source) -> Embedding:
    """Makes the embedding that a command line names.

    Args:
      name: "mel", or the folder of a SavedModel.
      reference: Real clips.

    Raises:
      ValueError: There is no such SavedModel, or it cannot be loaded.
    """
    return fit_mel(reference) if name == MEL else load_model(name)


def fit_mel(reference: clips.Source) -> Embedding:
    """Fits the principal components of log-mel spectrograms.

    The spectrograms have the noise floor that the classifier adds. Points are
    the first 64 components (fewer, if there are fewer clips), not whitened, but
    all divided by one number, by which the mean square of a coordinate is 1 for
    the reference. The components are those of the reference: compare only
    scores with the same one.

    Args:
      reference: Real clips, of which the first 2,000 are used; they are in
        random order.
    """
    count = min(reference.num_clips, MAX_CLIPS)
    some = dataclasses.replace(reference, num_clips=count)
    batches = list(some)
    points = np.concatenate([_mel(audio) for audio in batches])
    mean = points.mean(axis=0)
    _, _, axes = np.linalg.svd(points - mean, full_matrices=False)
    axes = axes[:NUM_COMPONENTS]
    axes /= np.sqrt(np.mean(((points - mean) @ axes.T) ** 2))
    return Embedding(
        MEL,
        lambda audio: (_mel(audio) - mean) @ axes.T,
        # Not of the components, whose rounding differs between machines.
        classifier.fingerprint(batches),
    )


def _mel(audio: np.ndarray) -> np.ndarray:
    """Computes coarse log-mel spectrograms, `[batch, 2048]`."""
    mel = features.log_mel(features.add_noise_floor(audio))
    blocks = mel.reshape(
        len(mel),
        *(FRAMES, mel.shape[1] // FRAMES),
        *(BANDS, mel.shape[2] // BANDS),
    )
    return blocks.mean(axis=(2, 4)).reshape(len(mel), -1).astype(np.float64)


def load_model(folder: str) -> Embedding:
    """Loads a SavedModel that takes a clip, such as YAMNet or VGGish.

    It is called with the samples of one clip, float32 at 16 kHz, `[16384]`. Its
    result, or of several results the second one (YAMNet's embeddings), is
    averaged over all axes but the last.

    Args:
      folder: Folder of the SavedModel.

    Raises:
      ValueError: It holds no SavedModel, or one that takes no such clip.
    """
    if not (pathlib.Path(folder) / "saved_model.pb").exists():
        raise ValueError(
            f"--embedding is {folder!r}: expected {MEL}, or the folder of a "
            "SavedModel"
        )
    model = tf.saved_model.load(folder)

    def embed(audio: np.ndarray) -> np.ndarray:
        return np.stack([call(clip) for clip in audio.astype(np.float32)])

    def call(clip: np.ndarray) -> np.ndarray:
        try:
            result = model(tf.constant(clip))
        except (TypeError, ValueError, tf.errors.OpError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{folder} takes no clip of shape {clip.shape}: {reason}"
            ) from None
        if isinstance(result, (tuple, list)):
            result = result[1]
        points = np.asarray(result)
        return points.reshape(-1, points.shape[-1]).mean(axis=0)

    variables = [v.numpy() for v in getattr(model, "variables", ())]
    return Embedding(
        pathlib.Path(folder).name, embed, classifier.fingerprint(variables)
    )
