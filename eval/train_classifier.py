"""Trains the word classifier that the scores need, on labelled audio files.

  python -m eval.train_classifier DATA_DIR --out clf/

DATA_DIR holds files such as Seven_x.wav or seven/x.wav, of any set of words,
ideally in the folders train/, valid/ and test/. Training takes minutes on a
CPU; `--recipe paper` is the paper's own recipe, which needs a GPU.
"""

import pathlib
import sys

if not __package__:  # started as a script: the package is one folder up
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from system import platforms

platforms.check("eval.train_classifier")

from system import atomic, console

console.import_tensorflow()

import argparse

import matplotlib.figure
import numpy as np

from eval import recipes


def draw_confusion(
    confusion: np.ndarray, words: list[str], path: pathlib.Path
) -> None:
    """Writes a plot of the confusion matrix.

    Args:
      confusion: Numbers of clips, `[labelled word, predicted word]`.
      words: Words in the order of the matrix.
      path: PNG file to write.
    """
    side = 2.5 + 0.35 * len(words)
    figure = matplotlib.figure.Figure(
        figsize=(side, side), layout="constrained"
    )
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(words)), words, rotation=90)
    axes.set_yticks(range(len(words)), words)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    for (row, column), count in np.ndenumerate(confusion):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(
                column, row, count, ha="center", va="center", color=colour
            )
    with atomic.file(path) as draft:
        figure.savefig(draft, dpi=100, format="png")


def main(arguments: argparse.Namespace) -> None:
    """Trains a classifier, writes its folder and prints its accuracy."""
    out_dir = arguments.out
    if out_dir.exists() and not out_dir.is_dir():
        raise ValueError(f"{out_dir} is a file: choose a folder for --out")
    out_dir.mkdir(parents=True, exist_ok=True)
    classifier, confusion = recipes.train(
        arguments.data_dir, arguments.recipe, arguments.seed
    )
    classifier.save(out_dir)
    draw_confusion(confusion, classifier.words, out_dir / "confusion.png")
    card = classifier.card
    for split, accuracy in card["accuracy"].items():
        print(
            f"{split}: {card['num_clips'][split]} clips, accuracy "
            f"{accuracy:.1%}, cross-entropy "
            f"{card['cross_entropy'][split]:.3f}, calibration error "
            f"{card['calibration_error'][split]:.3f}"
        )
    print(f"{out_dir}: {classifier.name}, {card['seconds']:.0f} s")


def parser() -> console.Parser:
    """Builds the parser of the command line."""
    result = console.Parser("eval.train_classifier", __doc__)
    result.add_argument(
        "data_dir",
        type=pathlib.Path,
        metavar="DATA_DIR",
        help="folder of labelled audio",
    )
    result.add_argument(
        "--out",
        type=pathlib.Path,
        required=True,
        help="folder for the classifier",
    )
    result.add_argument(
        "--recipe",
        choices=list(recipes.RECIPES),
        default="quick",
        help="settings of the training (default: quick)",
    )
    result.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of weights, order and augmentation (default: 0)",
    )
    return result


if __name__ == "__main__":
    console.run(parser(), main)
