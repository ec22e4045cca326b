"""Imports the word classifier that the paper's authors published.

  python -m eval.import_classifier PATH/best_acc-103005 --out clf_paper

PATH is the folder eval/inception of their repository,
https://github.com/chrisdonahue/wavegan, with the files best_acc-103005.index
and best_acc-103005.data-00000-of-00001. Inception scores by this classifier can
be compared with those of the paper: eval.score --classifier clf_paper.
"""

import pathlib
import sys

if not __package__:  # started as a script: the package is one folder up
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from system import platforms

platforms.check("eval.import_classifier")

from system import console

console.import_tensorflow()

import argparse
import collections
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from eval import classifier

# In the order of the outputs, as in the authors' infer.pbtxt.
WORDS = (
    *("zero", "one", "two", "three", "four"),
    *("five", "six", "seven", "eight", "nine"),
)
STEP = 103005  # update of the published checkpoint
TEST_ACCURACY = 0.93  # on SC09, as the paper reports it
_KINDS: dict[type, str] = {
    keras.layers.BatchNormalization: "batch_normalization",
    keras.layers.Conv2D: "conv2d",
    keras.layers.Dense: "dense",
}


def name_variables(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """Yields the authors' name of each variable of a classifier.

    TensorFlow 1 numbers layers of a kind: conv2d, conv2d_1, conv2d_2, ...

    Args:
      model: Model that `classifier.build_classifier` made.
    """
    counts: collections.Counter[str] = collections.Counter()
    for layer in model.layers:
        kind = _KINDS.get(type(layer))
        if not kind:
            continue
        number = f"_{counts[kind]}" if counts[kind] else ""
        counts[kind] += 1
        for variable in layer.weights:
            yield f"classifier/{kind}{number}/{variable.name}", variable


def read(path: str) -> classifier.Classifier:
    """Reads the authors' classifier from their TensorFlow 1 checkpoint.

    Args:
      path: `.../best_acc-103005`, or one of the checkpoint's files.

    Raises:
      FileNotFoundError: There is no such checkpoint.
      ValueError: The checkpoint is damaged, or holds another network.

    Source: the authors' eval/inception/train.py.
    """
    path = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path)
    if not pathlib.Path(f"{path}.index").is_file():
        raise FileNotFoundError(
            f"{path}.index is missing: name the checkpoint in the folder "
            "eval/inception of https://github.com/chrisdonahue/wavegan, "
            f"PATH/best_acc-{STEP}"
        )
    # The authors' classifier hears the clip alone.
    model = classifier.build_classifier(len(WORDS), noise_floor=False)
    variables = dict(name_variables(model))
    shapes = {name: list(v.shape) for name, v in variables.items()}
    shapes["global_step"] = []
    try:
        reader = tf.train.load_checkpoint(path)
        found = reader.get_variable_to_shape_map()
        for name, shape in shapes.items():
            if found.get(name) != shape:
                raise ValueError(
                    f"{name} has shape {found.get(name)}, expected {shape}"
                )
        values = {name: reader.get_tensor(name) for name in shapes}
    except Exception as error:  # TensorFlow raises many types
        raise ValueError(
            f"{path} is not the authors' classifier, or damaged: "
            f"{console.in_one_line(error)}"
        ) from None
    if values["global_step"] != STEP:
        raise ValueError(
            f"{path} is of update {values['global_step']}: expected {STEP}, "
            "that of the published classifier"
        )
    if not all(np.all(np.isfinite(value)) for value in values.values()):
        raise ValueError(f"{path} has non-finite weights: fetch it again")
    for name, variable in variables.items():
        variable.assign(values[name])
    card = {
        "words": list(WORDS),
        "by_the_authors": True,
        "origin": f"chrisdonahue/wavegan, eval/inception/best_acc-{STEP}",
        "accuracy": {"test": TEST_ACCURACY},
        "fingerprint": classifier.fingerprint(model.get_weights()),
    }
    return classifier.Classifier(model, card)


def main(arguments: argparse.Namespace) -> None:
    """Reads the checkpoint and writes the classifier's folder."""
    imported = read(arguments.checkpoint)
    imported.save(arguments.out)
    print(f"{arguments.out}: {imported.name}")


def parser() -> console.Parser:
    """Builds the parser of the command line."""
    result = console.Parser("eval.import_classifier", __doc__)
    result.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help=f"checkpoint of the authors' classifier, PATH/best_acc-{STEP}",
    )
    result.add_argument(
        "--out",
        type=pathlib.Path,
        required=True,
        help="folder for the classifier",
    )
    return result


if __name__ == "__main__":
    console.run(parser(), main)
