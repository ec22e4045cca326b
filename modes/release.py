"""Writes float16 weights, config and samples of a run: the mode release."""

import pathlib

from modes import card, render
from networks import audio_model as audio_model_lib
from training import config as config_lib
from training import model as model_lib
from training import train_dir, weights


def release(
    audio_model: audio_model_lib.AudioModel,
    directory: train_dir.TrainDir,
    config: config_lib.RunConfig,
    *,
    model: model_lib.Model,
    num_clips: int = 32,
    out_dir: pathlib.Path,
) -> None:
    """Writes what is worth keeping of a run: weights, config, samples.

    `config.json`, `generator.npz` (averaged, if the run averages) and
    `discriminator.npz`, both float16; `samples.wav` and `samples.png`, the
    clips of the first seeds, unchosen, laid out as in a preview; and a card,
    `README.md`, unless there is one.

    Args:
      audio_model: Built as the config says.
      directory: A train dir.
      config: Of its run.
      model: The model.
      num_clips: In the samples, as in a preview.
      out_dir: Where to; made if missing. `generate` and `export` take it.

    Raises:
      FileNotFoundError: There is no checkpoint.
    """
    step = train_dir.restore(audio_model, directory)
    out_dir.mkdir(parents=True, exist_ok=True)
    weights.save(audio_model, out_dir, step)
    directory.copy_settings(out_dir)
    # The folder of the data means nothing on another machine.
    train_dir.TrainDir(out_dir).write_config(config.replace(dir=""))
    known, usage = card.read(directory.path), _usage(config, model)
    card.write(out_dir, config, model, step, known, usage)
    # As whoever unpacks them will hear them.
    weights.load(audio_model, out_dir)
    render.write_samples(audio_model, config, step, out_dir, num_clips)
    print(f"step {step}: {out_dir}")


def _usage(config: config_lib.RunConfig, model: model_lib.Model) -> str:
    """Describes the use of a release, in Markdown."""
    program = f"python {model.program}"
    words = config.data.words
    say = f" --word={words[0]}" if words else ""
    return f"""`config.json` has all settings. In the repository of the program:

```
{program} generate THIS_FOLDER --n 20{say}
{program} train NEW_RUN --pretrained=THIS_FOLDER --data_dir YOUR_AUDIO
```"""
