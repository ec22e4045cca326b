"""Errors and signals of a program become exit codes, and one line on stderr."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from system import console


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    """Gives SIGTERM back the handler that it had before the test."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("two\n  lines"), 1, "x.py: two lines\n"),
        (FileNotFoundError("gone"), 4, "x.py: gone\n"),
        (EOFError("early"), 1, "x.py: early\n"),
        (KeyboardInterrupt(), 130, "x.py: stopped\n"),
    ],
)
def test_an_error_is_an_exit_code_and_a_line(
    error: BaseException,
    code: int,
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    codes = {FileNotFoundError: 4, Exception: 1}
    with (
        pytest.raises(SystemExit) as end,
        console.exit_codes("x.py", (EOFError,), codes=codes, stopped="stopped"),
    ):
        raise error
    assert end.value.code == code
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(EOFError), console.exit_codes("x.py"):
        raise EOFError


def test_sigterm_exits_after_the_clean_up() -> None:
    cleaned = False
    with pytest.raises(SystemExit) as end, console.exit_codes("x.py"):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned = True
    assert end.value.code == 143 and cleaned
