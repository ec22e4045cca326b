"""Tests the command line of `sc09.py`: data sets and error lines."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import tarfile

import fake_speech_commands
import pytest

from digits import synthesizer

serve = fake_speech_commands.serve  # a fixture


# Downloads that work.


@pytest.mark.parametrize("prefix", ["", "./"])
def test_download_lays_out_the_ten_digits_by_split(
    prefix: str, serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(
        fake_speech_commands.pack(
            fake_speech_commands.contents(), prefix=prefix
        )
    )
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        fake_speech_commands.clips_in(tmp_path / "sc09")
        == fake_speech_commands.EXPECTED
    )
    assert "3 in train/, 1 in valid/, 1 in test/" in done.stdout
    assert fake_speech_commands.names_in(tmp_path / "sc09") == {
        *("train", "valid", "test", synthesizer.MANIFEST)
    }
    assert done.stderr == ""  # no bar where there is no terminal


def test_rule_splits_where_the_archive_has_no_lists(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(
        fake_speech_commands.pack(fake_speech_commands.contents(lists={}))
    )
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        fake_speech_commands.clips_in(tmp_path / "sc09")
        == fake_speech_commands.EXPECTED
    )


@pytest.mark.parametrize("lists_first", [True, False])
def test_lists_of_the_archive_decide(
    lists_first: bool, serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    lists = {
        "validation_list.txt": "nine/0c40e715_nohash_0.wav\n",
        "testing_list.txt": "seven/5fe4a278_nohash_0.wav\n",
    }
    contents = fake_speech_commands.contents(lists)
    if lists_first:
        contents = dict(reversed(contents.items()))
    server = serve(fake_speech_commands.pack(contents))
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    assert "3 clips are split by the archive's lists" in done.stdout
    assert set(fake_speech_commands.clips_in(tmp_path / "sc09")) == {
        "train/Zero_51055bda_nohash_0.wav",
        "train/Seven_51055bda_nohash_4.wav",
        "train/Seven_439c84f4_nohash_1.wav",
        "valid/Nine_0c40e715_nohash_0.wav",
        "test/Seven_5fe4a278_nohash_0.wav",
    }


def test_complete_folder_needs_no_network(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(fake_speech_commands.pack(fake_speech_commands.contents()))
    for _ in range(2):
        done = fake_speech_commands.run(
            *(
                "download",
                "sc09",
                "--nokeep_archive",
                *fake_speech_commands.download_args(server),
            ),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
    assert len(server.ranges) == 1
    assert fake_speech_commands.names_in(tmp_path) == {"sc09"}


def test_kept_archive_needs_no_network(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(fake_speech_commands.pack(fake_speech_commands.contents()))
    for folder in ("one", "two"):
        done = fake_speech_commands.download(server, folder, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (
            fake_speech_commands.clips_in(tmp_path / folder)
            == fake_speech_commands.EXPECTED
        )
    assert len(server.ranges) == 1


# Archives that are hostile.


def odd_member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
    return member


@pytest.mark.parametrize(
    "name",
    ["../evil.wav", "/tmp/evil.wav", "seven/../../evil.wav", "./../evil.wav"],
)
def test_member_outside_the_folder_is_refused(
    name: str, serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    work = tmp_path / "a" / "b"
    work.mkdir(parents=True)
    server = serve(
        fake_speech_commands.pack(
            fake_speech_commands.contents(), odd_member(name)
        )
    )
    done = fake_speech_commands.download(server, "sc09", cwd=work)
    fake_speech_commands.assert_one_line(done, name, "leaves the folder")
    assert fake_speech_commands.names_in(work) == {"speech.tar.gz"}
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    "kind",
    [
        *(tarfile.SYMTYPE, tarfile.LNKTYPE),
        *(tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE),
    ],
    ids=["symbolic", "hard", "fifo", "character", "block"],
)
def test_links_and_devices_are_refused(
    kind: bytes, serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    name = "seven/51055bda_nohash_9.wav"
    server = serve(
        fake_speech_commands.pack(
            fake_speech_commands.contents(), odd_member(name, kind)
        )
    )
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    fake_speech_commands.assert_one_line(done, name, "link or device")
    assert fake_speech_commands.names_in(tmp_path) == {"speech.tar.gz"}


def test_member_that_swells_is_refused(
    serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    bomb = odd_member("seven/51055bda_nohash_9.wav")
    bomb.size = 20 * 2**20  # of zeros: 20 kB packed
    server = serve(fake_speech_commands.pack({}, bomb))
    assert len(server.content) < 100_000
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    fake_speech_commands.assert_one_line(done, bomb.name, "too large")


@pytest.mark.parametrize("cap", ["MAX_MEMBERS = 3", "MAX_TOTAL_LEN = 50_000"])
def test_archive_with_too_much_in_it_is_refused(
    cap: str, serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(fake_speech_commands.pack(fake_speech_commands.contents()))
    done = fake_speech_commands.run(
        *("download", "sc09", *fake_speech_commands.download_args(server)),
        cwd=tmp_path,
        patch=f"sc09.speech_commands.{cap}",
    )
    fake_speech_commands.assert_one_line(done, "speech.tar.gz", "too large")
    assert fake_speech_commands.names_in(tmp_path) == {"speech.tar.gz"}


@pytest.mark.parametrize(
    "content",
    [
        b"<html>Sign in to the network</html>",
        fake_speech_commands.pack(fake_speech_commands.contents())[:-30_000],
        fake_speech_commands.pack(fake_speech_commands.OTHERS),
    ],
    ids=["html", "cut short", "no digits"],
)
def test_file_that_is_no_archive_of_digits_is_one_line(
    content: bytes, serve: fake_speech_commands.Serve, tmp_path: pathlib.Path
) -> None:
    server = serve(content)
    done = fake_speech_commands.download(server, "sc09", cwd=tmp_path)
    fake_speech_commands.assert_one_line(done)
    assert not (tmp_path / "sc09").exists()


# The command line.


def test_synthesize_writes_what_the_function_writes(
    tmp_path: pathlib.Path,
) -> None:
    args = ("synthesize", "digits", "--n", 12, "--seed", 7)
    for _ in range(2):  # the second finds the first's
        done = fake_speech_commands.run(*args, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"digits holds .*train/.*\n", done.stdout)
    synthesizer.synthesize(tmp_path / "same", 12, 7)
    assert len(fake_speech_commands.clips_in(tmp_path / "digits")) == 12
    assert fake_speech_commands.clips_in(
        tmp_path / "digits"
    ) == fake_speech_commands.clips_in(tmp_path / "same")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["download", "synthesize", "DIR"]),
        (["download"], ["DIR"]),
        (["synthesize"], ["DIR"]),
        (["sing", "digits"], ["sing", "download", "synthesize"]),
        (["synthesize", "digits", "more"], ["more", "DIR"]),
        (["synthesize", "digits", "--sede=1"], ["sede"]),
        (["synthesize", "digits", "--n=many"], ["many"]),
        (["synthesize", "digits", "--n=0"], ["0", "at least 1"]),
        (["synthesize", "digits", "--seed=-1"], ["-1"]),
        (["synthesize", "taken"], ["taken", "choose another"]),
        (["download", "taken"], ["taken", "choose another"]),
        (["synthesize", "taken/file/digits"], ["taken/file"]),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_bad_command_line_is_one_line_and_leaves_nothing(
    args: list[str], words: list[str], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    fake_speech_commands.assert_one_line(
        fake_speech_commands.run(*args, cwd=tmp_path), *words
    )
    assert {p.name for p in tmp_path.rglob("*")} == {"taken", "file"}


def test_digits_of_another_source_are_refused(tmp_path: pathlib.Path) -> None:
    fake_speech_commands.run("synthesize", "sc09", "--n=2", cwd=tmp_path)
    before = fake_speech_commands.clips_in(tmp_path / "sc09")
    fake_speech_commands.assert_one_line(
        fake_speech_commands.run("download", "sc09", cwd=tmp_path),
        "choose another",
    )
    assert fake_speech_commands.clips_in(tmp_path / "sc09") == before


def test_command_line_starts_without_tensorflow() -> None:
    code = "import sc09, sys; sys.exit('tensorflow' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], cwd=fake_speech_commands.ROOT, check=True
    )
