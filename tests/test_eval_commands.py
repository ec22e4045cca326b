"""Tests the commands of eval/ in processes."""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from types import ModuleType

import command_runner
import numpy as np
import pytest
import soundfile
import tiny_classifier

from eval import classifier, recipes, score, table, train_classifier
from system import console

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(
    name: str, *args: object, cwd: pathlib.Path
) -> subprocess.CompletedProcess[str]:
    """Runs eval/NAME.py to its end, in a process of the command server."""
    program = f"eval/{name}.py"
    return command_runner.run(*args, program=program, cwd=cwd)


def run_in_new_process(
    name: str, *args: object, cwd: pathlib.Path, as_module: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs eval/NAME.py to its end, in a new process."""
    script = ["-m", f"eval.{name}"] if as_module else [ROOT / f"eval/{name}.py"]
    return subprocess.run(
        [sys.executable, *map(str, script), *map(str, args)],
        cwd=cwd,
        env=os.environ | ({"PYTHONPATH": str(ROOT)} if as_module else {}),
        timeout=300,
        capture_output=True,
        text=True,
        check=False,
    )


def refuse(
    program: ModuleType, command: str, cwd: pathlib.Path, *words: str
) -> None:
    """Checks that a command ends in one line of stderr with these words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["", *command.split()])
        stderr = io.StringIO()
        patch.setattr(sys, "stderr", stderr)
        with pytest.raises(SystemExit):
            console.run(program.parser(), program.main)
    line = stderr.getvalue()
    assert line.startswith("eval.") and line.count("\n") == 1
    for word in words:
        assert word in line, line


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Makes tones/{train,valid}, few/, and clf/, an untrained classifier."""
    folder = tmp_path_factory.mktemp("tones")
    tiny_classifier.write_tones(folder / "tones/train", 90, seed=1)
    tiny_classifier.write_tones(folder / "tones/valid", 84, seed=2)
    tiny_classifier.write_tones(folder / "few", 4, seed=3)
    tiny_classifier.untrained().save(folder / "clf")
    return folder


def rows_of(markdown: str) -> dict[str, dict[str, str]]:
    """Returns the cells of a table by row and column."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        for line in lines
    ]
    return {
        line[0]: dict(zip(cells[0], line, strict=True)) for line in cells[2:]
    }


@pytest.mark.parametrize("flags", [[], ["--normalize"]])
def test_normalize_scales_all_clips_to_peak_1(
    tmp_path: pathlib.Path, flags: list[str]
) -> None:
    tiny_classifier.write_tones(tmp_path / "tones/train", 4)
    tiny_classifier.write_tones(tmp_path / "tones/valid", 2)
    folders = ["--audio_dir", tmp_path / "tones/valid"]
    folders += ["--reference_dir", tmp_path / "tones", "--classifier", "clf"]
    job = score.make_job(
        score.parser().parse_args(
            ["inception", *map(str, folders), "--baselines", *flags]
        )
    )
    assert len(job.systems) == 6
    for source in job.sets():
        peaks = np.abs(source.load(0, 6)).max(axis=1)
        if source.name == "silence":
            assert np.all(peaks == 0)
        else:
            assert np.allclose(peaks, 1) == bool(flags), source.name


@pytest.mark.slow
def test_all_metrics_separate_real_clips_noise_silence_and_copies(
    tones: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "quick", tiny_classifier.RECIPE)
    recipes.train(tones / "tones")[0].save(tones / "trained")
    done = run(
        "score",
        *("all", "--audio_dir", "tones/valid", "--reference_dir", "tones"),
        *("--classifier", "trained", "--k", 5, "--baselines"),
        *("--out_dir", "out"),
        cwd=tones,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tones / "out/scores.json").read_text())
    assert result["classifier"]["accuracy"]["valid"] > 0.8
    values = {
        row["name"]: {k: s["value"] for k, s in row["scores"].items()}
        for row in result["rows"]
    }
    real, noise = values["tones/valid"], values["white noise"]
    copies, silence = values["copies of the reference"], values["silence"]
    reference = values["reference tones"]
    for key in ("inception", "recall", "coverage"):
        assert real[key] > noise[key] and real[key] > silence[key], key
    # Silence lies between these tones: it is precise, and covers nothing.
    assert real["precision"] > 0.9 > noise["precision"]
    for key in ("am", "frechet", "kernel", "ndb", "train_distance"):
        assert real[key] < noise[key] and real[key] < silence[key], key
    assert silence["inception"] == pytest.approx(1)
    assert silence["noise"] == 0 and silence["self_distance"] == 0
    assert reference["frechet"] == pytest.approx(0, abs=1e-6)
    assert copies["train_distance"] == reference["train_distance"] == 0
    assert copies["memorisation"] == 1 and real["memorisation"] < 0.1
    assert noise["noise_levelled"] > real["noise_levelled"]
    for row in result["rows"]:
        heard = [s for k, s in row["scores"].items() if k[:6] == "heard_"]
        assert sum(s["value"] for s in heard) == pytest.approx(1)
        for one in row["scores"].values():
            assert one["low"] - 1e-9 <= one["value"] <= one["high"] + 1e-9
    # Held-out clips are what the paper divides by.
    scores = {row["name"]: row["scores"] for row in result["rows"]}
    assert scores["tones/valid"]["noise"]["relative"] == pytest.approx(1)
    table_rows = rows_of(done.stdout)
    assert table_rows.keys() == values.keys()
    assert table_rows["silence"]["n"] == "252"
    assert "high/low/mid" in done.stdout and "% on valid" in done.stdout
    report = tones / "out/memorisation_1"
    assert (report / "distances.png").stat().st_size > 1000
    assert len(list(report.glob("*.wav"))) == 20
    samples, rate = soundfile.read(report / "01_training.wav")
    assert rate == 16000 and len(samples) == 16384


@pytest.mark.slow
def test_script_and_module_print_the_same_from_any_folder(
    tones: pathlib.Path,
) -> None:
    args = ["noise", "inception", "--k", "2", "--n", "101", "--json"]
    args += ["--audio_dir", "valid", "--classifier", "../clf"]
    script = run_in_new_process("score", *args, cwd=tones / "tones")
    module = run_in_new_process(
        "score", *args, cwd=tones / "tones", as_module=True
    )
    assert script.returncode == 0, script.stderr
    assert script.stdout == module.stdout
    (line,) = script.stdout.splitlines()
    result = json.loads(line)
    assert result["rows"][0]["num_clips"] == 101
    assert result["splits"] == 2
    assert result["classifier"]["fingerprint"]


def in_process(*args: object) -> None:
    """Runs eval.score in this process."""
    score.main(score.parser().parse_args([*map(str, args)]))


def test_few_held_out_clips_leave_out_only_the_ratios(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classifier, "load", lambda _: pytest.fail("loads"))
    tiny_classifier.write_tones(tmp_path / "real/train", 20, seed=1)
    tiny_classifier.write_tones(tmp_path / "made", 17, seed=2)
    data = ("--audio_dir", tmp_path / "made", "--reference_dir")
    for num_heldout in (5, 17):
        tiny_classifier.write_tones(tmp_path / "real/valid", num_heldout)
        out = ("--baselines", "--out_dir", tmp_path / "out")
        in_process("noise", "similarity", *data, tmp_path / "real", *out)
        result = json.loads((tmp_path / "out/scores.json").read_text())
        ours, _, heldout, *_ = result["rows"]
        assert heldout["num_clips"] == 3 * num_heldout
        enough = num_heldout > 16
        for key in ("noise", "train_distance"):
            assert ours["scores"][key]["value"] > 0
            assert ("relative" in ours["scores"][key]) == enough
            assert (key in heldout["scores"]) == enough
        assert result["classifier"] is None
        assert "lassifier" not in capsys.readouterr().out
    in_process("memorisation", *data, tmp_path / "real")
    assert "| memorised |" in capsys.readouterr().out


def test_all_computes_what_a_small_set_allows(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_classifier.write_tones(tmp_path / "real/train", 30, seed=1)
    tiny_classifier.write_tones(tmp_path / "real/valid", 5, seed=2)
    tiny_classifier.untrained().save(tmp_path / "clf")
    in_process(
        *("all", "--audio_dir", tmp_path / "real", "--reference_dir"),
        *(tmp_path / "real", "--classifier", tmp_path / "clf"),
    )
    stdout, stderr = capsys.readouterr()
    (row,) = rows_of(stdout).values()
    assert {"noise", r"\|D\|train", "% heard as high/low/mid"} < row.keys()
    assert "left out: memorisation needs at least 50 clips" in stderr


def test_a_broken_file_is_named_counted_and_left_out(
    tmp_path: pathlib.Path,
) -> None:
    tiny_classifier.write_tones(tmp_path / "some", 20)
    (tmp_path / "some/broken.wav").write_bytes(b"RIFF")
    done = run(
        "score",
        *("noise", "--audio_dir", "some"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "skipped: " in done.stderr and "broken.wav" in done.stderr
    assert "some: 1 files skipped" in done.stderr
    assert "| some | 60 |" in done.stdout


def test_the_shipped_classifier_scores_where_none_is_given(
    tones: pathlib.Path,
) -> None:
    args = ("--audio_dir", "tones/valid", "--n", 100)
    done = run("score", "inception", *args, cwd=tones)
    assert done.returncode == 0, done.stderr
    assert "Classifier e5cb43e2 (99.7% on valid)" in done.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("", ("METRIC", "--audio_dir")),
        ("loudness --audio_dir few --classifier clf", ("loudness", "frechet")),
        ("noise --audio_dir nowhere --classifier clf", ("nowhere",)),
        (
            "inception --audio_dir tones/valid --classifier few",
            ("eval.train_classifier",),
        ),
        ("all --audio_dir few", ("no metric can be computed", "50", "12")),
        ("noise --audio_dir few --classifier clf", ("50", "12", "few")),
        ("am --audio_dir tones/valid --classifier clf", ("--reference_dir",)),
        (
            "memorisation --audio_dir tones/valid --reference_dir few "
            "--classifier clf",
            ("--heldout_dir",),
        ),
        ("noise --audio_dir few --classifier clf --n 13", ("12", "13")),
        ("noise --audio_dir few --classifier clf --n -1", ("--n", "-1")),
        (
            "inception --audio_dir tones/valid --classifier clf --k 100",
            ("1000", "252"),
        ),
        (
            "noise --audio_dir tones/valid --classifier clf --baselines",
            ("--reference_dir",),
        ),
    ],
)
def test_an_invalid_score_command_ends_in_one_line(
    tones: pathlib.Path, args: str, words: tuple[str, ...]
) -> None:
    refuse(score, args, tones, *words)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("nowhere --out x", ("nowhere",)),
        ("tones --out x --recipe slow", ("slow", "quick")),
        ("few", ("--out",)),
        ("songs --out x", ("holds no word",)),
        ("tones --out clf/card.json", ("card.json", "--out")),
    ],
)
def test_an_invalid_training_command_ends_in_one_line(
    tones: pathlib.Path, args: str, words: tuple[str, ...]
) -> None:
    (tones / "songs").mkdir(exist_ok=True)
    shutil.copy(tones / "few/High_0.wav", tones / "songs/song1.wav")
    refuse(train_classifier, args, tones, *words)


def scores_json(
    folder: pathlib.Path, fingerprint: str, by_the_authors: bool = False
) -> pathlib.Path:
    """Makes a folder such as eval.score writes."""
    folder.mkdir()
    row = {
        "name": "ours",
        "num_clips": 5000,
        "scores": {
            "inception": {"value": 4.567, "std": 0.04, "low": 4, "high": 5},
            "noise": {"value": 9.0, "low": 8, "high": 10, "relative": 1.26},
            "train_distance": {"value": 300.0, "low": 200, "high": 400},
        },
    }
    text = json.dumps(
        {
            "classifier": {
                "name": f"{fingerprint} (98% on valid)",
                "fingerprint": fingerprint,
                "by_the_authors": by_the_authors,
            },
            "real": {},
            "rows": [row],
        }
    )
    (folder / "scores.json").write_text(text)
    return folder


def test_the_table_has_the_papers_rows_and_ours(tmp_path: pathlib.Path) -> None:
    one = scores_json(tmp_path / "one", "abcd")
    done = run("table", one, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name, mean, std, *_ in table.PUBLISHED:
        assert f"| *{name}* | {mean:.2f} ± {std:.2f} |" in done.stdout
    assert (
        "| ours | 4.57 ± 0.04 |  | no held-out clips | 1.3 | 5,000 | "
        "abcd (98% on valid) |"
    ) in done.stdout
    assert "cannot be compared with theirs" in done.stdout
    assert "classifiers scored" not in done.stdout


def test_the_table_notes_different_classifiers(tmp_path: pathlib.Path) -> None:
    folders = [scores_json(tmp_path / name, name) for name in ("abcd", "ef01")]
    done = run("table", *folders, cwd=tmp_path)
    assert "2 classifiers scored the other rows" in done.stdout


def test_the_table_takes_the_authors_classifier_without_a_warning(
    tmp_path: pathlib.Path,
) -> None:
    done = run("table", scores_json(tmp_path / "one", "ab", True), cwd=tmp_path)
    assert "| the authors', ab (98% on valid) |" in done.stdout, done.stderr
    assert "cannot be compared" not in done.stdout


def test_the_table_takes_scores_without_a_classifier(
    tmp_path: pathlib.Path,
) -> None:
    path = scores_json(tmp_path / "one", "abcd") / "scores.json"
    scores = json.loads(path.read_text()) | {"classifier": None}
    path.write_text(json.dumps(scores))
    done = run("table", tmp_path / "one", cwd=tmp_path)
    assert "| 1.3 | 5,000 |  |" in done.stdout, done.stderr


def test_a_table_of_nothing_ends_in_one_line(tmp_path: pathlib.Path) -> None:
    refuse(table, ".", tmp_path, "eval.score")
    (tmp_path / "scores.json").write_text("{}")
    refuse(table, ".", tmp_path, "damaged")
    refuse(table, "", tmp_path, "DIR")


def test_a_refusal_is_the_only_output_of_a_process(
    tmp_path: pathlib.Path,
) -> None:
    args = ("train_classifier", "nowhere", "--out", "x")
    done = run_in_new_process(*args, cwd=tmp_path)
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith("eval.train_classifier: no folder 'nowhere'")
    assert done.stderr.count("\n") == 1
