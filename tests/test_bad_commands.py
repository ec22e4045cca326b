"""Tests bad command lines: one error line, exit code 1, nothing written."""

import pathlib
from collections.abc import Iterator

import command_runner
import pytest
import tensorflow as tf
import wavs

import train_wavegan
from commandline import errors


@pytest.fixture
def nowhere(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A train dir that a failing command must not make."""
    path = tmp_path / "never" / "train"
    yield path
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--data_slice_len=5000", ("--data_slice_len is 5000", "16384")),
        ("--wavegan_dim=0", ("--wavegan_dim is 0",)),
        ("--wavegan_dim=x", ("--wavegan_dim",)),
        ("--data_sample_rate=-1", ("--data_sample_rate is -1",)),
        ("--wavegan_dmi=3", ("wavegan_dmi", "wavegan_dim")),
        ("--wavegan_loss=wasserstein", ("--wavegan_loss is", "wgan-gp")),
        ("--wavegan_genr_upsample=sinc", ("sinc", "cubic")),
        ("--incept_ckpt_fp=x", ("eval.import_classifier", "--incept_class")),
        ("--incept_metagraph_fp=x", ("eval.import_classifier",)),
        ("--data_cache=tape", ("--data_cache is 'tape'", "memory")),
        ("--wavegan_disc_nupdates=0", ("--wavegan_disc_nupdates is 0",)),
    ],
)
def test_a_wrong_flag_ends_in_one_line(
    flag: str,
    words: tuple[str, ...],
    nowhere: pathlib.Path,
    audio: pathlib.Path,
) -> None:
    done = command_runner.run("train", nowhere, f"--data_dir={audio}", flag)
    command_runner.assert_one_line(done, *words)


@pytest.mark.parametrize("content", ["missing", "empty", "text", "broken"])
def test_a_bad_data_folder_ends_in_one_line(
    content: str, nowhere: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / content
    if content != "missing":
        folder.mkdir()
    if content == "text":
        (folder / "notes.txt").write_text("no sound")
    if content == "broken":
        (folder / "a.wav").write_bytes(b"RIFF....WAVE but not really")
    done = command_runner.run(
        "train", nowhere, f"--data_dir={folder}", *command_runner.TINY
    )
    command_runner.assert_one_line(done, str(folder))


@pytest.mark.parametrize(
    "args",
    [
        ("trian",),
        (),
        ("train", "a", "b"),
        ("preview", "nothing/here"),
        ("generate", "nothing/here"),
        ("infer", "nothing/here"),
    ],
)
def test_a_wrong_command_ends_in_one_line(
    args: tuple[str, ...], tmp_path: pathlib.Path
) -> None:
    done = command_runner.run(*args, cwd=tmp_path)
    command_runner.assert_one_line(done)
    assert not list(tmp_path.iterdir())


def test_bad_files_are_named_and_one_percent_of_them_is_accepted(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    for path in audio.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "bad.wav").write_bytes(b"")
    args = (
        "train",
        tmp_path / "t",
        f"--data_dir={folder}",
        *command_runner.TINY,
    )
    done = command_runner.run(*args, "--train_max_steps=1")
    command_runner.assert_one_line(
        done, "1 of 12", "bad.wav", "--data_max_bad=0.09"
    )
    assert not (tmp_path / "t").exists()
    done = command_runner.run(
        *args, "--train_max_steps=1", "--data_max_bad=0.1"
    )
    assert done.returncode == 0, done.stderr
    assert "skipped" in done.stderr
    assert "bad.wav" in done.stderr


def test_a_file_damaged_during_training_is_named_and_no_step_is_lost(
    audio: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = wavs.write_all_but_one(tmp_path / "audio")
    train_dir = tmp_path / "t"
    done = command_runner.run(
        "train",
        train_dir,
        f"--data_dir={folder}",
        *command_runner.TINY,
        "--train_batch_size=1",
        "--wavegan_disc_nupdates=1",
    )
    assert done.returncode == 1, done
    last = done.stderr.splitlines()[-1]
    assert last.startswith("train_wavegan.py: cannot decode")
    assert "7.wav" in last
    assert "Traceback" not in done.stderr
    saved = list((train_dir / "checkpoints").glob("ckpt-*.index"))
    assert bool(saved) == ("step 1:" in done.stdout)


def test_a_file_is_refused_as_train_dir(tmp_path: pathlib.Path) -> None:
    (tmp_path / "t").touch()
    done = command_runner.run("preview", tmp_path / "t")
    command_runner.assert_one_line(done, str(tmp_path / "t"), "name a folder")


def test_fast_wav_refuses_files_that_need_conversion(
    audio: pathlib.Path, nowhere: pathlib.Path
) -> None:
    args = ("train", nowhere, f"--data_dir={audio}", *command_runner.TINY)
    done = command_runner.run(
        *args, "--data_fast_wav", "--data_sample_rate=8000"
    )
    command_runner.assert_one_line(done, "--data_fast_wav", "8000 Hz")


def test_an_expanded_shell_pattern_ends_in_a_short_line(
    tmp_path: pathlib.Path,
) -> None:
    files = [f"folder/{i:05}.wav" for i in range(2000)]
    done = command_runner.run(
        "train", "run", "--data_dir", *files, cwd=tmp_path
    )
    command_runner.assert_one_line(done, "1998 more arguments", "--data_dir")
    assert len(done.stderr) < 400


def test_an_error_inside_a_graph_is_described_by_its_cause() -> None:
    @tf.function
    def fail(x: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.debugging.assert_less(x, 0.0)]):
            return tf.identity(x)

    @tf.function
    def exhaust(size: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.fill([size, size], 1.0) ** 2)

    described = []
    for function, value in ((fail, 1.0), (exhaust, 1 << 23)):
        with pytest.raises(tf.errors.OpError) as caught:
            function(tf.constant(value))
        described.append(
            errors.in_one_line(
                train_wavegan.COMMAND_LINE, "train", caught.value
            )
        )
    assert described[0].startswith("assertion failed"), described
    assert described[1].startswith("out of memory (OOM when alloc"), described
    assert "--train_batch_size or --wavegan_dim" in described[1]
