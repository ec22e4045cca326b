"""Reads checkpoints of the original code, in TensorFlow 1, and what fits them.

Their variables are named by scope, layer and kind: `G/z_project/dense/kernel`,
`G/upconv_0/batch_normalization/gamma`. Behind each that is trained come what
its optimizer remembers: `.../Adam` and `.../Adam_1`, or `.../RMSProp`.

Source: https://github.com/chrisdonahue/wavegan, version 2.
"""

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import gan as gan_lib
import losses

Fits = dict[str, tuple[Any, ...]]  # values by field of the config

# What the generator's layers are called, and the upsampling that this tells of.
UPSAMPLINGS: dict[str, tuple[str, ...]] = {
    "conv2d_transpose": ("zeros",),
    "conv1d": ("nn",),
    "conv2d": ("nn", "linear", "cubic"),
}
SLICE_LENS = {5: (16384,), 6: (32768, 65536)}  # by the generator's layers
FIRST_SIZE = 16  # positions of the generator's first map
# By the optimizer that a slot's name tells of.
LOSSES = {"Adam": ("wgan-gp", "dcgan"), "RMSProp": ("wgan", "lsgan")}
# Slots of ours, and how theirs are called. RMSProp_1 is a momentum that their
# settings leave unused.
SLOTS = {
    "Adam": {"momentum": "Adam", "velocity": "Adam_1"},
    "RMSProp": {"velocity": "RMSProp"},
}
_SLOT = re.compile(r"(.*)/(Adam|RMSProp)(_1)?")
_KINDS: dict[type, str] = {
    keras.layers.Dense: "dense",
    keras.layers.Conv1DTranspose: "conv2d_transpose",
    keras.layers.Conv2DTranspose: "conv2d_transpose",
    keras.layers.Conv1D: "conv1d",
    keras.layers.Conv2D: "conv2d",
    keras.layers.DepthwiseConv1D: "conv1d",
    keras.layers.BatchNormalization: "batch_normalization",
}
# Below, powers of Adam's decay are on their way to 0, and correct nothing.
MIN_POWER = 1e-30
MAX_STEP = 2**40


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Variables on disk, each read when it is asked for.

    Attributes:
      path: Without its endings.
      shapes: Of all variables, by name.
      reader: TensorFlow's.
    """

    path: str
    shapes: dict[str, list[int]]
    reader: Any

    def take(self, name: str, shape: list[int]) -> np.ndarray:
        """Reads a variable, which must be of a shape.

        Raises:
          ValueError: It is missing, of another shape or type, damaged, or not
            finite.
        """
        self.check(name, shape)
        try:
            value = np.asarray(self.reader.get_tensor(name))
        except Exception as error:  # TensorFlow has many words for damage
            raise ValueError(_damage(self.path, error)) from None
        if value.dtype.kind not in "fi":
            raise ValueError(
                f"{self.path}: {name} is {value.dtype}: expected numbers"
            )
        if not np.all(np.isfinite(value)):
            raise ValueError(
                f"{self.path}: {name} is not finite: take an older checkpoint"
            )
        return value

    def check(self, name: str, shape: list[int]) -> None:
        """Raises a ValueError unless there is a variable of that shape."""
        if name not in self.shapes:
            raise ValueError(
                f"{self.path} has no {name}: expected a checkpoint of the "
                "authors' code, version 2, whole"
            )
        if self.shapes[name] != shape:
            raise ValueError(
                f"{self.path}: {name} is of shape {self.shapes[name]}: "
                f"expected {shape}, as its other variables have it"
            )

    def number(self, name: str, otherwise: float) -> float:
        """Reads a single number, if it is there."""
        if name not in self.shapes:
            return otherwise
        return self.take(name, []).item()

    @property
    def optimizer(self) -> str | None:
        """A key of `SLOTS`, by what the slots are called; None without any."""
        found = {m[2] for m in map(_SLOT.fullmatch, self.shapes) if m}
        if len(found) > 1:
            raise ValueError(
                f"{self.path} has slots of {' and '.join(sorted(found))}: "
                "expected those of one optimizer"
            )
        return next(iter(found), None)

    @property
    def step(self) -> int:
        """Generator updates so far; 0 if it does not say."""
        step = int(self.number("global_step", 0))
        if not 0 <= step < MAX_STEP:
            raise ValueError(f"{self.path}: global_step is {step}: expected 0+")
        return step


def read(path: str) -> Checkpoint:
    """Finds what a checkpoint holds.

    Args:
      path: `.../model.ckpt-STEP`, of one of its files, or of the folder.

    Raises:
      FileNotFoundError: There is none.
      ValueError: It is damaged, or no checkpoint.
    """
    path = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path)
    if tf.io.gfile.isdir(path):
        path = tf.train.latest_checkpoint(path) or path
    if not tf.io.gfile.exists(f"{path}.index"):
        raise FileNotFoundError(
            f"{path}.index is missing: name a checkpoint, PATH/model.ckpt-STEP"
        )
    try:
        reader = tf.train.load_checkpoint(path)
        shapes = reader.get_variable_to_shape_map()
    except Exception as error:  # as above
        raise ValueError(_damage(path, error)) from None
    return Checkpoint(path, shapes, reader)


def _damage(path: str, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{path} cannot be read ({reason}): fetch it again"


def model_of(checkpoint: Checkpoint) -> str:
    """Returns the model of a checkpoint: wavegan or specgan.

    Raises:
      ValueError: Nobody's.
    """
    kind, kernels = _upconvs(checkpoint)
    flat = kind == "conv1d" or (kind != "conv2d" and kernels[0][0] == 1)
    return "wavegan" if flat else "specgan"


def settings(checkpoint: Checkpoint) -> Fits:
    """Works out a config from names and shapes.

    Returns:
      The values that fit, for each setting that the checkpoint determines.
      Some of the settings belong to one model only.

    Raises:
      ValueError: These are no networks of the authors' code.
    """
    kind, kernels = _upconvs(checkpoint)
    order = slice(None, None, -1 if kind == "conv2d_transpose" else 1)
    width = kernels[0][-2:][order][0]
    dim = width >> len(kernels) - 1
    first = "G/z_project/dense/kernel"
    latent_dim = checkpoint.shapes.get(first, [0])[0]
    checkpoint.check(first, [latent_dim, FIRST_SIZE * width])
    post_filter = checkpoint.shapes.get("G/pp_filt/conv1d/kernel", [0])
    fits: Fits = {
        "slice_len": SLICE_LENS[len(kernels)],
        "channels": (kernels[-1][-2:][order][1],),
        "latent_dim": (latent_dim,),
        "kernel_len": (kernels[0][-3],),
        "dim": (dim,),
        "batchnorm": (
            any("/batch_normalization/" in name for name in checkpoint.shapes),
        ),
        "upsample": UPSAMPLINGS[kind],
        "post_filter_len": (post_filter[0],),
    }
    if checkpoint.optimizer:
        fits["loss"] = _losses(checkpoint, checkpoint.optimizer)
    return fits


def _upconvs(checkpoint: Checkpoint) -> tuple[str, list[list[int]]]:
    """Returns the kind of the generator's layers, and their kernels' shapes."""
    pattern = re.compile(rf"G/upconv_(\d+)/({'|'.join(UPSAMPLINGS)})/kernel")
    found = [m for m in map(pattern.fullmatch, checkpoint.shapes) if m]
    layers = {int(m[1]): m[0] for m in found}
    kinds = {m[2] for m in found}
    whole = sorted(layers) == list(range(len(found)))
    if not whole or len(layers) not in SLICE_LENS or len(kinds) > 1:
        names = ", ".join(sorted(m[0] for m in found))
        raise ValueError(
            f"{checkpoint.path} has {names or 'no G/upconv_0'}: expected 5 or "
            "6 layers of one kind, as of the authors' code, version 2"
        )
    kind = kinds.pop()
    shapes = [checkpoint.shapes[layers[i]] for i in range(len(layers))]
    rank = 3 if kind == "conv1d" else 4
    for i, shape in enumerate(shapes):
        if len(shape) != rank or 0 in shape:
            raise ValueError(
                f"{checkpoint.path}: {layers[i]} is of shape {shape}: "
                f"expected {rank} axes"
            )
    return kind, shapes


def _losses(checkpoint: Checkpoint, optimizer: str) -> tuple[str, ...]:
    """Losses of the authors' code that leave such traces."""
    power = checkpoint.number("beta2_power", 0)

    def fits(loss: str) -> bool:
        decay = getattr(losses.find(loss).optimizer(), "beta_2", None)
        if decay is None or power < MIN_POWER:
            return True
        # It starts at the decay itself.
        wanted = decay ** (checkpoint.step + 1)
        return math.isclose(power, wanted, rel_tol=0.01)

    found = tuple(filter(fits, LOSSES[optimizer]))
    if not found:
        raise ValueError(
            f"{checkpoint.path}: beta2_power is {power:g} at step "
            f"{checkpoint.step}: expected that of "
            + " or ".join(LOSSES[optimizer])
        )
    return found


def restore(gan: gan_lib.GAN, checkpoint: Checkpoint) -> list[str]:
    """Gives a GAN what a checkpoint holds, as if it had been trained here.

    Args:
      gan: Compiled, of a config that fits.
      checkpoint: Of its model.

    Returns:
      What the checkpoint does not hold, so that it stays as it was.

    Raises:
      ValueError: Variables are missing or odd, or there are others.
    """
    step = checkpoint.step
    missing = [] if "global_step" in checkpoint.shapes else ["step"]
    gan.step.assign(step)
    for scope, power, network, optimizer, updates in (
        ("G", "beta2_power", gan.generator, gan.generator_optimizer, step),
        (
            "D",
            "beta2_power_1",
            gan.discriminator,
            gan.discriminator_optimizer,
            step * gan.critic_steps,
        ),
    ):
        held = {n for n in checkpoint.shapes if n.startswith(f"{scope}/")}
        if not held:
            missing += ["discriminator", "its optimizer"]
            continue
        _restore_network(network, scope, checkpoint, held)
        if not any(map(_SLOT.fullmatch, held)):
            missing.append(f"{network.name}'s optimizer")
            continue
        _restore_slots(optimizer, network, scope, checkpoint)
        optimizer.iterations.assign(
            _count(optimizer, checkpoint.number(power, 0), updates)
        )
    if gan.ema_decay:
        gan.ema_generator.set_weights(gan.generator.get_weights())
    return missing


def name_variables(
    network: keras.Model, scope: str
) -> Iterator[tuple[str, Any]]:
    """Names of the authors' code, and the variables that are theirs here.

    Args:
      network: Generator or discriminator.
      scope: G or D.
    """
    place = ""
    for layer in network.layers:
        if not layer.weights:
            continue
        kind = next(k for t, k in _KINDS.items() if isinstance(layer, t))
        if kind != "batch_normalization":  # which stays where it is
            place = layer.name
        for variable in layer.weights:
            yield f"{scope}/{place}/{kind}/{variable.name}", variable


def _restore_network(
    network: keras.Model, scope: str, checkpoint: Checkpoint, held: set[str]
) -> None:
    """Gives a network its weights; nothing else may be in the scope."""
    variables = dict(name_variables(network, scope))
    for name, variable in variables.items():
        variable.assign(_take(checkpoint, name, name, variable))
    slots = {n: m[1] for n in held if (m := _SLOT.fullmatch(n))}
    odd = sorted(n for n in held if slots.get(n, n) not in variables)
    if odd:
        raise ValueError(
            f"{checkpoint.path} has {odd[0]}: expected no such variable in "
            "networks of the authors' code, version 2"
        )


def _restore_slots(
    optimizer: keras.optimizers.Optimizer,
    network: keras.Model,
    scope: str,
    checkpoint: Checkpoint,
) -> None:
    """Gives an optimizer what it remembers of each variable."""
    names = {id(v): name for name, v in name_variables(network, scope)}
    for ours, theirs in SLOTS[checkpoint.optimizer or ""].items():
        slots = [v for v in optimizer.variables if v.path.endswith(f"_{ours}")]
        for variable, slot in zip(
            network.trainable_variables, slots, strict=True
        ):
            name = names[id(variable)]
            slot.assign(_take(checkpoint, f"{name}/{theirs}", name, slot))


def _take(
    checkpoint: Checkpoint, name: str, owner: str, variable: Any
) -> np.ndarray:
    """Reads a variable, or a slot of its owner, in the shape of one of ours."""
    shape = list(variable.shape)
    # Theirs convolve lines as pictures of one row.
    rows = [1] if len(shape) == 3 and "conv2d_transpose/" in owner else []
    return checkpoint.take(name, rows + shape).reshape(shape)


def _count(
    optimizer: keras.optimizers.Optimizer, power: float, otherwise: int
) -> int:
    """Returns an optimizer's updates, exactly where that makes a difference.

    Args:
      optimizer: Of ours.
      power: Of Adam's second decay; 0: unknown.
      otherwise: The answer if the power is unknown, or too small to count.
    """
    decay = getattr(optimizer, "beta_2", None)
    if decay is None or not MIN_POWER < power < 1:
        return otherwise
    return max(0, round(math.log(power) / math.log(decay)) - 1)
