"""Opens exports by their own runtimes alone, without the code of this project.

  python benchmarks/export_runtimes.py FORMAT FOLDER ...

Each folder holds an export, and inputs.npz beside it: `z`, and `label` if the
generator takes one. `heard.npz` is written there: the audio of all latent
vectors at once, and of the first alone.
"""

import importlib.util
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Generate = Callable[..., np.ndarray]  # of z, or z and label
NAMES = "z", "label"  # of the inputs, in order


def open_saved_model(folder: pathlib.Path) -> Generate:
    """Opens a SavedModel by TensorFlow; checks its samples of 16 bits."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "saved_model"))

    def generate(*inputs: np.ndarray) -> np.ndarray:
        named = dict(zip(NAMES, map(tf.constant, inputs), strict=False))
        heard = model.signatures["serving_default"](**named)
        audio, samples = heard["G_z"].numpy(), heard["G_z_int16"].numpy()
        assert samples.dtype == np.int16
        scaled = np.clip(audio * 32768, -32768, 32767)
        assert np.abs(scaled - samples).max() <= 0.501
        return audio

    return generate


def call_keras(model: Any) -> Generate:
    """Calls a Keras model with arrays."""
    return lambda *inputs: np.asarray(
        model(inputs[0] if len(inputs) == 1 else list(inputs))
    )


def open_keras(folder: pathlib.Path) -> Generate:
    """Opens a `.keras` file by Keras, in its safe mode."""
    import keras

    path = folder / "keras" / "generator.keras"
    return call_keras(keras.models.load_model(path, safe_mode=True))


def open_hub(folder: pathlib.Path) -> Generate:
    """Opens the folder `hf` by Keras, as it does after a download."""
    import keras

    return call_keras(keras.saving.load_model(folder / "hf"))


def open_tflite(folder: pathlib.Path) -> Generate:
    """Opens a TFLite file by LiteRT, which is not TensorFlow."""
    from ai_edge_litert import interpreter

    path = str(folder / "tflite" / "generator.tflite")
    generate = interpreter.Interpreter(path).get_signature_runner()
    return lambda *inputs: generate(**dict(zip(NAMES, inputs, strict=False)))[
        "G_z"
    ]


def open_onnx(folder: pathlib.Path) -> Generate:
    """Opens an ONNX file by ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "onnx" / "generator.onnx")
    return lambda *inputs: session.run(
        ["G_z"], dict(zip(NAMES, inputs, strict=False))
    )[0]


OPENERS = {
    "savedmodel": open_saved_model,
    "keras": open_keras,
    "tflite": open_tflite,
    "onnx": open_onnx,
    "hf": open_hub,
}


def main() -> None:
    """Hears every folder."""
    # This checkout, and any other that the environment knows.
    sys.path = [
        p for p in sys.path if not pathlib.Path(p, "wavegan.py").exists()
    ]
    assert importlib.util.find_spec("wavegan") is None
    form, *folders = sys.argv[1:]
    for folder in map(pathlib.Path, folders):
        with np.load(folder / "inputs.npz", allow_pickle=False) as given:
            inputs = [given[name] for name in NAMES if name in given]
        generate = OPENERS[form](folder)
        first = generate(*(each[:1] for each in inputs))
        np.savez(folder / "heard.npz", all=generate(*inputs), first=first)
    if form in ("tflite", "onnx"):
        assert "tensorflow" not in sys.modules


if __name__ == "__main__":
    main()
