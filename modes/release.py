"""The mode release: float16 weights, config and samples of a run."""

import pathlib

import gan as gan_lib
from modes import latents, render
from system import atomic
from training import config as config_lib
from training import train_dir, weights


def release(
    gan: gan_lib.GAN,
    directory: train_dir.TrainDir,
    config: config_lib.RunConfig,
    *,
    num_clips: int = 32,
    out_dir: pathlib.Path,
) -> None:
    """Writes what is worth keeping of a run: weights, config, samples.

    `config.json`, `generator.npz` (averaged, if the run averages) and
    `discriminator.npz`, both float16; `samples.wav` and `samples.png`, the
    clips of the first seeds, unchosen, laid out as in a preview.

    Args:
      gan: Built as the config says.
      directory: A train dir.
      config: Of its run.
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
    for name, network in (
        (weights.GENERATOR, gan.ema_generator),
        (weights.DISCRIMINATOR, gan.discriminator),
        *((f"{critic.name}.npz", critic) for critic in gan.spectral_critics),
    ):
        atomic.write(out_dir / name, weights.pack(network, step))
    real = render.real_clips(config, num_z)
    directory.copy_settings(out_dir)
    # The folder of the data means nothing on another machine.
    train_dir.TrainDir(out_dir).write_config(config.replace(dir=""))
    # As whoever unpacks them will hear them.
    weights.load(gan, out_dir)
    clips = render.generate_rows(gan, z, words)
    rate = config.data.sample_rate
    render.write_clips(clips, real, step, rate, out_dir / "samples.wav", words)
    print(f"step {step}: {out_dir}")
