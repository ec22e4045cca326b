"""Tests that --flagfile is read in every encoding that editors write."""

from __future__ import annotations

import pathlib

import command_runner
import pytest

from commandline import flagfiles


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]
)
def test_flagfiles_are_read_whatever_their_encoding(
    tmp_path: pathlib.Path, encoding: str
) -> None:
    text = "# a comment\r\n--a=1\r\n\r\n  // another\r\n--dir=\u00fcber x\r\n"
    if encoding[-2:] in ("le", "be"):  # as PowerShell writes it
        text = "\ufeff" + text
    path = tmp_path / "x.cfg"
    path.write_bytes(text.encode(encoding))
    for flag in ([f"--flagfile={path}"], ["--flagfile", str(path)]):
        assert flagfiles.expand(["train", *flag, "--b"]) == [
            "train",
            "--a=1",
            "--dir=\u00fcber x",
            "--b",
        ]


def test_flagfiles_name_others_in_place(tmp_path: pathlib.Path) -> None:
    inner, outer = tmp_path / "inner.cfg", tmp_path / "outer.cfg"
    inner.write_text("--b=2\n")
    outer.write_text(f"--a=1\n--flagfile={inner}\n--c=3\n")
    words = flagfiles.expand([f"-flagfile={outer}", "--", "--flagfile=none"])
    assert words == ["--a=1", "--b=2", "--c=3", "--", "--flagfile=none"]


def test_a_flagfile_that_names_itself_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "x.cfg"
    path.write_text(f"--flagfile={path}\n")
    with pytest.raises(ValueError, match="names itself"):
        flagfiles.expand([f"--flagfile={path}"])


@pytest.mark.parametrize("content", [None, b"\x80--a=1"])
def test_an_unreadable_flagfile_ends_in_one_line(
    tmp_path: pathlib.Path, content: bytes | None
) -> None:
    path = tmp_path / "x.cfg"
    if content:
        path.write_bytes(content)
    done = command_runner.run("train", f"--flagfile={path}", cwd=tmp_path)
    command_runner.assert_one_line(done, str(path))
