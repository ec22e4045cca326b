"""A small archive of the shape of Speech Commands v0.01, and its web server.

What the tests of `sc09.py` share: they start it as a user would.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import io
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SC09 = str(ROOT / "sc09.py")
Serve = Callable[..., "Server"]

# Members with what the official lists say of their speakers.
CLIPS = {
    "zero/51055bda_nohash_0.wav": "train/Zero_51055bda_nohash_0.wav",
    "seven/51055bda_nohash_4.wav": "train/Seven_51055bda_nohash_4.wav",
    "seven/5fe4a278_nohash_0.wav": "train/Seven_5fe4a278_nohash_0.wav",
    "seven/439c84f4_nohash_1.wav": "valid/Seven_439c84f4_nohash_1.wav",
    "nine/0c40e715_nohash_0.wav": "test/Nine_0c40e715_nohash_0.wav",
}
LISTS = {
    "validation_list.txt": "bed/026290a7_nohash_0.wav\n"
    "seven/439c84f4_nohash_1.wav\n",
    "testing_list.txt": "nine/0c40e715_nohash_0.wav\n",
}
OTHERS = {
    "README.md": b"# Speech Commands Data Set v0.01",
    "bed/026290a7_nohash_0.wav": b"another word",
    "_background_noise_/white_noise.wav": bytes(40000),
    "_background_noise_/README.md": b"Noise",
}


def clip_of(member: str) -> bytes:
    """Some bytes of a clip's length; a download is not to look inside."""
    seed = list(member.encode())
    return np.random.default_rng(seed).bytes(32044)


def pack(
    files: dict[str, bytes], *odd: tarfile.TarInfo, prefix: str = ""
) -> bytes:
    """Returns a .tar.gz of the files, with odd members at its end."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in odd:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def contents(lists: dict[str, str] | None = None) -> dict[str, bytes]:
    """Returns the files of the archive, with the lists given or its own."""
    lists = LISTS if lists is None else lists
    return {
        **OTHERS,
        **{member: clip_of(member) for member in CLIPS},
        **{name: text.encode() for name, text in lists.items()},
    }


@dataclasses.dataclass
class Server:
    """A web server with one file and the faults that a test gives it."""

    content: bytes
    knows_ranges: bool = True
    cut_after: int | None = None  # bytes of a body, then the line goes dead
    pause_secs: float = 0.0  # between pieces of 10 kB
    says_length: bool = True
    url: str = ""
    ranges: list[str | None] = dataclasses.field(default_factory=list)

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """Sends the file, or the part of it that is asked for."""
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        if request.path != "/speech.tar.gz":
            request.send_error(404)
            return
        match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        start = int(match[1]) if match and self.knows_ranges else 0
        if start >= len(self.content):
            request.send_error(416)
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        if self.says_length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        body = body[: self.cut_after]
        for i in range(0, len(body), 10_000):
            request.wfile.write(body[i : i + 10_000])
            time.sleep(self.pause_secs)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers that last as long as the test."""
    running = []

    def start(content: bytes, **faults: object) -> Server:
        server = Server(content, **faults)  # type: ignore[arg-type]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802  the library's name
                with contextlib.suppress(ConnectionError):
                    server.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(web)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{web.server_port}/speech.tar.gz"
        return server

    yield start
    for web in running:
        web.shutdown()
        web.server_close()


def download_args(server: Server, **changes: object) -> list[str]:
    """Returns the flags that fit what a server has, some of them changed."""
    flags = {
        "url": server.url,
        "sha256": hashlib.sha256(server.content).hexdigest(),
        "num_bytes": len(server.content),
    }
    return [f"--{name}={value}" for name, value in (flags | changes).items()]


def run(
    *args: object, cwd: pathlib.Path, patch: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs sc09.py; `patch` is Python that changes its module first."""
    command = [sys.executable, SC09]
    if patch:
        code = f"import sc09\n{patch}\n"
        code += "sc09.app.run(sc09.main, flags_parser=sc09.parse_flags)"
        command = [sys.executable, "-c", code]
    return subprocess.run(
        [*command, *map(str, args)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def download(
    server: Server, folder: str, cwd: pathlib.Path
) -> subprocess.CompletedProcess[str]:
    """Runs `sc09.py download` with the flags that fit a server."""
    return run("download", folder, *download_args(server), cwd=cwd)


def assert_one_line(
    done: subprocess.CompletedProcess[str], *words: str
) -> None:
    """Asserts that a run failed, and with one line that has all the words."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("sc09.py: ")
    for word in words:
        assert word in done.stderr


def names_in(folder: pathlib.Path) -> set[str]:
    """Returns what is in a folder."""
    return {path.name for path in folder.iterdir()}


def clips_in(data_dir: pathlib.Path) -> dict[str, bytes]:
    """Returns the clips of a data set by their place in it."""
    return {
        path.relative_to(data_dir).as_posix(): path.read_bytes()
        for path in data_dir.rglob("*.wav")
    }


EXPECTED = {place: clip_of(member) for member, place in CLIPS.items()}
