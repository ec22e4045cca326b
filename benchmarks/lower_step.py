"""Writes a run's training step as a program that needs no TensorFlow.

  python train_wavegan.py train RUN --data_dir DIR --train_max_steps=1
  python benchmarks/lower_step.py wavegan RUN STEP
  python benchmarks/lowered_step.py STEP --updates 1000    # where JAX is
  python benchmarks/lower_step.py wavegan RUN STEP --back

TensorFlow lowers the step to HLO, the language of the XLA compiler, which JAX
can compile for its devices. So a GPU without TensorFlow can be measured, and
can train. STEP holds the program, the state of the run and its clips. --back
saves a checkpoint of the state that `lowered_step.py` left in STEP.
"""

import argparse
import gzip
import importlib
import json
import pathlib
import sys
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from system import console

console.import_tensorflow()

import numpy as np
import tensorflow as tf

import gan as gan_lib
from training import dataset, model, train_dir


def lower(
    gan: gan_lib.GAN, audio: tf.Tensor, labels: tf.Tensor, batch_size: int
) -> tuple[bytes, list[tf.Variable]]:
    """Lowers the training step to HLO.

    Args:
      gan: Compiled.
      audio: All clips, `[num_clips, slice_len, channels]`.
      labels: Their labels, int32, `[num_clips]`.
      batch_size: Clips in a batch.

    Returns:
      A serialised module, and its variables. The module takes `audio`,
      `labels`, indices of the clips of an update, `[critic_steps, batch_size]`,
      and the variables; it returns both losses, and the variables that a step
      changes.
    """
    shape = [gan.critic_steps, batch_size]

    def step(audio: Any, labels: Any, indices: Any) -> tf.Tensor:
        batches = tf.gather(audio, indices)
        if gan.num_labels:
            batches = batches, tf.gather(labels, indices)
        losses = gan.train_step(batches)
        return tf.stack([losses["d_loss"], losses["g_loss"]])

    function = tf.function(step, jit_compile=True)
    inputs = audio, labels, tf.zeros(shape, tf.int32)
    module = function.experimental_get_compiler_ir(*inputs)("hlo_serialized")
    concrete = function.get_concrete_function(*inputs)
    by_handle = {id(v.handle): v for v in variables_of(gan)}
    return module, [by_handle[id(x)] for x in concrete.captured_inputs]


def variables_of(gan: gan_lib.GAN) -> list[tf.Variable]:
    """Returns all variables that a training step may use."""
    owners = [
        gan.generator,
        gan.discriminator,
        gan.ema_generator,
        *gan.spectral_critics,
        gan.generator_optimizer,
        gan.discriminator_optimizer,
    ]
    found = [v.value for owner in owners for v in owner.variables]
    return [gan.step, gan.seed, gan.first_nonfinite_step, *found]


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", choices=["wavegan", "specgan"])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("step", type=pathlib.Path)
    parser.add_argument("--back", action="store_true")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Writes the step of a run, or reads its state back."""
    wanted: model.Model = importlib.import_module(f"train_{args.model}").MODEL
    directory = train_dir.TrainDir(args.run)
    # GPUs get the convolution of the library: `fast_conv` is made for CPUs.
    config = directory.read_config(wanted.config).replace(conv="stock")
    found = dataset.find(config, directory)

    def refuse(path: str, reason: str) -> None:
        sys.exit(f"{path}: {reason}")

    clips = [*dataset.pass_once(found, config, refuse)]
    audio = tf.concat(clips, axis=0)
    labels = np.zeros(len(audio), np.int32)
    if found.labels is not None:
        if not config.data.first_slice:
            sys.exit("clips with labels need --data_first_slice")
        labels = np.array(found.labels, np.int32)
    gan = wanted.build(directory, config)
    wanted.compile(gan, config.train)
    directory.checkpoints.restore(gan)
    module, variables = lower(gan, audio, labels, config.train.batch_size)
    if args.back:
        with np.load(args.step / "state.npz") as state:
            for i, variable in enumerate(variables):
                variable.assign(state[str(i)])
        directory.checkpoints.save(gan, int(gan.step))
        print(f"step {int(gan.step)}: {args.run}")
        return
    optimizers = gan.generator_optimizer, gan.discriminator_optimizer
    rates = [optimizer.learning_rate.value for optimizer in optimizers]
    unchanged = {id(v.handle) for v in [*rates, gan.seed]}
    about = {
        "shape": [gan.critic_steps, config.train.batch_size],
        "changed": [id(v.handle) not in unchanged for v in variables],
        "rates": [any(v.handle is r.handle for r in rates) for v in variables],
    }
    args.step.mkdir(parents=True, exist_ok=True)
    (args.step / "step.hlo.gz").write_bytes(gzip.compress(module))
    (args.step / "about.json").write_text(json.dumps(about))
    np.savez_compressed(args.step / "clips.npz", audio=audio, labels=labels)
    state = {str(i): v.numpy() for i, v in enumerate(variables)}
    np.savez_compressed(args.step / "state.npz", **state)
    print(f"{len(audio)} clips, {len(variables)} variables: {args.step}")


if __name__ == "__main__":
    main(parse_arguments())
