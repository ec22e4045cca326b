"""Trains small GANs on one replica, on two devices or as a worker.

  python tests/distributed_worker.py one|two|worker OUT.npz [CASE ...]

Devices are chosen once in a process, so that tests start one for each choice.
A worker finds its place in TF_CONFIG.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from typing import Any

import command_runner
import keras
import numpy as np
import small_gan
import tensorflow as tf

import gan
import losses
from networks import augmentation
from training import distributed

STEPS, BATCH = 10, 16
# Objective, optimizer other than SGD, fields of the networks and of the GAN.
CASES: dict[str, tuple[str, bool, dict[str, Any], dict[str, Any]]] = {
    "wgan-gp": ("wgan-gp", False, {}, {}),
    "adam": ("wgan-gp", True, {}, {}),
    "own shifts": ("wgan-gp", False, {"phaseshuffle_per_example": True}, {}),
    "dropout": ("wgan-gp", False, {"dropout": 0.5}, {}),
    "clipping": ("wgan", False, {}, {"ema_decay": 0.9}),
    "batch norm": ("dcgan", False, {"batchnorm": True}, {}),
    "batch norm's slope": ("wgan-gp", False, {"batchnorm": True}, {}),
    "lazy": ("r3gan", True, {}, {"penalty_interval": 2}),
    "labels": (
        "r3gan",
        False,
        {"num_labels": 3, "slice_len": 256},
        {"augment": augmentation.KINDS, "num_spectral": 1, "ema_decay": 0.9},
    ),
}


def build(case: str) -> gan.GAN:
    """A GAN of a case."""
    name, own, config, fields = CASES[case]
    objective = losses.OBJECTIVES[name]
    if not own:
        objective = dataclasses.replace(
            objective, optimizer=lambda: keras.optimizers.SGD(1e-3)
        )
    return small_gan.build(
        objective, dataclasses.replace(small_gan.SMALL, **config), **fields
    )


def train(strategy: tf.distribute.Strategy, case: str) -> dict[str, np.ndarray]:
    """Trains; returns losses of each step, and all variables in the end."""
    with strategy.scope():
        model = build(case)
    step = tf.function(
        lambda x: strategy.run(model.train_step, (x,)), autograph=False
    )
    share = BATCH // strategy.num_replicas_in_sync
    rows = []
    for i in range(STEPS):
        batches = small_gan.inputs_of(model, i, BATCH)

        def own(
            replica: tf.distribute.distribute_lib.ValueContext,
            batches: Any = batches,
        ) -> Any:
            first = replica.replica_id_in_sync_group * share
            return tf.nest.map_structure(
                lambda x: tf.constant(x[:, first : first + share]), batches
            )

        losses = step(
            strategy.experimental_distribute_values_from_function(own)
        )
        rows.append(
            [
                float(strategy.experimental_local_results(losses[name])[0])
                for name in ("d_loss", "g_loss")
            ]
        )
    found = {f"{case}/losses": np.array(rows)}
    networks = {
        "generator": model.generator,
        "discriminator": model.discriminator,
        "ema_generator": model.ema_generator,
        **{network.name: network for network in model.spectral_critics},
    }
    for name, network in networks.items():
        for weight in network.weights:
            found[f"{case}/{name}/{weight.path}"] = weight.numpy()
    return found


def fit(strategy: tf.distribute.Strategy) -> dict[str, np.ndarray]:
    """Lets Keras train; returns the losses that it reports."""
    with strategy.scope():
        model = build("adam")
    share = BATCH // strategy.num_replicas_in_sync
    shares = [
        batches[:, first : first + share]
        for batches in (small_gan.batches_of(model, i, BATCH) for i in range(3))
        for first in range(0, BATCH, share)
    ]
    history = model.fit(
        strategy.distribute_datasets_from_function(
            lambda _: tf.data.Dataset.from_tensor_slices(np.array(shares))
        ),
        verbose=0,
    )
    losses = [history.history[name] for name in ("d_loss", "g_loss")]
    return {"fit/losses": np.array(losses)}


def start(
    kind: str, out: object, *cases: str, tf_config: str = ""
) -> subprocess.Popen[bytes]:
    """Starts a process of its own."""
    env = {"PYTHONPATH": str(command_runner.ROOT)}
    if tf_config:
        env["TF_CONFIG"] = tf_config
    return subprocess.Popen(
        [sys.executable, __file__, kind, str(out), *cases],
        env={**os.environ, **env},
    )


def main(kind: str, out: str, *cases: str) -> None:
    """Trains all the cases."""
    if kind == "two":
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    else:
        strategy = distributed.join()
    found: dict[str, Any] = {}
    for case in cases or CASES:
        found |= train(strategy, case)
    if not cases:
        found |= fit(strategy)
    np.savez(out, **found)
    distributed.leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
