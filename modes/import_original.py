"""Converts a checkpoint of the original code to a train dir: mode import."""

import shutil

import gan as gan_lib
from modes import original_checkpoint
from training import config as config_lib
from training import gan_model, train_dir


def import_original(
    model: gan_model.GANModel,
    config: config_lib.RunConfig,
    directory: train_dir.TrainDir,
    checkpoint: original_checkpoint.Checkpoint,
) -> None:
    """Makes a train dir of a checkpoint of the authors' code.

    Args:
      model: The checkpoint's model.
      config: Fits the checkpoint; see `original_checkpoint.settings`.
      directory: A train dir that holds no run.
      checkpoint: Of the authors' code.

    Raises:
      ValueError: The checkpoint does not fit.
    """
    gan = model.build(directory, config, gan_lib.GAN)
    model.compile(gan, config.train)
    missing = original_checkpoint.restore(gan, checkpoint)
    with directory.lock():
        model.prepare(directory, config, None)
        directory.checkpoints.save(gan, checkpoint.step)
        try:
            directory.write_config(config)
        except BaseException:
            shutil.rmtree(directory.checkpoints.folder)
            raise
    fresh = f"; without {', '.join(missing)}: training goes on with fresh ones"
    print(f"step {checkpoint.step}: {directory.path}{fresh * bool(missing)}")
