"""Opens exports as strangers do: each by its own runtime, without our code.

  python runtimes.py FORMAT FOLDER ...

Each folder holds an export, and z.npy beside it; `heard.npz` is written there:
the audio of all latent vectors at once, and of the first alone.
"""

import importlib.util
import pathlib
import sys
from collections.abc import Callable

import numpy as np

Generate = Callable[[np.ndarray], np.ndarray]


def open_saved_model(folder: pathlib.Path) -> Generate:
    """By TensorFlow; the samples of 16 bits must be those of the audio."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "saved_model"))

    def generate(z: np.ndarray) -> np.ndarray:
        heard = model.signatures["serving_default"](z=tf.constant(z))
        audio, samples = heard["G_z"].numpy(), heard["G_z_int16"].numpy()
        assert samples.dtype == np.int16
        scaled = np.clip(audio * 32768, -32768, 32767)
        assert np.abs(scaled - samples).max() <= 0.501
        return audio

    return generate


def open_keras(folder: pathlib.Path) -> Generate:
    """By Keras, in its safe mode."""
    import keras

    path = folder / "keras" / "generator.keras"
    model = keras.models.load_model(path, safe_mode=True)
    return lambda z: np.asarray(model(z))


def open_tflite(folder: pathlib.Path) -> Generate:
    """By LiteRT, which is not TensorFlow."""
    from ai_edge_litert import interpreter

    path = str(folder / "tflite" / "generator.tflite")
    generate = interpreter.Interpreter(path).get_signature_runner()
    return lambda z: generate(z=z)["G_z"]


def open_onnx(folder: pathlib.Path) -> Generate:
    """By ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "onnx" / "generator.onnx")
    return lambda z: session.run(["G_z"], {"z": z})[0]


OPENERS = {
    "savedmodel": open_saved_model,
    "keras": open_keras,
    "tflite": open_tflite,
    "onnx": open_onnx,
}


def main() -> None:
    """Hears every folder."""
    root = pathlib.Path(__file__).resolve().parent.parent
    sys.path = [p for p in sys.path if pathlib.Path(p).resolve() != root]
    assert importlib.util.find_spec("wavegan") is None
    form, *folders = sys.argv[1:]
    for folder in map(pathlib.Path, folders):
        z = np.load(folder / "z.npy", allow_pickle=False)
        generate = OPENERS[form](folder)
        np.savez(folder / "heard.npz", all=generate(z), first=generate(z[:1]))
    if form in ("tflite", "onnx"):
        assert "tensorflow" not in sys.modules


if __name__ == "__main__":
    main()
