"""Tests how the workers of a run meet, compare and leave."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import socket
import time
from collections.abc import Callable

import pytest

from training import peers


def addresses(number: int) -> list[str]:
    """Free ports of this machine."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(number)
        ]
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Calls functions at the same time; returns their results."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [
            future.result(60)
            for future in [pool.submit(call) for call in calls]
        ]


def test_workers_meet_compare_and_leave() -> None:
    places = addresses(3)
    workers = [peers.Peers(places, n) for n in range(3)]
    at_once(*(worker.meet for worker in workers))
    for step in range(3):
        messages = at_once(
            *(
                functools.partial(worker.exchange, [n, step])
                for n, worker in enumerate(workers)
            )
        )
        assert messages == [
            [[n, step] for n in range(3) if n != own] for own in range(3)
        ]
    at_once(*(worker.leave for worker in workers))


def test_who_met_all_reaches_none_that_still_listens() -> None:
    """Or TensorFlow would speak to a worker that waits for greetings."""
    for _ in range(5):
        places = addresses(2)
        workers = [peers.Peers(places, n) for n in range(2)]

        def meet(own: int, places: list[str], worker: peers.Peers) -> bool:
            time.sleep(0.1 * own)
            worker.meet()
            with socket.socket() as probe:
                host_and_port = peers.split(places[1 - own])
                return probe.connect_ex(host_and_port) != 0

        assert at_once(
            *(
                functools.partial(meet, n, places, worker)
                for n, worker in enumerate(workers)
            )
        ) == [True, True]


def test_a_worker_that_is_done_waits_for_a_slower_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "BEAT_SECS", 0.02)
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    places = addresses(2)
    workers = [peers.Peers(places, n) for n in range(2)]
    at_once(*(worker.meet for worker in workers))

    def leave_late() -> None:
        time.sleep(3)  # ten times the silence of a lost worker
        workers[1].leave()

    at_once(workers[0].leave, leave_late)
    assert not codes


def test_another_program_at_a_workers_address_is_no_worker() -> None:
    places = addresses(2)
    with socket.create_server(
        ("127.0.0.1", peers.split(places[1])[1])
    ) as other:
        first = peers.Peers(places, 0)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            meeting = pool.submit(first.meet)
            connection, _ = other.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")
            connection.close()
            # And others may connect to a worker.
            with socket.create_connection(peers.split(places[0])) as prober:
                prober.sendall(b"GET / HTTP/1.1\r\n")
            time.sleep(0.5)
            assert not meeting.done()
            other.close()
            second = peers.Peers(places, 1)
            pool.submit(second.meet).result(60)
            meeting.result(60)
    at_once(first.leave, second.leave)


@pytest.mark.parametrize(
    ("address", "found"), [("a:1", ("a", 1)), ("[::1]:22", ("::1", 22))]
)
def test_addresses_have_a_host_and_a_port(
    address: str, found: tuple[str, int]
) -> None:
    assert peers.split(address) == found
