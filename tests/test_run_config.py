"""Tests the config of a run, made from flags or from config.json."""

import dataclasses
import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
from absl import flags

import specgan
import train_specgan
import train_wavegan
import wavegan
from commandline import flags as flags_lib
from commandline import modes, program, run_config
from modes import latents
from system import settings
from training import config as config_lib
from training import train_dir

# Runs of the code before settings were declared.
OLD_RUNS = pathlib.Path(__file__).resolve().parent / "old_runs"
COMMAND_LINES = [train_wavegan.COMMAND_LINE, train_specgan.COMMAND_LINE]
KINDS: dict[str, Any] = {
    "wavegan": wavegan.WaveGANConfig,
    "specgan": specgan.SpecGANConfig,
}


def read(*args: str, **kwargs: Any) -> config_lib.RunConfig:
    """Makes a config of WaveGAN's flags."""
    command_line = train_wavegan.COMMAND_LINE
    values = flags.FlagValues()
    program.define(command_line, values)
    values(["train_wavegan.py", *args])
    return run_config.read_flags(command_line, values, **kwargs)


def run(
    command_line: flags_lib.CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    *args: object,
) -> None:
    """Runs a command line in this process."""
    values = flags.FlagValues()
    program.define(command_line, values)
    monkeypatch.setattr(modes, "FLAGS", values)
    program.main(command_line, values([command_line.program, *map(str, args)]))


# The dataclasses ------------------------------------------------------------


@pytest.mark.parametrize("model", KINDS)
def test_settings_have_names_of_their_own(model: str) -> None:
    fields = [
        field
        for kind in config_lib.sections_of(KINDS[model]).values()
        for field in dataclasses.fields(kind)
    ]
    names = [field.name for field in fields]
    assert len(names) == len(set(names))
    assert all(settings.of(field).help.endswith(".") for field in fields)


def test_settings_are_replaced_in_any_section() -> None:
    before = config_lib.RunConfig(wavegan.WaveGANConfig())
    after = before.replace(dim=3, normalize=True, seed=7)
    assert (after.model.dim, after.data.normalize) == (3, True)
    assert after.train == config_lib.TrainConfig(seed=7)
    assert before == config_lib.RunConfig(wavegan.WaveGANConfig())
    with pytest.raises(TypeError, match="size"):
        before.replace(size=3)
    with pytest.raises(settings.SettingError, match="^dim is 0: expected 1"):
        before.replace(dim=0)
    with pytest.raises(settings.SettingError, match="num_labels is 0"):
        before.replace(words=("a", "b"))
    assert before.with_words(("a", "b")).model.num_labels == 2


# config.json ----------------------------------------------------------------


@pytest.mark.parametrize("model", KINDS)
def test_old_configs_open_and_are_written_as_they_were(
    model: str, tmp_path: pathlib.Path
) -> None:
    config = train_dir.TrainDir(OLD_RUNS / model).read_config(KINDS[model])
    assert config.train.max_steps == 3 and config.model.dim == 1
    train_dir.TrainDir(tmp_path).write_config(config)
    old, new = (
        json.loads((folder / "config.json").read_text())
        for folder in (OLD_RUNS / model, tmp_path)
    )
    for section in ("data", "model", "train"):
        # Settings that are newer than the old run are written, too.
        kept = {name: new[section][name] for name in old[section]}
        assert kept == old[section]
    assert list(new) == list(old)


def test_settings_that_an_older_config_lacks_have_their_defaults(
    tmp_path: pathlib.Path,
) -> None:
    sections = {
        "data": {"dir": "/sounds", "sample_rate": 8000},
        "model": {"slice_len": 64, "dim": 1},
        "train": {"batch_size": 3},
        "versions": {"python": "3.10"},
    }
    (tmp_path / "config.json").write_text(json.dumps(sections))
    directory = train_dir.TrainDir(tmp_path)
    assert directory.read_config(wavegan.WaveGANConfig) == config_lib.RunConfig(
        wavegan.WaveGANConfig(slice_len=64, dim=1),
        config_lib.DataConfig(dir="/sounds", sample_rate=8000),
        config_lib.TrainConfig(batch_size=3),
    )


def test_an_old_run_says_what_it_said_and_goes_on(
    tmp_path: pathlib.Path,
    audio: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = train_dir.TrainDir(
        shutil.copytree(OLD_RUNS / "wavegan", tmp_path / "t")
    )
    gan = train_wavegan.MODEL.build(directory)
    assert train_dir.restore(gan, directory) == 3
    z = latents.sample_z(2, 2, seed=0)
    clips = gan.generate(z, np.array([0, 1], np.int32))
    before = np.load(directory.path / "clips.npy", allow_pickle=False)
    np.testing.assert_allclose(clips, before, atol=1e-5)
    words = tmp_path / "words"
    words.mkdir()
    for i, path in enumerate(sorted(audio.iterdir())):
        shutil.copy(path, words / f"{('no', 'yes')[i % 2]}_{path.name}")
    run(
        train_wavegan.COMMAND_LINE,
        monkeypatch,
        *("train", directory.path, f"--data_dir={words}"),
        "--train_max_steps=4",
    )
    assert directory.checkpoints.latest_step() == 4
    old = train_dir.TrainDir(OLD_RUNS / "wavegan")
    assert directory.read_config(wavegan.WaveGANConfig) == old.read_config(
        wavegan.WaveGANConfig
    ).replace(dir=str(words), max_steps=4)


# Flags ----------------------------------------------------------------------


def test_without_flags_the_config_is_the_papers() -> None:
    assert read() == config_lib.RunConfig(wavegan.WaveGANConfig())


def test_flags_set_the_fields_that_they_name() -> None:
    config = read(
        "--data_slice_len=64",
        "--wavegan_genr_pp",
        "--wavegan_loss=r3gan",
        "--data_dir=sounds",
        "--nodata_normalize",
    )
    assert config == config_lib.RunConfig(wavegan.WaveGANConfig()).replace(
        slice_len=64,
        post_filter_len=512,
        loss="r3gan",
        dir=str(pathlib.Path("sounds").resolve()),
    )
    pair = ("--wavegan_genr_pp", "--wavegan_genr_pp_len=4")
    assert read(*pair).model == wavegan.WaveGANConfig(post_filter_len=4)


def test_a_run_keeps_what_flags_do_not_say() -> None:
    saved = read("--wavegan_dim=3", "--seed=5", "--train_max_steps=2")
    assert read(saved=saved) == saved
    fixed = ("data", "model", "train")
    again = read(
        "--wavegan_dim=3", "--train_max_steps=9", saved=saved, fixed=fixed
    )
    assert again == saved.replace(max_steps=9)
    with pytest.raises(ValueError, match="--seed is 0, but that run has 5"):
        read("--seed=0", saved=saved, fixed=fixed)
    assert read("--seed=0", saved=saved, fixed=("model",)).train.seed == 0


# What the original's code and earlier versions of this one call their flags.
NAMES = {
    "wavegan": """
        best checkpoint concat data_cache data_dir data_fast_wav
        data_first_slice data_labels data_max_bad data_normalize
        data_num_channels data_overlap_ratio data_pad_end data_prefetch_gpu_num
        data_sample_rate data_slice_len deterministic fade force_bf16 format
        incept_classifier incept_k incept_n interpolate interpolation kit label
        loudness n normalize num_gpus once out_dir port precision pretrained
        preview_n proxy_url rate say seed step steps subtype train_augment
        train_batch_size train_conv train_decay_steps train_disc_learning_rate
        train_ema_decay train_jit train_keep train_keep_every_secs
        train_learning_rate train_max_steps train_penalty_interval
        train_penalty_weight train_save_secs train_summary_secs trim truncation
        wavegan_batchnorm wavegan_dim wavegan_disc_dropout wavegan_disc_nupdates
        wavegan_disc_phaseshuffle wavegan_disc_phaseshuffle_per_example
        wavegan_genr_fade_len wavegan_genr_pp wavegan_genr_pp_len
        wavegan_genr_upsample wavegan_kernel_len wavegan_latent_dim wavegan_loss
        wavegan_spectral_critics wavegan_spectral_dim word
    """,
    "specgan": """
        best checkpoint concat data_cache data_dir data_fast_wav
        data_first_slice data_labels data_max_bad data_moments_fp data_normalize
        data_overlap_ratio data_pad_end data_prefetch_gpu_num data_sample_rate
        deterministic fade force_bf16 format incept_classifier incept_k incept_n
        interpolate interpolation kit label loudness n normalize num_gpus once
        out_dir port precision pretrained preview_n proxy_url rate say seed
        specgan_batchnorm specgan_dim specgan_disc_dropout specgan_disc_nupdates
        specgan_disc_phaseshuffle specgan_genr_upsample specgan_kernel_len
        specgan_latent_dim specgan_loss specgan_ngl step steps subtype
        train_augment train_batch_size train_decay_steps
        train_disc_learning_rate train_ema_decay train_jit train_keep
        train_keep_every_secs train_learning_rate train_max_steps
        train_penalty_interval train_penalty_weight train_save_secs
        train_summary_secs trim truncation word
    """,
}


@pytest.mark.parametrize("command_line", COMMAND_LINES, ids=lambda c: c.program)
def test_flags_keep_their_names(command_line: flags_lib.CommandLine) -> None:
    names = sorted(option.name for option in command_line.options)
    assert names == NAMES[command_line.model.name].split()


# What modes use besides the settings of a run, or of these.
USES = {
    "train": {"num_gpus", "pretrained", "data_moments_fp", "force_bf16"},
    "plot": set(),
    "preview": {"preview_n", "once", "step"},
    "incept": {"incept_n", "incept_k", "incept_classifier", "once"},
    "generate": {
        *("n", "seed", "word", "say", "interpolate", "steps", "interpolation"),
        *("truncation", "label", "best", "incept_classifier", "concat"),
        *("format", "rate", "normalize", "out_dir", "pretrained", "step"),
        *("kit", "loudness", "subtype", "trim", "fade"),
    },
    "play": {"port", "pretrained", "proxy_url", "step"},
    "export": {"format", "out_dir", "pretrained", "step"},
    "infer": {"out_dir", "pretrained", "step"},
    "release": {"preview_n", "out_dir", "step"},
    "import": {"checkpoint", "data_moments_fp"},
    "moments": {
        *("data_moments_fp", "data_dir", "data_sample_rate"),
        *("data_overlap_ratio", "data_first_slice", "data_pad_end"),
        *("data_normalize", "data_fast_wav", "data_max_bad"),
    },
}


@pytest.mark.parametrize("command_line", COMMAND_LINES, ids=lambda c: c.program)
def test_a_mode_refuses_the_flags_that_it_does_not_use(
    command_line: flags_lib.CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran: list[str] = []
    of_run = {option.name for option in command_line.config_options}
    for mode, known in command_line.modes.items():
        used = set(USES[mode])
        if mode in ("train", "import"):
            used |= of_run - ({"data_labels"} if mode == "import" else set())
        watched = dataclasses.replace(
            known, run=lambda _, directory: ran.append(str(directory.path))
        )
        alone = dataclasses.replace(
            command_line, modes={**command_line.modes, mode: watched}
        )
        for option in command_line.options:
            if option.name == "pretrained":  # which needs a folder's name
                continue
            value = str(option.default) if option.default else "3"
            given = f"--{option.name}={value}"
            if isinstance(option.default, bool):
                given = f"--{option.name}"
            if option.name in used:
                run(alone, monkeypatch, mode, "t", given)
                assert ran == ["t"]
                ran.clear()
            else:
                with pytest.raises(SystemExit):
                    run(alone, monkeypatch, mode, "t", given)
                (line,) = capsys.readouterr().err.splitlines()
                assert line == (
                    f"{command_line.program}: --{option.name} is a flag of "
                    f"{', '.join(option.modes)}: {mode} does not use it"
                )
    assert not ran


def test_errors_name_the_flag_of_the_mode_that_runs() -> None:
    name_of = train_wavegan.COMMAND_LINE.name_of
    assert name_of("loss", "train") == "--wavegan_loss"
    assert name_of("post_filter_len", "train") == "--wavegan_genr_pp_len"
    assert name_of("normalize", "train") == "--data_normalize"
    assert name_of("normalize", "generate") == "--normalize"
    assert name_of("seed", "generate") == "--seed"
    # Who generates cannot change these.
    assert name_of("loss", "generate") == "loss"
    assert name_of("num_labels", "train") == "num_labels"


@pytest.mark.parametrize("command_line", COMMAND_LINES, ids=lambda c: c.program)
def test_flags_are_described_in_sentences(
    command_line: flags_lib.CommandLine,
) -> None:
    for option in command_line.options:
        assert option.help[0].isupper() or option.help.split()[0] in USES
        assert option.help.endswith(".") and option.modes
