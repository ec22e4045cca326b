"""Writes a trained generator in formats that other software opens.

Each maps latent vectors, and labels if the run has any, to audio, of any number
of clips at once, and needs nothing of this repository to do so. Its
description, `generator.json`, lies beside it.
"""

import contextlib
import importlib
import json
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from modes import card, keras_twin, render
from networks import audio_model as audio_model_lib
from system import atomic, console, settings
from training import config as config_lib
from training import model as model_lib
from training import train_dir

INPUT, OUTPUT = "z", "G_z"  # names of the original
LABEL = "label"
DESCRIPTION = "generator.json"
OPSET = 15  # of ONNX; runtimes of 2021 know it
MAX_BYTES = 2**31 - 2**24  # of weights, where a file ends at 2 GiB


def write_saved_model(
    audio_model: audio_model_lib.AudioModel, folder: pathlib.Path
) -> None:
    """Writes a SavedModel, which needs TensorFlow alone.

    It is the generator as it is here, fast layers and precision included. Its
    default signature maps `z` to `G_z`, float32 audio in [-1, 1], and
    `G_z_int16`, both `[batch, slice_len, channels]`. With labels it takes
    `label` too, int32, `[batch]`, and refuses those that there are not.

    Source: the mode `infer` of the authors' code.
    """
    num_labels = audio_model.num_labels

    def generate(z: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        for label in labels:
            tf.debugging.Assert(
                tf.reduce_all((label >= 0) & (label < num_labels)),
                [f"expected labels of 0 to {num_labels - 1}, got", label],
            )
        audio = audio_model.generate(z, *labels)
        samples = tf.clip_by_value(tf.round(audio * 32768), -32768, 32767)
        return {OUTPUT: audio, OUTPUT + "_int16": tf.cast(samples, tf.int16)}

    networks = audio_model.generating_networks.values()
    _save(_serve(generate, audio_model), networks, folder)


def write_keras(
    audio_model: audio_model_lib.AudioModel, folder: pathlib.Path
) -> None:
    """Writes `generator.keras`, which Keras opens in its safe mode.

    Raises:
      ValueError: A layer has no stock twin.
    """
    keras_twin.build(audio_model).save(folder / "generator.keras")


def write_hub(
    audio_model: audio_model_lib.AudioModel, folder: pathlib.Path
) -> None:
    """Writes the files that Keras loads from a model hub, by an address hf://.

    Raises:
      ValueError: A layer has no stock twin.
    """
    keras_twin.build(audio_model).save(folder, zipped=False)


def write_tflite(
    audio_model: audio_model_lib.AudioModel, folder: pathlib.Path
) -> None:
    """Writes `generator.tflite`, also called LiteRT.

    Raises:
      ValueError: A layer has no stock twin, or the network is too big.
    """
    generator = _small(keras_twin.build(audio_model))
    serve = _serve(_stock_audio(generator), audio_model)
    with tempfile.TemporaryDirectory(dir=folder) as saved:
        _save(serve, [generator], pathlib.Path(saved))
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        with console.without_stderr():
            content = converter.convert()
    (folder / "generator.tflite").write_bytes(content)


def write_onnx(
    audio_model: audio_model_lib.AudioModel, folder: pathlib.Path
) -> None:
    """Writes `generator.onnx`.

    Raises:
      ValueError: The converter is missing, a layer has no stock twin, or the
        network is too big.
    """
    converter = _optional("tf2onnx.convert")
    serve = _serve(
        _stock_audio(_small(keras_twin.build(audio_model))), audio_model
    )
    with console.without_stderr():
        model, _ = converter.from_function(serve, serve.input_signature, OPSET)
    (folder / "generator.onnx").write_bytes(model.SerializeToString())


class Format(NamedTuple):
    """A format of exports.

    Attributes:
      folder: Name of the folder that it is written to.
      write: Writes a generator to a folder.
      for_hub: Whether `README.md` and samples, which model hubs show, are
        written too.
    """

    folder: str
    write: Callable[[audio_model_lib.AudioModel, pathlib.Path], None]
    for_hub: bool = False


FORMATS = {  # by the value of --format
    "savedmodel": Format("saved_model", write_saved_model),
    "keras": Format("keras", write_keras),
    "tflite": Format("tflite", write_tflite),
    "onnx": Format("onnx", write_onnx),
    "hf": Format("hf", write_hub, for_hub=True),
}


def check(name: str) -> None:
    """Raises SettingError if no format has that name."""
    settings.check_value("format", name, choices=tuple(FORMATS))


def export(
    audio_model: audio_model_lib.AudioModel,
    directory: train_dir.TrainDir,
    config: config_lib.RunConfig,
    *,
    model: model_lib.Model,
    form: str,
    out_dir: pathlib.Path,
) -> None:
    """Writes the generator and its description, or nothing.

    Args:
      audio_model: Built as the config says.
      directory: A train dir; it may be training.
      config: Of its run.
      model: The model, for the description.
      form: A key of `FORMATS`.
      out_dir: Gets the format's folder; made if missing.

    Raises:
      FileNotFoundError: There is no checkpoint.
      ValueError: There is no such format, or it cannot hold this generator.
    """
    check(form)
    chosen = FORMATS[form]
    step = train_dir.restore(audio_model, directory)
    target = out_dir / chosen.folder
    with atomic.folder(target) as draft:
        chosen.write(audio_model, draft)
        description = describe(config, model.name, form, step)
        text = json.dumps(description, indent=2) + "\n"
        (draft / DESCRIPTION).write_text(text)
        if chosen.for_hub:
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(target / card.FILE, draft)
            known, usage = card.read(directory.path), _usage(config)
            card.write(draft, config, model, step, known, usage)
            render.write_samples(audio_model, config, step, draft)
    print(f"step {step}: {target}")


def _usage(config: config_lib.RunConfig) -> str:
    """Describes how Keras loads a generator from a model hub, in Markdown."""
    sizes, words = config.model, config.data.words
    inputs, label = "z", ""
    if words:
        inputs = "[z, label]"
        label = f'label = np.array([0], "int32")  # says "{words[0]}"\n'
    shape = f"[1, {sizes.slice_len}, {sizes.channels}]"
    return f"""The generator consists of stock Keras layers and needs no other
code. `generator.json` has its settings.

```
pip install keras tensorflow huggingface_hub
```

```python
import keras
import numpy as np

generator = keras.saving.load_model("hf://USER/MODEL")
rng = np.random.default_rng(0)
z = rng.uniform(-1, 1, (1, {sizes.latent_dim})).astype("float32")
{label}audio = generator({inputs})  # {shape}, float32 in [-1, 1]
```"""


def describe(
    config: config_lib.RunConfig, model: str, form: str, step: int
) -> dict[str, Any]:
    """Describes an export: inputs, outputs, rate, words, origin.

    Args:
      config: Of the run.
      model: Its name.
      form: A key of `FORMATS`.
      step: Generator updates that made the weights.
    """
    sizes = config.model
    # Where the data were is nobody's business elsewhere.
    folder = pathlib.PurePath(config.data.dir).name
    saved = config_lib.to_json(config.replace(dir=folder))
    inputs: Any = {"name": INPUT, "shape": [None, sizes.latent_dim]}
    labels = {}
    if words := config.data.words:
        inputs = [
            {**inputs, "dtype": "float32"},
            {"name": LABEL, "shape": [None], "dtype": "int32"},
        ]
        labels["words"] = list(words)  # that labels stand for, 0 and up
    return {
        "format": form,
        "model": model,
        "sample_rate": config.data.sample_rate,
        "slice_len": sizes.slice_len,
        "channels": sizes.channels,
        "latent_dim": sizes.latent_dim,
        "latent_distribution": "uniform in [-1, 1)",
        "input": inputs,
        "output": {
            "name": OUTPUT,
            "shape": [None, sizes.slice_len, sizes.channels],
        },
        **labels,
        "step": step,
        "config": saved["model"],
        "data": saved["data"],
        "train": saved["train"],
        "versions": train_dir.versions(),
    }


def _serve(
    generate: Callable[..., dict[str, tf.Tensor]],
    audio_model: audio_model_lib.AudioModel,
) -> Any:
    """Makes a graph of any number of clips from a function of its inputs.

    Args:
      generate: Maps latent vectors, and labels if there are any, to what the
        graph gives, by name.
      audio_model: Whose inputs it takes.
    """
    z = tf.TensorSpec([None, audio_model.latent_dim], name=INPUT)
    if not audio_model.num_labels:
        return tf.function(lambda z: generate(z), input_signature=[z])
    label = tf.TensorSpec([None], tf.int32, name=LABEL)
    return tf.function(
        lambda z, label: generate(z, label), input_signature=[z, label]
    )


def _stock_audio(
    generator: keras.Model,
) -> Callable[..., dict[str, tf.Tensor]]:
    """Gives a stock generator's audio a name."""

    def generate(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            OUTPUT: generator(inputs[0] if len(inputs) == 1 else list(inputs))
        }

    return generate


def _save(
    serve: Any, networks: Iterable[keras.Model], folder: pathlib.Path
) -> None:
    """Writes a SavedModel of a graph and the networks that it calls."""
    module = tf.Module()
    # Weights that a Keras model owns end the process of TensorFlow Lite's
    # converter, TensorFlow 2.17's (tensorflow/tensorflow issue 63987).
    module.weights = [
        variable.value for network in networks for variable in network.variables
    ]
    tf.saved_model.save(module, str(folder), serve)


def _small(network: keras.Model) -> keras.Model:
    """Returns the network; ValueError if no file of 2 GiB can hold it."""
    size = 4 * network.count_params()
    if size > MAX_BYTES:
        raise ValueError(
            f"its weights take {size:,} bytes, but such files end at 2 GiB: "
            "export by --format=savedmodel or keras"
        )
    return network


def _optional(name: str) -> ModuleType:
    """Imports what requirements.txt does not install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"{name} cannot be imported ({error}), which this format needs: "
            "pip install -r requirements-export.txt"
        ) from None
