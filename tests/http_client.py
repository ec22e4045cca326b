"""Sends HTTP requests to the server of `play`, as a browser does."""

from __future__ import annotations

import io
import re
from typing import Any

import flask.testing
import numpy as np
import soundfile

PORT = 8000
URL = f"http://127.0.0.1:{PORT}"
RATE = 22050
Client = flask.testing.FlaskClient


def get(client: Client, path: str, **headers: str) -> Any:
    """The answer to a request; `Sec_Fetch_Site` is a header."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return client.get(path, base_url=URL, headers=named)


def clip_of(client: Client, query: str) -> np.ndarray:
    """The samples of a clip, `[slice_len, channels]`."""
    answer = get(client, f"/clip?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "audio/wav"
    audio, rate = soundfile.read(io.BytesIO(answer.data), always_2d=True)
    assert rate == RATE
    return audio


def assert_refused(answer: Any, code: int) -> None:
    """One plain sentence, and the code."""
    assert answer.status_code == code, answer.text
    assert answer.mimetype == "text/plain"
    assert re.fullmatch(r"[A-Z][^\n]+\.\n", answer.text), answer.text
    assert "<" not in answer.text
