"""Shared fixtures: a quiet TensorFlow, slow tests last, fixed seeds."""

from __future__ import annotations

from system import console

console.import_tensorflow()  # before other modules do

import pathlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from absl import logging

# In a shell's background Ctrl-C is ignored, by all that is started there.
signal.signal(signal.SIGINT, signal.default_int_handler)
pytest.register_assert_rewrite("browser")  # tests take its fixtures


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts slow tests last, and first of the others those that run commands.

    These take longest: if they were last, one process would be left with them.
    """

    def place(item: pytest.Item) -> tuple[bool, bool]:
        is_slow = item.get_closest_marker("slow") is not None
        return is_slow, not hasattr(
            getattr(item, "module", None), "command_runner"
        )

    items.sort(key=place)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run; Keras and TF are seeded too."""
    keras.utils.set_random_seed(7)
    return np.random.default_rng(7)


@pytest.fixture
def randomize(rng: np.random.Generator) -> Callable[[Any], Any]:
    """Gives a model random weights, biases and batch-norm averages too.

    Fresh models have zero biases, and ones and zeros in their batch norms,
    which hide many mistakes. Signals keep about unit scale.
    """

    def fill(model: Any) -> Any:
        weights = []
        for variable in model.weights:
            shape = tuple(variable.shape)
            if len(shape) > 1:
                value = rng.normal(0, np.prod(shape[:-1]) ** -0.5, shape)
            elif variable.path.endswith(("gamma", "variance")):
                value = rng.uniform(0.5, 1.5, shape)
            else:
                value = rng.normal(0, 0.3, shape)
            weights.append(value.astype(np.float32))
        model.set_weights(weights)
        return model

    return fill


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Runs tf.functions line by line, so that a test can look inside."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def audio(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder of eleven short sounds."""
    folder = tmp_path_factory.mktemp("audio")
    rng = np.random.default_rng(0)
    for i in range(11):
        samples = 0.3 * rng.standard_normal(200 + 40 * i)
        soundfile.write(folder / f"{i}.wav", samples, 16000)
    return folder


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the project's modules warn of."""
    said: list[str] = []
    keep = lambda text, *args: said.append(text % args)  # noqa: E731
    monkeypatch.setattr(logging, "warning", keep)
    return said
