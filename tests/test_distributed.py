"""Tests distributed training on one machine: start, failure, restart."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import command_runner
import distributed_worker
import numpy as np
import pytest
import wavs

from training import distributed
from training import train_dir as train_dir_lib

STEPS = "--train_max_steps=200"
ENDLESS = "--train_max_steps=0"
OFTEN = "--train_save_secs=0.5"


def config(*addresses: str, kind: str = "worker", index: object = 0) -> str:
    """A TF_CONFIG."""
    task = {"type": kind, "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ([], 0)),
        ("{}", ([], 0)),
        (config("a:1"), (["a:1"], 0)),
        (config("a:1", "b:2", index=1), (["a:1", "b:2"], 1)),
        (config("a:1", "b:2", index="1"), (["a:1", "b:2"], 1)),
        (
            '{"cluster": {"worker": ["b:2"], "chief": ["a:1"]}, '
            '"task": {"type": "worker", "index": 0}}',
            (["a:1", "b:2"], 1),
        ),
    ],
)
def test_tf_config_names_all_workers_and_this_one(
    monkeypatch: pytest.MonkeyPatch, text: str, found: tuple[list[str], int]
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert distributed.workers() == found


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": 3}',
        '{"cluster": {"worker": ["a:1", "b:2"]}}',
        config("a:1", "b:2", index=2),
        config("a:1", "b:2", index=-1),
        config("a:1", "b:2", index="x"),
        config("a:1", "b:2", kind="evaluator"),
        config("a:1", "b"),
        '{"cluster": {"worker": ["a:1"], "ps": ["b:2"]}, '
        '"task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_tf_config_that_says_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match="^TF_CONFIG is .*: expected "):
        distributed.workers()


def test_more_gpus_than_there_are_is_one_line(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    done = command_runner.run(
        "train", tmp_path / "t", f"--data_dir={audio}", "--num_gpus=99"
    )
    command_runner.assert_one_line(done, "--num_gpus is 99", "expected -1")
    assert not (tmp_path / "t").exists()


def configs(number: int = 2) -> list[str]:
    """A TF_CONFIG for each worker, on free ports of this machine."""
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return [config(*addresses, index=index) for index in range(number)]


def start(*args: object, **changed: object) -> list[subprocess.Popen[str]]:
    """Starts two workers by the same command; `second` changes one's flags."""
    return [
        subprocess.Popen(
            command_runner.command(*args, *(changed.values() if i else ())),
            env={**os.environ, "TF_CONFIG": text},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, text in enumerate(configs())
    ]


def end(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Exit codes and stderr of workers, which must end within two minutes."""
    try:
        ends = []
        for process in processes:
            _, stderr = process.communicate(timeout=400)
            assert "Traceback" not in stderr, stderr
            ends.append((process.returncode, stderr))
        return ends
    finally:
        for process in processes:
            process.kill()


def train(
    train_dir: pathlib.Path, audio: pathlib.Path, *flags: object
) -> list[subprocess.Popen[str]]:
    """Starts two workers that train."""
    given = (*command_runner.TINY, command_runner.EMA, f"--data_dir={audio}")
    return start("train", train_dir, *given, *flags)


@pytest.fixture(scope="module")
def whole(
    audio: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """The train dir of two workers that were not interrupted."""
    path = tmp_path_factory.mktemp("whole") / "t"
    assert [code for code, _ in end(train(path, audio, STEPS))] == [0, 0]
    return path


@pytest.mark.distributed
def test_weights_of_two_workers_equal_those_of_one_process(
    tmp_path: pathlib.Path,
) -> None:
    cases = ("wgan-gp", "adam", "batch norm", "clipping")
    one = tmp_path / "one.npz"
    assert distributed_worker.start("one", one, *cases).wait(400) == 0
    paths = [tmp_path / f"{i}.npz" for i in range(2)]
    processes = [
        distributed_worker.start("worker", path, *cases, tf_config=text)
        for path, text in zip(paths, configs(), strict=True)
    ]
    assert [process.wait(400) for process in processes] == [0, 0]
    want = np.load(one)
    first, second = map(np.load, paths)
    for name in want:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
        if name.endswith("/losses"):
            np.testing.assert_allclose(first[name], want[name], atol=1e-4)
        elif not name.startswith("adam"):
            np.testing.assert_allclose(
                first[name], want[name], atol=1e-6, err_msg=name
            )


@pytest.mark.distributed
def test_losses_of_two_workers_equal_those_of_one_process(
    whole: pathlib.Path, audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    command_runner.train(
        tmp_path / "one", audio, command_runner.EMA, "--train_max_steps=20"
    )
    together = command_runner.losses(whole)
    for step, losses in command_runner.losses(tmp_path / "one").items():
        np.testing.assert_allclose(together[step], losses, atol=1e-4)
    # One process resumes their run.
    copy = shutil.copytree(whole, tmp_path / "copy")
    done = command_runner.run("train", copy, "--train_max_steps=201")
    assert "at step 200" in done.stderr
    assert train_dir_lib.TrainDir(copy).checkpoints.latest_step() == 201


@pytest.mark.distributed
@pytest.mark.parametrize("victim", [0, 1])
def test_killing_a_worker_ends_the_other_and_both_resume(
    whole: pathlib.Path,
    audio: pathlib.Path,
    tmp_path: pathlib.Path,
    victim: int,
) -> None:
    path = tmp_path / "t"
    processes = train(path, audio, STEPS, OFTEN)
    command_runner.wait_for_checkpoint(processes[0], path, beyond=3)
    processes[victim].kill()
    killed_at = time.monotonic()
    survivor = processes[1 - victim]
    _, stderr = survivor.communicate(timeout=60)
    assert time.monotonic() - killed_at < 60
    assert survivor.returncode == 69
    last = stderr.splitlines()[-1]
    assert last.startswith("train_wavegan.py: another worker ended"), stderr
    assert "Traceback" not in stderr
    step = train_dir_lib.TrainDir(path).checkpoints.latest_step()
    assert step is not None and 3 < step < 200
    ends = end(train(path, audio, STEPS))
    assert [code for code, _ in ends] == [0, 0], ends
    assert f"at step {step}" in ends[1][1]
    command_runner.assert_same_run(path, whole)


@pytest.mark.distributed
@pytest.mark.parametrize("asked", [(0,), (1,), (0, 1)])
def test_a_signal_to_any_worker_stops_both_at_one_step(
    audio: pathlib.Path, tmp_path: pathlib.Path, asked: tuple[int, ...]
) -> None:
    path = tmp_path / "t"
    processes = train(path, audio, ENDLESS, OFTEN)
    command_runner.wait_for_checkpoint(processes[0], path)
    for index in asked:
        processes[index].send_signal(signal.SIGTERM)
    ends = end(processes)
    assert [code for code, _ in ends] == [143, 143], ends
    steps = {stderr.splitlines()[-1] for _, stderr in ends}
    step = train_dir_lib.TrainDir(path).checkpoints.latest_step()
    assert steps == {f"stopped by a signal; saved at step {step}"}


@pytest.mark.distributed
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_waits_for_others_stops_on_a_signal(
    audio: pathlib.Path, tmp_path: pathlib.Path, number: signal.Signals
) -> None:
    _, text = configs()
    process = subprocess.Popen(
        command_runner.command("train", tmp_path / "t", f"--data_dir={audio}"),
        env={**os.environ, "TF_CONFIG": text},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("worker 1 of 2: waiting")
        time.sleep(1)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=20)
        assert process.returncode == 128 + number
        assert "Traceback" not in stderr
    finally:
        process.kill()
        process.communicate()


def test_a_port_that_is_taken_is_one_line(
    audio: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("TF_CONFIG", config(taken, "127.0.0.1:9"))
        done = command_runner.run(
            "train", tmp_path / "t", f"--data_dir={audio}"
        )
    command_runner.assert_one_line(done, taken, "give it a free port")


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("flag", "part"), [("--seed=1", "settings"), ("--data_dir={}", "labels")]
)
def test_workers_with_different_commands_are_refused(
    tmp_path: pathlib.Path, flag: str, part: str
) -> None:
    for folder, words in (("a", ("Cat", "Dog")), ("b", ("Cat", "Owl"))):
        for i in range(8):
            name = f"{words[i % 2]}_{i}.wav"
            wavs.write(tmp_path / folder / name, wavs.noise(300))
    given = (
        *(*command_runner.TINY, ENDLESS, "--data_labels=words"),
        f"--data_dir={tmp_path / 'a'}",
    )
    second = flag.format(tmp_path / "b")
    ends = end(start("train", tmp_path / "t", *given, second=second))
    assert [code for code, _ in ends] == [1, 1]
    for _, stderr in ends:
        last = stderr.splitlines()[-1]
        assert last.startswith(
            f"train_wavegan.py: workers differ in their {part}"
        )
