"""Reads and writes float16 weight files of released networks.

All modes that read take a folder of them as they take a train dir; `train
--pretrained` starts from one.
"""

import io
import pathlib
import zipfile
import zlib
from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np

from networks import audio_model as audio_model_lib
from system import atomic
from training import config as config_lib

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "pretrained"
GENERATOR = "generator.npz"
DAMAGE: tuple[type[Exception], ...] = (OSError, KeyError, TypeError, ValueError)
DAMAGE += EOFError, IndexError, zipfile.BadZipFile, zlib.error
LABELS = "label_project/embeddings"  # path of the weights that are of labels
Rows = Sequence[int | None]


def pack(network: keras.Model, step: int) -> bytes:
    """Makes an NPZ file of a network's weights, as float16, and its step.

    Of 11 significant bits: the error is 66 dB below each weight.
    """
    file = io.BytesIO()
    weights: dict[str, Any] = {
        weight.path: np.asarray(weight, np.float16)
        for weight in network.weights
    }
    np.savez_compressed(file, step=np.int64(step), **weights)
    return file.getvalue()


def save(
    audio_model: audio_model_lib.AudioModel, folder: pathlib.Path, step: int
) -> None:
    """Writes the weights of all networks, averaged ones where there are."""
    networks = {**audio_model.networks, **audio_model.averages}
    for name, network in networks.items():
        atomic.write(_file(folder, name), pack(network, step))


def unpack(
    network: keras.Model, path: pathlib.Path, rows: Rows | None = None
) -> int:
    """Gives a network the weights that `pack` took; returns their step.

    Args:
      network: Of the same shape, but it may know other labels, or none.
      path: The file.
      rows: For each label of the network, the label of the file whose weights
        it takes over; None for a label that keeps its own. If left out, the
        labels are the same.

    Raises:
      ValueError: The file is damaged, or of a network of another shape.
    """
    try:
        limit = sum(
            4 * weight.value.shape.num_elements() + 4096
            for weight in network.weights
        )
        with zipfile.ZipFile(path) as archive:
            if (
                sum(part.file_size for part in archive.infolist())
                > limit + 4096
            ):
                raise ValueError("it unpacks to too much")
        with np.load(path, allow_pickle=False) as file:
            for weight in network.weights:
                if weight.path == LABELS and rows is not None:
                    value = np.array(weight)
                    for label, row in enumerate(rows):
                        if row is not None:
                            value[label] = file[LABELS][row]
                else:
                    value = np.asarray(file[weight.path], np.float32)
                weight.assign(value)
            return int(file["step"])
    except DAMAGE as error:
        raise ValueError(
            f"{path} does not fit the network of its config.json ({error}): "
            "fetch it again"
        ) from None


def load(
    audio_model: audio_model_lib.AudioModel,
    folder: pathlib.Path,
    rows: Rows | None = None,
    without: Collection[str] = (),
) -> int:
    """Gives a model the weights in a folder, and its averages too.

    Args:
      audio_model: Built as the folder's config says, but for its labels.
      folder: Holds a file for each network, such as `generator.npz`.
      rows: For each label of the model, the label there; see `unpack`.
      without: Names of networks that keep their weights.

    Returns:
      Training steps that made them.

    Raises:
      ValueError: A file is damaged, or of networks of another shape.
    """
    for name, network in audio_model.networks.items():
        if name not in without:
            step = unpack(network, _file(folder, name), rows)
    for name, average in audio_model.averages.items():
        average.set_weights(audio_model.networks[name].get_weights())
    return step


def load_shared(
    audio_model: audio_model_lib.AudioModel,
    folder: pathlib.Path,
    shipped: config_lib.RunConfig,
    config: config_lib.RunConfig,
) -> int:
    """Gives a model the weights in a folder of all that both of them have.

    Words that one of them lacks, and spectral critics, do not matter: new ones
    start anew, as do spectral critics of another width.

    Args:
      audio_model: Built as `config` says.
      folder: As `load` takes it.
      shipped: The folder's config.
      config: Of the same networks but for those words and critics.

    Returns:
      Training steps that made the weights.

    Raises:
      ValueError: A file is damaged, or of networks of another shape.
    """
    known = shipped.data.words
    rows = [
        known.index(word) if word in known else None
        for word in config.data.words
    ]
    without = config.train.new_networks(shipped.train)
    return load(audio_model, folder, rows, without)


def _file(folder: pathlib.Path, network: str) -> pathlib.Path:
    """Returns the path of a network's weights."""
    return folder / f"{network}.npz"
