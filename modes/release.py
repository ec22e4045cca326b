"""Writes float16 weights, config and samples of a run: the mode release."""

import pathlib

import gan as gan_lib
from modes import latents, render
from system import atomic
from training import config as config_lib
from training import train_dir, weights

NAMES = {"wavegan": "WaveGAN", "specgan": "SpecGAN"}


def release(
    gan: gan_lib.GAN,
    directory: train_dir.TrainDir,
    config: config_lib.RunConfig,
    *,
    model: str,
    num_clips: int = 32,
    out_dir: pathlib.Path,
) -> None:
    """Writes what is worth keeping of a run: weights, config, samples.

    `config.json`, `generator.npz` (averaged, if the run averages) and
    `discriminator.npz`, both float16; `samples.wav` and `samples.png`, the
    clips of the first seeds, unchosen, laid out as in a preview; and a card,
    `README.md`, unless there is one.

    Args:
      gan: Built as the config says.
      directory: A train dir.
      config: Of its run.
      model: Name of the model.
      num_clips: In the samples, as in a preview.
      out_dir: Where to; made if missing. `generate` and `export` take it.

    Raises:
      FileNotFoundError: There is no checkpoint.
    """
    step = train_dir.restore(gan, directory)
    words = config.data.words
    num_z = render.num_vectors(num_clips, words)
    z = latents.sample_z(num_z, gan.latent_dim, seed=0)
    out_dir.mkdir(parents=True, exist_ok=True)
    weights.save(gan, out_dir, step)
    real = render.real_clips(config, num_z)
    directory.copy_settings(out_dir)
    # The folder of the data means nothing on another machine.
    train_dir.TrainDir(out_dir).write_config(config.replace(dir=""))
    card = out_dir / "README.md"
    if not card.exists():  # its author may have added to it
        atomic.write(card, make_card(config, model, step).encode())
    # As whoever unpacks them will hear them.
    weights.load(gan, out_dir)
    clips = render.generate_rows(gan, z, words)
    rate = config.data.sample_rate
    render.write_clips(clips, real, step, rate, out_dir / "samples.wav", words)
    print(f"step {step}: {out_dir}")


def make_card(config: config_lib.RunConfig, model: str, step: int) -> str:
    """Makes the card of released weights, with the header of model hubs.

    Args:
      config: Config of the run.
      model: Name of the model, wavegan or specgan.
      step: Number of generator updates.

    Source: huggingface.co/docs/hub/model-cards for the header.
    """
    networks, rate = config.model, config.data.sample_rate
    seconds = networks.slice_len / rate
    words = config.data.words
    rows = {
        "clips": f"{networks.slice_len} samples at {rate} Hz: {seconds:.2f} s",
        "words": ", ".join(words) or "none: clips are not labelled",
        "networks": f"dim {networks.dim}, {networks.channels} channel(s)",
        "training": f"loss {config.train.loss}, {step:,} generator updates of "
        f"{config.train.batch_size} clips",
        "data": "(name the recordings here)",
        "licence": "(name it here, and in the header above: that of the "
        "recordings may bind these weights)",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    program = f"python train_{model}.py"
    say = f" --word={words[0]}" if words else ""
    return f"""---
library_name: keras
license: unknown
tags:
- audio
- audio-generation
- gan
- {model}
---
# {NAMES.get(model, model)} after {step:,} updates

| | |
|---|---|
{table}

`config.json` has all settings; `samples.wav` and `samples.png` show the clips
of the first seeds, unchosen. In the repository of the program:

```
{program} generate THIS_FOLDER --n 20{say}
{program} train NEW_RUN --pretrained=THIS_FOLDER --data_dir YOUR_AUDIO
```
"""
