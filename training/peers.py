"""Connects the workers of a run, and notices when one of them is lost.

Each worker connects to every other one before TensorFlow does, and keeps the
connections until the end of the run. Workers send each other a line of JSON
where they compare or wait, and an empty line every second. If a worker's
connection ends, or if nothing comes from it, a thread ends this process, since
TensorFlow may wait for a lost worker for ever.
"""

import contextlib
import json
import math
import os
import pathlib
import queue
import re
import selectors
import socket
import sys
import threading
import time
from contextlib import AbstractContextManager
from typing import Any

from absl import logging

LOST_CODE = 69  # exit code of a worker that lost another one
POLL_SECS = 0.2  # between two looks for workers that are missing
SAY_SECS = 60.0  # between two lines that name them
HELLO_SECS = 2.0  # for the first line of a worker that connects
WELCOME_SECS = 20.0  # for the answer to it
BEAT_SECS = 1.0  # between two empty lines
MAX_SILENCE = 15  # beats without a line from another worker
GRACE_SECS = 2.0  # for the main thread to see by itself that a worker is lost
SAVE_SECS = 30.0  # for a save that goes on when a worker is lost
END_SECS = 10.0  # for the main thread to end, after it reported the loss
MAX_LINE = 1 << 16  # bytes
MAX_GREETING = 100  # bytes
GREETING = "wavegan worker"
FAREWELL = "bye"


class WorkerLostError(ConnectionError):
    """Another worker ended or is out of reach.

    Args:
      who: Its address, if it is known.
    """

    def __init__(self, who: str = "") -> None:
        super().__init__(
            f"another worker ended or is out of reach{who and f' ({who})'}: "
            "start all workers again, and they go on at the last checkpoint "
            "(--verbosity=1 tells what TensorFlow says)"
        )


class Peers:
    """Connections to the other workers of a run.

    Args:
      addresses: Addresses of all workers, HOST:PORT.
      number: Place of this worker among them.
    """

    def __init__(self, addresses: list[str], number: int) -> None:
        self._addresses, self._number = addresses, number
        self._others = [n for n in range(len(addresses)) if n != number]
        self._token = os.urandom(8).hex()  # which other process greeted whom
        # By number: connections and tokens of the processes at their ends.
        self._outgoing: dict[int, tuple[socket.socket, str]] = {}
        self._incoming: dict[int, tuple[socket.socket, str]] = {}
        self._received: dict[int, queue.Queue[Any]] = {
            n: queue.Queue() for n in self._others
        }
        self._lost = ""  # address of a lost worker
        self._sending = threading.Lock()
        self._saving = threading.Lock()
        self._reported = threading.Event()
        self._stderr = os.dup(2)  # TensorFlow starts without stderr

    def meet(self) -> None:
        """Waits until all workers are there, and watches them from then on.

        When this returns, no worker listens at its address any more.

        Raises:
          ValueError: The address of this worker is taken.
          WorkerLostError: Another worker was lost just after it was met.
        """
        own = self._addresses[self._number]
        try:
            server = _listen(split(own)[1])
        except OSError as error:
            raise ValueError(
                f"TF_CONFIG: worker {self._number} cannot listen at {own} "
                f"({error.strerror}): give it a free port"
            ) from None
        met = threading.Event()
        accepting = threading.Thread(
            target=self._accept, args=(server, met), daemon=True
        )
        accepting.start()
        said_at = -math.inf
        try:
            while missing := self._find_missing():
                if time.monotonic() - said_at > SAY_SECS:
                    said_at = time.monotonic()
                    logging.info(
                        "worker %d of %d: waiting for %s",
                        *(self._number, len(self._addresses)),
                        ", ".join(self._addresses[n] for n in missing),
                    )
                for n in missing:
                    if n not in self._outgoing:
                        self._dial(n)
                time.sleep(POLL_SECS)
        finally:
            met.set()
            accepting.join()
        threading.Thread(target=self._watch, daemon=True).start()
        # TensorFlow must not reach a worker that still listens here.
        self.exchange("met")

    def exchange(self, message: Any) -> list[Any]:
        """Sends a message to all workers; waits for the message of each.

        Args:
          message: Anything that JSON can hold.

        Returns:
          Messages of the others, in the order of their numbers.

        Raises:
          WorkerLostError: Another worker is lost.
        """
        self._send(json.dumps(message).encode() + b"\n")
        messages = []
        for n in self._others:
            message = self._received[n].get()
            if message is None:
                raise WorkerLostError(self._lost)
            messages.append(message)
        return messages

    def leave(self) -> None:
        """Waits until all workers are done; from then on, all may end.

        Raises:
          WorkerLostError: Another worker is lost.
        """
        self.exchange(FAREWELL)

    def report(self) -> WorkerLostError:
        """Returns the error of a lost worker, which this thread will report."""
        self._reported.set()
        return WorkerLostError(self._lost)

    def saving(self) -> AbstractContextManager[Any]:
        """Lets a save end within the context, if a worker is lost meanwhile."""
        return self._saving

    def _find_missing(self) -> list[int]:
        """Returns the numbers of workers that are not there, or not yet."""
        for n, (connection, _) in list(self._outgoing.items()):
            if _has_ended(connection):  # it may be started again
                connection.close()
                del self._outgoing[n]
        return [
            n
            for n in self._others
            if n not in self._outgoing
            or n not in self._incoming
            or self._outgoing[n][1] != self._incoming[n][1]
        ]

    def _dial(self, n: int) -> None:
        """Connects to another worker, if it is there."""
        try:
            connection = socket.create_connection(
                split(self._addresses[n]), HELLO_SECS
            )
        except OSError:
            return
        try:
            self._greet(connection)
            number, token = _read_greeting(connection, WELCOME_SECS)
            if number != n:
                raise ValueError(f"this is worker {number}")
            connection.setblocking(False)
            self._outgoing[n] = connection, token
        except (OSError, ValueError):
            connection.close()

    def _accept(self, server: socket.socket, met: threading.Event) -> None:
        """Answers workers that connect, until all have met."""
        with server:
            server.settimeout(POLL_SECS)
            while not met.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    continue
                try:
                    n, token = _read_greeting(connection, HELLO_SECS)
                    if n not in self._others:
                        raise ValueError(f"this is worker {n}")
                    self._greet(connection)
                    connection.setblocking(False)
                    self._incoming[n] = connection, token
                except (OSError, ValueError):
                    connection.close()

    def _greet(self, connection: socket.socket) -> None:
        """Says which worker this is."""
        connection.sendall(
            f"{GREETING} {self._number} {self._token}\n".encode()
        )

    def _send(self, line: bytes) -> None:
        """Sends a line to all workers; `_watch` sees which of them are gone."""
        with self._sending:
            for connection, _ in list(self._outgoing.values()):
                with contextlib.suppress(OSError):
                    connection.sendall(line)

    def _watch(self) -> None:
        """Sends beats, and receives what others send, until one is lost."""
        here = dict.fromkeys(self._others, b"")  # the begun line of each
        silence = dict.fromkeys(self._others, 0)
        with selectors.DefaultSelector() as selector:
            for n, (connection, _) in self._incoming.items():
                selector.register(connection, selectors.EVENT_READ, n)
            beat_at = time.monotonic()
            while True:  # who left may wait for this worker
                wait = max(0.0, beat_at - time.monotonic())
                for key, _ in selector.select(wait):
                    n = key.data
                    connection, _ = self._incoming[n]
                    try:
                        data = connection.recv(MAX_LINE)
                    except BlockingIOError:
                        continue
                    except OSError:
                        data = b""
                    *lines, here[n] = (here[n] + data).split(b"\n")
                    silence[n] = 0
                    try:
                        done = self._receive(n, lines)
                    except ValueError:  # not what a worker sends
                        return self._end(n)
                    if done:
                        del here[n]  # it may end
                        selector.unregister(connection)
                    elif not data or len(here[n]) > MAX_LINE:
                        return self._end(n)
                if time.monotonic() < beat_at:
                    continue
                # If this process was stopped itself, that is one beat.
                beat_at = time.monotonic() + BEAT_SECS
                self._send(b"\n")
                for n in here:
                    silence[n] += 1
                    if silence[n] > MAX_SILENCE:
                        return self._end(n)

    def _receive(self, n: int, lines: list[bytes]) -> bool:
        """Hands on the messages of a worker; returns whether it is done."""
        messages = [json.loads(line) for line in lines if line]
        for message in messages:
            self._received[n].put(message)
        return FAREWELL in messages

    def _end(self, n: int) -> None:
        """Ends this process, which lost a worker, unless it ends by itself."""
        self._lost = self._addresses[n]
        for received in self._received.values():
            received.put(None)
        if self._reported.wait(GRACE_SECS):
            time.sleep(END_SECS)
        else:
            self._saving.acquire(timeout=SAVE_SECS)
            program = pathlib.Path(sys.argv[0]).name
            line = f"{program}: {WorkerLostError(self._lost)}\n"
            os.write(self._stderr, line.encode())
        os._exit(LOST_CODE)


def split(address: str) -> tuple[str, int]:
    """Splits an address into host and port.

    Raises:
      ValueError: It has no port.
    """
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _listen(port: int) -> socket.socket:
    """Listens at a port of all addresses of this machine."""
    dual = socket.has_dualstack_ipv6()
    return socket.create_server(
        ("", port),
        family=socket.AF_INET6 if dual else socket.AF_INET,
        backlog=1024,
        dualstack_ipv6=dual,
    )


def _read_greeting(connection: socket.socket, secs: float) -> tuple[int, str]:
    """Reads the first line of a connection: a worker's number and token.

    Raises:
      OSError: It does not come in time.
      ValueError: It is not the line of a worker.
    """
    deadline = time.monotonic() + secs
    line = b""
    while not line.endswith(b"\n"):
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        byte = connection.recv(1)
        if not byte or len(line) > MAX_GREETING:
            raise ValueError("this is another program")
        line += byte
    if not (match := re.fullmatch(rf"{GREETING} (\d+) (\w+)\n", line.decode())):
        raise ValueError("this is another program")
    return int(match[1]), match[2]


def _has_ended(connection: socket.socket) -> bool:
    """Returns whether the other end has closed a connection."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
