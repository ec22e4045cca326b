"""Listens to SIGINT and SIGTERM in a thread."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def listen(react: Callable[[int], None]) -> Iterator[None]:
    """Calls a function in a thread for each SIGINT and SIGTERM.

    Python's own handlers run in the main thread, and only after TensorFlow has
    returned to it, which may take minutes. They still run. Contexts may be
    nested: the innermost function is called.

    Args:
      react: Function of the signal's number.
    """
    listener, sender = socket.socketpair()
    sender.setblocking(False)

    def receive() -> None:
        while number := listener.recv(1):
            if number[0] in NUMBERS:
                react(number[0])

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        sender.close()
        thread.join()
        listener.close()
