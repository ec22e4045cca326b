"""Reads and writes float16 weight files of released networks.

All modes that read take a folder of them as they take a train dir; `train
--pretrained` starts from one.
"""

import io
import pathlib
import zipfile
import zlib
from collections.abc import Sequence

import keras
import numpy as np

import gan as gan_lib
from system import atomic
from training import config as config_lib

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "pretrained"
GENERATOR, DISCRIMINATOR = "generator.npz", "discriminator.npz"
DAMAGE: tuple[type[Exception], ...] = (OSError, KeyError, TypeError, ValueError)
DAMAGE += EOFError, IndexError, zipfile.BadZipFile, zlib.error
LABELS = "label_project/embeddings"  # path of the weights that are of labels
Rows = Sequence[int | None]


def pack(network: keras.Model, step: int) -> bytes:
    """Makes an NPZ file of a network's weights, as float16, and its step.

    Of 11 significant bits: the error is 66 dB below each weight.
    """
    file = io.BytesIO()
    weights = {
        weight.path: np.asarray(weight, np.float16)
        for weight in network.weights
    }
    np.savez_compressed(file, step=np.int64(step), **weights)
    return file.getvalue()


def save(gan: gan_lib.GAN, folder: pathlib.Path, step: int) -> None:
    """Writes the weights of all networks, the generator's averaged ones."""
    for name, network in (
        (GENERATOR, gan.ema_generator),
        (DISCRIMINATOR, gan.discriminator),
        *((f"{critic.name}.npz", critic) for critic in gan.spectral_critics),
    ):
        atomic.write(folder / name, pack(network, step))


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
    gan: gan_lib.GAN,
    folder: pathlib.Path,
    rows: Rows | None = None,
    num_critics: int | None = None,
) -> int:
    """Gives a GAN the weights in a folder, the average's too.

    Args:
      gan: Built as the folder's config says, but for its labels.
      folder: Holds `generator.npz` and `discriminator.npz`.
      rows: For each label of the GAN, the label there; see `unpack`.
      num_critics: Spectral critics that take weights from there, the first
        ones; others keep theirs. All of them if left out.

    Returns:
      Generator updates that made them.

    Raises:
      ValueError: A file is damaged, or of networks of another shape.
    """
    step = unpack(gan.generator, folder / GENERATOR, rows)
    unpack(gan.discriminator, folder / DISCRIMINATOR, rows)
    for critic in gan.spectral_critics[:num_critics]:
        unpack(critic, folder / f"{critic.name}.npz", rows)
    if gan.ema_decay:
        gan.ema_generator.set_weights(gan.generator.get_weights())
    return step


def load_shared(
    gan: gan_lib.GAN,
    folder: pathlib.Path,
    shipped: config_lib.RunConfig,
    config: config_lib.RunConfig,
) -> int:
    """Gives a GAN the weights in a folder of all that both of them have.

    Words that one of them lacks, and spectral critics, do not matter: new ones
    start anew, as do spectral critics of another width.

    Args:
      gan: Built as `config` says.
      folder: As `load` takes it.
      shipped: The folder's config.
      config: Of the same networks but for those words and critics.

    Returns:
      Generator updates that made the weights.

    Raises:
      ValueError: A file is damaged, or of networks of another shape.
    """
    known = shipped.data.words
    rows = [
        known.index(word) if word in known else None
        for word in config.data.words
    ]
    old, new = shipped.train, config.train
    num_critics = 0
    if old.spectral_dim == new.spectral_dim:
        num_critics = min(old.spectral_critics, new.spectral_critics)
    return load(gan, folder, rows, num_critics)
