"""Tests kits for samplers: the choice of clips, and the files that map them."""

import json
import pathlib
import re

import command_runner
import numpy as np
import soundfile

from eval import features
from modes import kit


def test_clips_that_are_far_apart_are_chosen() -> None:
    """Of four tones with nine near copies each, one of each is chosen."""
    rng = np.random.default_rng(0)
    time = np.arange(features.SLICE_LEN) / features.SAMPLE_RATE
    clips = [
        0.3 * np.sin(2 * np.pi * hz * time)
        + 1e-3 * rng.normal(size=features.SLICE_LEN)
        for hz in (150, 600, 2000, 5000)
        for _ in range(10)
    ]
    audio = np.stack(clips).astype(np.float32)
    chosen = kit.choose(audio, 4)
    assert sorted(i // 10 for i in chosen) == [0, 1, 2, 3]
    assert sorted(kit.choose(audio, 40)) == list(range(40))


def test_each_clip_is_the_farthest_from_those_before() -> None:
    rng = np.random.default_rng(1)
    levels = 10 ** rng.uniform(-3, 0, (12, 1))
    noise = rng.normal(size=(12, features.SLICE_LEN))
    audio = (0.2 * levels * noise).astype(np.float32)
    mels = features.log_mel(features.add_noise_floor(audio), hop_len=512)
    distance = np.linalg.norm(
        (mels[:, None] - mels[None]).reshape(12, 12, -1), axis=-1
    )
    chosen = kit.choose(audio, 6)
    assert len({*chosen}) == 6
    for i in range(1, 6):
        nearest = distance[chosen[:i]].min(axis=0)
        assert nearest[chosen[i]] == nearest.max()


def test_a_kit_is_numbered_named_and_mapped(tmp_path: pathlib.Path) -> None:
    done = command_runner.run(
        *("generate", "--pretrained", "--n=12", "--kit=5", "--seed=40"),
        *("--subtype=PCM_24", "--trim=-40", "--fade=10", "--loudness=-14"),
        f"--out_dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "kit"
    card = json.loads((folder / kit.JSON).read_text())
    assert card["model"] == "wavegan" and card["step"] > 0
    rows = card["clips"]
    assert [row["note"] for row in rows] == [36, 37, 38, 39, 40]
    for number, row in enumerate(rows, start=1):
        assert re.fullmatch(
            f"{number:02d}_wavegan_{row['word'].title()}_{row['seed']:05d}.wav",
            row["file"],
        )
        assert 40 <= row["seed"] < 52
        with soundfile.SoundFile(folder / row["file"]) as file:
            assert file.subtype == "PCM_24"
            name = row["file"].removesuffix(".wav")
            assert file.title == f"wavegan, step {card['step']}: {name}"
            audio = file.read()
        assert len(audio) < 16000 and audio[-1] == 0
        assert 0.1 < np.abs(audio).max() <= 1
    regions = re.findall(
        r"<region> key=(\d+) sample=(.*)", (folder / kit.SFZ).read_text()
    )
    assert regions == [(str(row["note"]), row["file"]) for row in rows]
    assert {path.name for path in folder.iterdir()} == {
        *(row["file"] for row in rows),
        *(kit.SFZ, kit.JSON),
    }


def test_odd_kits_end_in_one_line(tmp_path: pathlib.Path) -> None:
    for flags, words in (
        (("--n=3", "--kit=4"), ("--kit is 4", "0 to 3")),
        (("--kit=93",), ("--kit is 93", "0 to 92")),
        (("--kit=2", "--say=one"), ("--kit and --say",)),
        (("--loudness=3",), ("--loudness is 3",)),
        (("--loudness=-9", "--normalize=peak"), ("--loudness and",)),
        (("--trim=5",), ("--trim is 5",)),
        (("--fade=-1",), ("--fade is -1",)),
        (("--subtype=MP3",), ("--subtype is 'MP3'", "PCM_24")),
        (("--subtype=FLOAT", "--format=flac"), ("--subtype is 'FLOAT'",)),
    ):
        done = command_runner.run("generate", "--pretrained", *flags)
        command_runner.assert_one_line(done, *words)
