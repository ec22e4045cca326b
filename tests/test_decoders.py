"""Decoders run in child processes: a file cannot end or block the program."""

import os
import pathlib
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import wavs

import loader
from audio import decoders

# Files that end a process in which libsndfile opens them and seeks, by signal
# 11: the pages are sound, the codebooks in the third packet are not.
CRASHING = pathlib.Path(__file__).parent / "crashing_ogg"


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[decoders.Decoders]:
    """Gives a pool of one child, which decodes for the loader."""
    pool = decoders.Decoders(1)
    monkeypatch.setattr(decoders, "POOL", pool)
    yield pool
    for child in pool._idle:
        child.kill()


def pid_of(pool: decoders.Decoders) -> int:
    """The process id of the only child."""
    (child,) = pool._idle
    return child._process.pid


def test_files_that_crash_libsndfile_are_skipped(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    good = wavs.write(tmp_path / "good.wav", wavs.noise(64))
    bad = sorted(map(str, CRASHING.glob("*.ogg")))
    assert bad
    infos, skipped = loader.scan_audio([*bad, good])
    assert [info.path for info in infos] == [good]
    assert list(skipped) == bad
    assert "none of 3000 samples can be decoded" in skipped[bad[0]]
    np.testing.assert_array_equal(
        wavs.epoch([*bad, good]), wavs.noise(64)[None]
    )


@pytest.mark.parametrize("fault", ["crash", "hang"])
def test_a_child_that_dies_costs_one_file(
    tmp_path: pathlib.Path,
    pool: decoders.Decoders,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    paths = [
        wavs.write(tmp_path / f"{i}.flac", wavs.noise(64, seed=i))
        for i in range(2)
    ]
    infos, _ = loader.scan_audio(paths)
    ask = decoders._Child.ask

    def fail(child: decoders._Child, request: dict) -> Iterator:
        if request["path"] == paths[0]:
            number = signal.SIGSEGV if fault == "crash" else signal.SIGSTOP
            os.kill(child._process.pid, number)
        return ask(child, request)

    monkeypatch.setattr(decoders._Child, "ask", fail)
    words = "crashes" if fault == "crash" else "does nothing for 0.5 s"
    with monkeypatch.context() as patch:
        patch.setattr(decoders, "LIMIT_SECS", 0.5)
        with pytest.raises(loader.BadAudioError, match=f"0.*decoder {words}"):
            loader.decode_audio(paths[0])
    np.testing.assert_array_equal(
        loader.decode_audio(paths[1]), wavs.noise(64, seed=1)
    )
    assert len(infos) == 2


def test_a_child_that_something_else_ended_is_replaced(
    tmp_path: pathlib.Path, pool: decoders.Decoders
) -> None:
    path = wavs.write(tmp_path / "a.flac", wavs.noise(64))
    loader.decode_audio(path)
    before = pid_of(pool)
    os.kill(before, signal.SIGKILL)
    time.sleep(0.1)
    np.testing.assert_array_equal(loader.decode_audio(path), wavs.noise(64))
    assert pid_of(pool) != before


def test_a_file_that_cannot_be_decoded_costs_no_child(
    tmp_path: pathlib.Path, pool: decoders.Decoders
) -> None:
    good = wavs.write(tmp_path / "a.flac", wavs.noise(64))
    bad = tmp_path / "b.flac"
    bad.write_bytes(b"fLaC" + bytes(1000))
    loader.decode_audio(good)
    before = pid_of(pool)
    assert "not readable as audio" in loader.scan_audio([bad])[1][str(bad)]
    loader.decode_audio(good)
    assert pid_of(pool) == before


def test_an_answer_that_is_not_read_to_its_end_disturbs_no_other(
    tmp_path: pathlib.Path, pool: decoders.Decoders
) -> None:
    path = wavs.write(tmp_path / "a.flac", wavs.noise(300_000))
    for _ in pool.decode(path, 0, 300_000):
        break
    np.testing.assert_array_equal(loader.decode_audio(path), wavs.noise(300000))


def test_children_are_few_whatever_the_number_of_threads(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wavs.write(tmp_path / "a.flac", wavs.noise(5000))
    pool = decoders.Decoders(2)
    monkeypatch.setattr(decoders, "POOL", pool)
    right = []

    def read() -> None:
        for _ in range(20):
            audio = loader.decode_audio(path)
            right.append(np.array_equal(audio, wavs.noise(5000)))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(right) == 160 and all(right) and len(pool._idle) <= 2
    for child in pool._idle:
        child.kill()


def test_children_end_with_the_program(
    tmp_path: pathlib.Path, pool: decoders.Decoders
) -> None:
    path = wavs.write(tmp_path / "a.flac", wavs.noise(64))
    loader.decode_audio(path)
    (child,) = pool._idle
    assert child._process.stdin
    child._process.stdin.close()  # as the system does when the program ends
    assert child._process.wait(10) == 0


def test_decoders_print_nothing(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = pathlib.Path(wavs.write(tmp_path / "a.mp3", wavs.noise(20000)))
    contents = path.read_bytes()
    path.write_bytes(contents + contents)  # libmpg123 has much to say of it
    loader.decode_audio(path)
    assert capfd.readouterr().err.count("\n") <= 1  # our warning


def test_decoders_that_do_not_start_are_no_fault_of_a_file(
    tmp_path: pathlib.Path,
    pool: decoders.Decoders,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = wavs.write(tmp_path / "a.flac", wavs.noise(64))
    monkeypatch.setattr(decoders.sys, "executable", "false")
    with pytest.raises(RuntimeError, match="decoders do not start: `.*worker`"):
        loader.scan_audio([path])
    assert not pool._idle
