"""The estimate of training on several GPUs, and the page that shows it."""

import pathlib

import pytest

import wavegan
from benchmarks import scaling

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/distributed.md"


def test_the_table_of_the_page_is_the_one_that_is_calculated() -> None:
    table = scaling.markdown(wavegan.WaveGANConfig(), scaling.TFLOPS)
    assert table in PAGE.read_text(encoding="utf-8")


def test_a_ring_moves_nearly_twice_the_bytes() -> None:
    assert scaling.communication(1, 1e9, 1e9) == 0
    assert scaling.communication(2, 1e9, 1e9) == 1
    assert scaling.communication(1000, 1e9, 1e9) == pytest.approx(2, rel=2e-3)
