"""Tests how the endurance benchmark measures growth of memory."""

import gc
import os
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from benchmarks import endurance


def samples(
    key: str = "files", growth: float = 0.0, warm_up: float = 0.0
) -> list[dict[str, Any]]:
    """Fifty samples of both processes of 5,000 steps.

    Args:
      key: The trainer's number that grows.
      growth: By how much in 1,000 steps.
      warm_up: By how much at once at step 900.
    """
    rng = np.random.default_rng(0)
    rows = []
    for step in range(0, 5000, 100):
        row: dict[str, Any] = {
            "step": step,
            "rss_mib": 700 + rng.uniform(-1, 1),
            "files": 12 + rng.integers(0, 3),  # some are open for a moment
            "threads": 11,
            "graphs": 4,
        }
        preview = {**row, "process": "preview"}
        row[key] += growth * step / 1000 - warm_up * (step < 900)
        rows += [{**row, "process": "trainer"}, preview]
    return rows


def test_what_goes_up_and_down_is_flat() -> None:
    assert endurance.report(samples())[1]


def test_what_grows_in_the_warm_up_alone_is_flat() -> None:
    assert endurance.report(samples("rss_mib", warm_up=200.0))[1]
    assert endurance.report(samples("graphs", warm_up=2))[1]


@pytest.mark.parametrize(
    ("key", "growth"),
    [("rss_mib", 1.5), ("files", 1), ("threads", 2), ("graphs", 1)],
)
def test_what_grows_for_ever_is_not_flat(key: str, growth: float) -> None:
    table, flat = endurance.report(samples(key, growth))
    assert not flat
    (line,) = [line for line in table.splitlines() if line.endswith("! |")]
    assert line.startswith(f"| trainer | {key} |")


def test_too_few_samples_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="too few samples"):
        endurance.report(samples()[:6])


def test_graphs_count_while_they_live(monkeypatch: pytest.MonkeyPatch) -> None:
    # What it puts in place goes with the test.
    monkeypatch.setattr(FuncGraph, "__init__", FuncGraph.__init__)
    alive = endurance.note_graphs()
    function = tf.function(lambda x: x + 1)
    before = len(alive)
    for number in range(3):
        function(number)  # each is traced anew
    assert len(alive) >= before + 3
    del function
    gc.collect()
    assert len(alive) == before


def test_this_process_is_counted_as_the_system_counts(
    tmp_path: pathlib.Path,
) -> None:
    before = endurance.count(os.getpid())
    with (tmp_path / "a").open("w"):
        after = endurance.count(os.getpid())
    assert after["files"] == before["files"] + 1
    assert after["threads"] >= 1 and after["rss_mib"] > 10
