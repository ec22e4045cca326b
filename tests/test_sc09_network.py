"""Tests `sc09.py download` with broken connections and faulty servers."""

from __future__ import annotations

import hashlib
import pathlib
import signal
import socket
import subprocess
import sys
import time

import fake_speech_commands
import pytest

serve = fake_speech_commands.serve  # a fixture


# Downloads that are cut.


def test_download_resumes_after_a_cut(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(
        fake_speech_commands.pack(fake_speech_commands.contents()),
        cut_after=50_000,
    )
    total = len(server.content)
    assert 100_000 < total < 250_000
    cuts = -(-total // 50_000) - 1
    for i in range(1, cuts + 1):
        done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
        fake_speech_commands.assert_one_line(
            done, server.url, f"{50_000 * i:,}", "again"
        )
        assert fake_speech_commands.names_in(tmp_path) == {"speech.tar.gz.part"}
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        fake_speech_commands.clips_in(tmp_path / "sc09")
        == fake_speech_commands.EXPECTED
    )
    assert server.ranges == [
        None,
        *(f"bytes={50_000 * i}-" for i in range(1, cuts + 1)),
    ]
    assert fake_speech_commands.names_in(tmp_path) == {"sc09", "speech.tar.gz"}


def test_server_without_ranges_is_asked_for_all_again(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(
        fake_speech_commands.pack(fake_speech_commands.contents()),
        knows_ranges=False,
        cut_after=50_000,
    )
    fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    server.cut_after = None
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert server.ranges == [None, "bytes=50000-"]
    assert (
        fake_speech_commands.clips_in(tmp_path / "sc09")
        == fake_speech_commands.EXPECTED
    )


def test_whole_part_file_is_taken_as_it_is(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(fake_speech_commands.pack(fake_speech_commands.contents()))
    (tmp_path / "speech.tar.gz.part").write_bytes(server.content)
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert server.ranges == []
    assert (
        fake_speech_commands.clips_in(tmp_path / "sc09")
        == fake_speech_commands.EXPECTED
    )


def test_too_long_part_file_is_started_over(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(fake_speech_commands.pack(fake_speech_commands.contents()))
    (tmp_path / "speech.tar.gz.part").write_bytes(server.content + b"x")
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert server.ranges == [None]


def test_ctrl_c_keeps_what_came_and_the_next_run_goes_on(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(
        fake_speech_commands.pack(fake_speech_commands.contents()),
        pause_secs=0.3,
    )
    part = tmp_path / "speech.tar.gz.part"
    process = subprocess.Popen(
        [
            *(sys.executable, fake_speech_commands.SC09, "download", "sc09"),
            *fake_speech_commands.download_args(server),
        ],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not part.exists() or not part.stat().st_size:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stderr == "sc09.py: stopped: run the same command again\n"
    num_kept = part.stat().st_size
    server.pause_secs = 0.0
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert server.ranges == [None, f"bytes={num_kept}-"]
    assert (
        fake_speech_commands.clips_in(tmp_path / "sc09")
        == fake_speech_commands.EXPECTED
    )


# Downloads that are not what was asked for.


def test_wrong_checksum_is_thrown_away(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(fake_speech_commands.pack(fake_speech_commands.contents()))
    args = fake_speech_commands.download_args(server, sha256="0" * 64)
    done = fake_speech_commands.run("download", "sc09", *args, cwd=tmp_path)
    fake_speech_commands.assert_one_line(done, server.url, "sha256", "0" * 64)
    assert fake_speech_commands.names_in(tmp_path) == set()


def test_damaged_archive_beside_the_folder_is_named_and_kept(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(fake_speech_commands.pack(fake_speech_commands.contents()))
    (tmp_path / "speech.tar.gz").write_bytes(b"something of the user's")
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    fake_speech_commands.assert_one_line(done, "speech.tar.gz", "delete it")
    assert server.ranges == []
    assert fake_speech_commands.names_in(tmp_path) == {"speech.tar.gz"}


@pytest.mark.parametrize("difference", [-1, 1])
def test_wrong_size_is_seen_before_anything_is_fetched(
    difference: int, serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(fake_speech_commands.pack(fake_speech_commands.contents()))
    expected = len(server.content) + difference
    args = fake_speech_commands.download_args(server, num_bytes=expected)
    done = fake_speech_commands.run("download", "sc09", *args, cwd=tmp_path)
    fake_speech_commands.assert_one_line(
        done, f"{len(server.content):,}", f"{expected:,}"
    )
    assert fake_speech_commands.names_in(tmp_path) == set()


def test_server_that_sends_more_than_announced_is_not_followed(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    content = fake_speech_commands.pack(fake_speech_commands.contents())
    server = serve(content + bytes(500_000), says_length=False)
    args = fake_speech_commands.download_args(
        server,
        num_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    done = fake_speech_commands.run("download", "sc09", *args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "speech.tar.gz").read_bytes() == content


def test_missing_file_on_the_server_is_one_line(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(fake_speech_commands.pack(fake_speech_commands.contents()))
    server.url = server.url.replace("speech.tar.gz", "nothing.tar.gz")
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    fake_speech_commands.assert_one_line(done, "404", server.url, "--url")
    assert fake_speech_commands.names_in(tmp_path) == set()


def test_absent_server_is_one_line(tmp_path: pathlib.Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/speech.tar.gz"
    done = fake_speech_commands.run(
        "download", "sc09", f"--url={url}", "--num_bytes=9", cwd=tmp_path
    )
    fake_speech_commands.assert_one_line(done, url, "refused", "again")
    assert fake_speech_commands.names_in(tmp_path) == set()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://x.org/", "a"])
def test_only_files_of_the_web_are_fetched(
    url: str, tmp_path: pathlib.Path
) -> None:
    done = fake_speech_commands.run(
        "download", "sc09", f"--url={url}", cwd=tmp_path
    )
    fake_speech_commands.assert_one_line(done, url)


def test_full_disk_is_seen_before_anything_is_fetched(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(fake_speech_commands.pack(fake_speech_commands.contents()))
    patch = "import collections\n"
    patch += "usage = collections.namedtuple('usage', 'free')(1000)\n"
    patch += "sc09.speech_commands.shutil.disk_usage = lambda path: usage"
    done = fake_speech_commands.run(
        "download",
        "sc09",
        *fake_speech_commands.download_args(server),
        cwd=tmp_path,
        patch=patch,
    )
    fake_speech_commands.assert_one_line(done, "GB free", "choose another DIR")
    assert server.ranges == []


def test_official_archive_must_have_the_official_counts(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(fake_speech_commands.pack(fake_speech_commands.contents()))
    args = fake_speech_commands.download_args(server)
    sha256 = args[1].split("=")[1]
    patch = f"sc09.speech_commands.SHA256 = {sha256!r}"
    done = fake_speech_commands.run(
        "download", "sc09", *args, cwd=tmp_path, patch=patch
    )
    fake_speech_commands.assert_one_line(done, "18620", "2494", "2552")
    assert fake_speech_commands.names_in(tmp_path) == {"speech.tar.gz"}
