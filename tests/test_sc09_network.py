"""`sc09.py download` over networks that cut, and servers that err."""

from __future__ import annotations

import hashlib
import pathlib
import signal
import socket
import subprocess
import sys
import time

import mirror
import pytest

serve = mirror.serve  # a fixture


# Downloads that are cut.


def test_download_resumes_after_a_cut(
    serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(mirror.pack(mirror.contents()), cut_after=50_000)
    total = len(server.content)
    assert 100_000 < total < 250_000
    cuts = -(-total // 50_000) - 1
    for i in range(1, cuts + 1):
        done = mirror.download(server, "sc09", cwd=tmp_path)
        mirror.assert_one_line(done, server.url, f"{50_000 * i:,}", "again")
        assert mirror.names_in(tmp_path) == {"speech.tar.gz.part"}
    done = mirror.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert mirror.clips_in(tmp_path / "sc09") == mirror.EXPECTED
    assert server.ranges == [
        None,
        *(f"bytes={50_000 * i}-" for i in range(1, cuts + 1)),
    ]
    assert mirror.names_in(tmp_path) == {"sc09", "speech.tar.gz"}


def test_server_without_ranges_is_asked_for_all_again(
    serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(
        mirror.pack(mirror.contents()), knows_ranges=False, cut_after=50_000
    )
    mirror.download(server, "sc09", cwd=tmp_path)
    server.cut_after = None
    done = mirror.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert server.ranges == [None, "bytes=50000-"]
    assert mirror.clips_in(tmp_path / "sc09") == mirror.EXPECTED


def test_whole_part_file_is_taken_as_it_is(
    serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(mirror.pack(mirror.contents()))
    (tmp_path / "speech.tar.gz.part").write_bytes(server.content)
    done = mirror.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert server.ranges == []
    assert mirror.clips_in(tmp_path / "sc09") == mirror.EXPECTED


def test_too_long_part_file_is_started_over(
    serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(mirror.pack(mirror.contents()))
    (tmp_path / "speech.tar.gz.part").write_bytes(server.content + b"x")
    done = mirror.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert server.ranges == [None]


def test_ctrl_c_keeps_what_came_and_the_next_run_goes_on(
    serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(mirror.pack(mirror.contents()), pause_secs=0.3)
    part = tmp_path / "speech.tar.gz.part"
    process = subprocess.Popen(
        [
            *(sys.executable, mirror.SC09, "download", "sc09"),
            *mirror.download_args(server),
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
    done = mirror.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert server.ranges == [None, f"bytes={num_kept}-"]
    assert mirror.clips_in(tmp_path / "sc09") == mirror.EXPECTED


# Downloads that are not what was asked for.


def test_wrong_checksum_is_thrown_away(
    serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(mirror.pack(mirror.contents()))
    args = mirror.download_args(server, sha256="0" * 64)
    done = mirror.run("download", "sc09", *args, cwd=tmp_path)
    mirror.assert_one_line(done, server.url, "sha256", "0" * 64)
    assert mirror.names_in(tmp_path) == set()


def test_damaged_archive_beside_the_folder_is_named_and_kept(
    serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(mirror.pack(mirror.contents()))
    (tmp_path / "speech.tar.gz").write_bytes(b"something of the user's")
    done = mirror.download(server, "sc09", cwd=tmp_path)
    mirror.assert_one_line(done, "speech.tar.gz", "delete it")
    assert server.ranges == []
    assert mirror.names_in(tmp_path) == {"speech.tar.gz"}


@pytest.mark.parametrize("difference", [-1, 1])
def test_wrong_size_is_seen_before_anything_is_fetched(
    difference: int, serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(mirror.pack(mirror.contents()))
    expected = len(server.content) + difference
    args = mirror.download_args(server, num_bytes=expected)
    done = mirror.run("download", "sc09", *args, cwd=tmp_path)
    mirror.assert_one_line(done, f"{len(server.content):,}", f"{expected:,}")
    assert mirror.names_in(tmp_path) == set()


def test_server_that_sends_more_than_announced_is_not_followed(
    serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    content = mirror.pack(mirror.contents())
    server = serve(content + bytes(500_000), says_length=False)
    args = mirror.download_args(
        server,
        num_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    done = mirror.run("download", "sc09", *args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "speech.tar.gz").read_bytes() == content


def test_missing_file_on_the_server_is_one_line(
    serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(mirror.pack(mirror.contents()))
    server.url = server.url.replace("speech.tar.gz", "nothing.tar.gz")
    done = mirror.download(server, "sc09", cwd=tmp_path)
    mirror.assert_one_line(done, "404", server.url, "--url")
    assert mirror.names_in(tmp_path) == set()


def test_absent_server_is_one_line(tmp_path: pathlib.Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/speech.tar.gz"
    done = mirror.run(
        "download", "sc09", f"--url={url}", "--num_bytes=9", cwd=tmp_path
    )
    mirror.assert_one_line(done, url, "refused", "again")
    assert mirror.names_in(tmp_path) == set()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://x.org/", "a"])
def test_only_files_of_the_web_are_fetched(
    url: str, tmp_path: pathlib.Path
) -> None:
    done = mirror.run("download", "sc09", f"--url={url}", cwd=tmp_path)
    mirror.assert_one_line(done, url)


def test_full_disk_is_seen_before_anything_is_fetched(
    serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(mirror.pack(mirror.contents()))
    patch = "import collections\n"
    patch += "usage = collections.namedtuple('usage', 'free')(1000)\n"
    patch += "sc09.shutil.disk_usage = lambda path: usage"
    done = mirror.run(
        "download",
        "sc09",
        *mirror.download_args(server),
        cwd=tmp_path,
        patch=patch,
    )
    mirror.assert_one_line(done, "GB free", "choose another DIR")
    assert server.ranges == []


def test_official_archive_must_have_the_official_counts(
    serve: mirror.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(mirror.pack(mirror.contents()))
    args = mirror.download_args(server)
    patch = f"sc09.SHA256 = {args[1].split('=')[1]!r}"
    done = mirror.run("download", "sc09", *args, cwd=tmp_path, patch=patch)
    mirror.assert_one_line(done, "18620", "2494", "2552")
    assert mirror.names_in(tmp_path) == {"speech.tar.gz"}
