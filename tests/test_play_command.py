"""Tests the command `play`: address, load, shutdown."""

from __future__ import annotations

import contextlib
import pathlib
import re
import signal
import socket
import time
import urllib.request

import browser as browser_lib
import command_runner
import pytest

from modes import play

pytestmark = pytest.mark.slow


def test_a_port_that_is_taken_ends_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command_runner.run("play", "--pretrained", f"--port={port}")
    command_runner.assert_one_line(done, f"--port is {port}", "another program")


def ask(port: int, request: bytes) -> bytes:
    """What the server answers to some bytes."""
    with socket.create_connection(
        ("127.0.0.1", port), timeout=10
    ) as connection:
        connection.sendall(request)
        return connection.recv(64)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_it_listens_on_this_machine_alone_until_a_signal_comes(
    number: signal.Signals, code: int
) -> None:
    with command_runner.play("--pretrained") as (process, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        port = int(url.rstrip("/").rpartition(":")[2])
        # Another address of this machine; open if all of them were.
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=1)
        host = f"Host: 127.0.0.1:{port}\r\n".encode()
        get = f"GET /clip?{browser_lib.query(1, pad=1)} HTTP/1.1\r\n".encode()
        assert b" 200 " in ask(port, get + host + b"\r\n")
        assert b" 403 " in ask(port, get + b"Host: evil.example\r\n\r\n")
        assert b" 403 " in ask(port, b"GET / HTTP/1.0\r\n\r\n")
        long = b"X: " + b"x" * 2 * play.MAX_HEADER_BYTES
        assert b" 431 " in ask(port, get + host + long + b"\r\n\r\n")
        big = b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n"
        assert b" 413 " in ask(port, big + host + b"\r\n")
        assert b" 400 " in ask(port, b"\x00\xff\r\n\r\n")
        assert b" 200 " in ask(port, get + host + b"\r\n")
        children = pathlib.Path(
            f"/proc/{process.pid}/task/{process.pid}/children"
        )
        assert not children.exists() or not children.read_text()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=20)
        assert process.returncode == code
        assert stderr.startswith(("CPU", "GPU")) and stderr.count("\n") == 1
        with pytest.raises(ConnectionRefusedError):
            ask(port, get)


def test_a_proxy_is_answered() -> None:
    proxy = "https://8000.proxy.example/"
    flag = f"--proxy_url={proxy}"
    with command_runner.play("--pretrained", flag) as (_, url):
        port = int(url.rstrip("/").rpartition(":")[2])
        get = b"GET /about HTTP/1.1\r\nHost: "
        assert b" 200 " in ask(port, get + b"8000.proxy.example\r\n\r\n")
        assert b" 403 " in ask(port, get + b"proxy.example\r\n\r\n")
    refused = command_runner.run("play", "--pretrained", "--proxy_url=8000")
    command_runner.assert_one_line(refused, "--proxy_url is '8000'", "https://")


def test_idle_and_half_sent_requests_keep_nobody_waiting() -> None:
    with command_runner.play("--pretrained") as (_, url):
        port = int(url.rstrip("/").rpartition(":")[2])
        with contextlib.ExitStack() as open_ones:
            for i in range(350):
                one = socket.create_connection(("127.0.0.1", port), timeout=5)
                open_ones.enter_context(one)
                if i % 2:
                    one.sendall(b"GET / HTTP/1.1\r\nHost: ")
            started = time.monotonic()
            with urllib.request.urlopen(url, timeout=15) as answer:
                assert answer.status == 200
            assert time.monotonic() - started < 5
