"""Weights that travel: both networks, without what only their run needs.

`generate` and `export` take a folder of them as they take a train dir; `train
--pretrained` starts from the one that comes with the program.
"""

import io
import pathlib
import zipfile
import zlib

import keras
import numpy as np

import gan as gan_lib

FOLDER = pathlib.Path(__file__).resolve().with_name("pretrained")
GENERATOR, DISCRIMINATOR = "generator.npz", "discriminator.npz"
DAMAGE: tuple[type[Exception], ...] = (OSError, KeyError, TypeError, ValueError)
DAMAGE += EOFError, zipfile.BadZipFile, zlib.error


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


def unpack(network: keras.Model, path: pathlib.Path) -> int:
    """Gives a network the weights that `pack` took; returns their step.

    Raises:
      ValueError: The file is damaged, or of a network of another shape.
    """
    try:
        room = sum(
            4 * weight.value.shape.num_elements() + 4096
            for weight in network.weights
        )
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > room + 4096:
                raise ValueError("it unpacks to too much")
        with np.load(path, allow_pickle=False) as file:
            for weight in network.weights:
                weight.assign(np.asarray(file[weight.path], np.float32))
            return int(file["step"])
    except DAMAGE as error:
        raise ValueError(
            f"{path} does not fit the network of its config.json ({error}): "
            "fetch it again"
        ) from None


def load(gan: gan_lib.GAN, folder: pathlib.Path) -> int:
    """Gives a GAN the weights in a folder, the average's too.

    Args:
      gan: Built as the folder's config says.
      folder: Holds `generator.npz` and `discriminator.npz`.

    Returns:
      Generator updates behind them.

    Raises:
      ValueError: A file is damaged, or of networks of another shape.
    """
    step = unpack(gan.generator, folder / GENERATOR)
    unpack(gan.discriminator, folder / DISCRIMINATOR)
    for critic in gan.spectral_critics:
        unpack(critic, folder / f"{critic.name}.npz")
    if gan.ema_decay:
        gan.ema_generator.set_weights(gan.generator.get_weights())
    return step
