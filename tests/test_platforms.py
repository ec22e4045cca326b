"""Tests of operating systems other than Linux.

They take from Python what the others lack, and run the programs.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import command_runner
import numpy as np
import pytest
import soundfile
import wavs

from system import platforms

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = (
    *("train_wavegan.py", "train_specgan.py", "sc09.py"),
    *(f"eval/{name}.py" for name in ("score", "table")),
    *(f"eval/{name}_classifier.py" for name in ("train", "import")),
)
# Starts a program in a Python that takes itself for that of Windows.
START = """
import runpy, sys
sys.platform = "win32"
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("program", PROGRAMS)
def test_on_windows_a_program_names_wsl_before_packages_are_loaded(
    program: str,
) -> None:
    # -S: a Python that has only its standard library.
    command = [sys.executable, "-S", "-E", "-c", START, str(ROOT / program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    name = program.replace("/", ".")
    assert line.startswith(f"{name.removesuffix('.py')}") and "WSL" in line


@pytest.mark.parametrize("name", ["linux", "darwin"])
def test_linux_and_macos_are_supported(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", name)
    platforms.check("train_wavegan.py")


# Python imports a module of this name at each start, also in child processes.
SITECUSTOMIZE = """
import builtins, errno, fcntl, io, os, resource, select, signal, socket

LACKING = {
    fcntl: "F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS",
    os: "posix_fallocate posix_fadvise fdatasync sched_getaffinity "
        "sched_setaffinity memfd_create pidfd_open eventfd copy_file_range "
        "splice O_DIRECT O_TMPFILE getrandom",
    resource: "prlimit",
    select: "epoll",
    signal: "sigtimedwait sigwaitinfo pidfd_send_signal SIGRTMIN",
    socket: "SOCK_CLOEXEC SOCK_NONBLOCK SO_PEERCRED",
}
for module, names in LACKING.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

def setrlimit(*limits):
    raise ValueError("current limit exceeds maximum limit")

def open_without_proc(path, *args, _open=io.open, **settings):
    if str(path).startswith("/proc/"):
        raise FileNotFoundError(errno.ENOENT, "No such file", str(path))
    return _open(path, *args, **settings)

resource.setrlimit = setrlimit
builtins.open = io.open = open_without_proc
"""


@pytest.mark.slow
def test_macos_lacks_nothing_that_a_run_needs(tmp_path: pathlib.Path) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python/sitecustomize.py").write_text(SITECUSTOMIZE)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "python")}
    for i in range(4):  # FLAC is decoded in a child process
        wavs.write(tmp_path / f"data/{i}.flac", wavs.noise(300, seed=i))
    run = tmp_path / "run"

    def call(*args: object) -> str:
        done = subprocess.run(
            command_runner.command(*args),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    train = ("train", run, f"--data_dir={tmp_path / 'data'}")
    # The cache is a file whose space is reserved.
    caches = [f"--data_cache={cache}" for cache in ("disk", "auto")]
    for steps, cache in enumerate(caches, start=1):
        limit = f"--train_max_steps={steps}"
        call(*train, *command_runner.TINY, cache, limit)
    call("generate", run, "--n=2")
    for path in sorted((run / "generated").glob("*.wav")):
        assert np.abs(soundfile.read(path)[0]).max() > 0
    call("preview", run, "--once", "--preview_n=2")
