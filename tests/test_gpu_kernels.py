"""Tests, without a GPU, that training steps can run on one.

TensorFlow's wheel for Linux holds the registrations of GPU kernels, also on a
machine without a GPU: for each operation, its types and the arguments that it
expects in the host's memory. That XLA lowers a step is tested for the CPU; its
lowering from TensorFlow's operations to HLO is the same for a GPU.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

import gan
import losses
import specgan
import wavegan
from networks import (
    augmentation,
    fast_conv,
    precision,
    spectral_critic,
    spectrogram,
)

pytestmark = pytest.mark.slow

BATCH, SLICE_LEN = 2, 256
# They call functions, whose operations are tested, on any device.
FUNCTION_CALLS = {
    *("PartitionedCall", "StatefulPartitionedCall"),
    *("If", "StatelessIf", "Case", "StatelessCase"),
    *("While", "StatelessWhile", "SymbolicGradient"),
}
# Arguments of a graph: nothing is computed.
ARGUMENTS = {"Placeholder", "_Arg", "_Retval"}
# They run Python or work on text: never on a GPU, and never lowered by XLA.
HOST_ONLY = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "Assert", "Print"}
# A kernel of the type DEFAULT works on any device, without looking at the data.
ON_GPU = {"GPU", "DEFAULT"}
OPTIONS: dict[str, Any] = {
    "phaseshuffle_per_example": True,
    "dropout": 0.5,
    "num_labels": 3,
}


def build(model: str, objective: str, bits: str, options: bool) -> gan.GAN:
    """A tiny compiled GAN, whose steps make one update of each network."""
    keras.utils.set_random_seed(0)
    fields: dict[str, Any] = {"latent_dim": 4, "critic_steps": 1}
    extra = OPTIONS if options else {}
    if options:
        fields |= {
            "ema_decay": 0.9,
            "penalty_interval": 2,
            "augment": augmentation.KINDS,
        }
    with precision.of_layers(bits):
        if model == "wavegan":
            config = wavegan.WaveGANConfig(
                slice_len=SLICE_LEN,
                latent_dim=4,
                dim=4,
                **extra,
            )
            networks = (
                wavegan.build_generator(config),
                wavegan.build_discriminator(config),
            )
            spectral = spectral_critic.build_beside(
                networks[1], int(options), dim=1
            )
            result = gan.GAN(*networks, spectral_critics=spectral, **fields)
        else:
            shape = specgan.SpecGANConfig(latent_dim=4, dim=4)
            zeros = np.zeros(spectrogram.NUM_BINS, np.float32)
            result = specgan.SpecGAN(
                specgan.build_generator(shape),
                specgan.build_discriminator(shape),
                moments=spectrogram.Moments(zeros - 3, zeros + 2),
                **fields,
            )
    result.compile(objective)
    return result


def inputs_of(model: gan.GAN) -> Any:
    """Descriptions of what a step takes."""
    length = 16384 if isinstance(model, specgan.SpecGAN) else SLICE_LEN
    audio = tf.zeros([1, BATCH, length, 1])
    if not model.num_labels:
        return audio
    return audio, tf.zeros([1, BATCH], tf.int32)


def nodes_of(graph: tf.Graph) -> Iterator[Any]:
    """All operations of a graph and of the functions that it calls."""
    definition = graph.as_graph_def()
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def types_of(node: Any) -> dict[str, set[int]]:
    """The types that an operation's attributes name."""
    return {
        name: {value.type} if value.type else set(value.list.type)
        for name, value in node.attr.items()
        if value.type or value.list.type
    }


@functools.cache
def kernels_of(name: str) -> list[Any]:
    """The kernels of an operation that run on a GPU."""
    found = kernels.get_registered_kernels_for_op(name).kernel
    return [kernel for kernel in found if kernel.device_type in ON_GPU]


def find_kernel(node: Any) -> Any | None:
    """The kernel that runs an operation on a GPU, or None."""
    types = types_of(node)
    for kernel in kernels_of(node.op):
        if all(
            types.get(limit.name, set()) <= set(limit.allowed_values.list.type)
            for limit in kernel.constraint
        ):
            return kernel
    return None


def fault_of(node: Any) -> str:
    """Describes why an operation cannot run on a GPU; empty if it can."""
    if node.op in HOST_ONLY or "CPU" in node.device:
        return f"{node.op} runs on the host ({node.device})"
    if tf.string.as_datatype_enum in set().union(*types_of(node).values()):
        return f"{node.op} works on text"
    if node.op in FUNCTION_CALLS | ARGUMENTS:
        return ""
    kernel = find_kernel(node)
    if kernel is None:
        return f"{node.op} {types_of(node)} has no kernel for a GPU"
    for output in op_def_registry.get(node.op).output_arg:
        types = types_of(node).get(output.type_attr, {output.type})
        floats = any(t and tf.as_dtype(t).is_floating for t in types)
        if floats and output.name in kernel.host_memory_arg:
            return f"{node.op} puts numbers into the host's memory"
    return ""


def test_the_wheel_registers_kernels_for_gpus() -> None:
    assert kernels_of("MatMul") and kernels_of("Conv2D"), (
        "this build of TensorFlow has no GPU kernels: this file tests nothing"
    )
    assert not kernels_of("DecodeWav")


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (lambda x: tf.numpy_function(np.sin, [x], tf.float32), "on the host"),
        (lambda x: tf.strings.as_string(x), "works on text"),
        (lambda x: tf.nn.fractional_max_pool(x, [1, 2, 2, 1])[0], "no kernel"),
        (
            lambda x: tf.raw_ops.LinSpace(start=x[0, 0, 0, 0], stop=1.0, num=3),
            "host's memory",
        ),
    ],
)
def test_operations_that_stay_on_the_host_are_found(
    function: Any, fault: str
) -> None:
    graph = tf.function(function).get_concrete_function(tf.zeros([1, 4, 4, 4]))
    nodes = nodes_of(graph.graph)
    assert any(fault in found for found in map(fault_of, nodes))


@pytest.mark.parametrize(
    ("objective", "model", "bits"),
    [
        *itertools.product(losses.OBJECTIVES, ["wavegan", "specgan"], ["fp32"]),
        *itertools.product(["wgan-gp"], ["wavegan", "specgan"], ["bf16"]),
        *itertools.product(["options"], ["wavegan"], ["fp32", "bf16"]),
    ],
)
def test_every_operation_of_a_step_runs_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, objective: str, model: str, bits: str
) -> None:
    options = objective == "options"
    # Networks this small would not use spectra.
    monkeypatch.setattr(fast_conv, "MIN_CHANNELS", 8)
    monkeypatch.setattr(fast_conv, "MIN_ROWS", 1)
    built = build(model, "r3gan" if options else objective, bits, options)
    step = tf.function(built.train_step, jit_compile=True, autograph=False)
    inputs = inputs_of(built)
    nodes = list(nodes_of(step.get_concrete_function(inputs).graph))
    assert len(nodes) > 500
    faults = {fault_of(node) for node in nodes} - {""}
    assert not faults
    if bits == "fp32":
        text = step.experimental_get_compiler_ir(inputs)(stage="hlo")
        assert text.startswith("HloModule")
        assert 'custom_call_target="xla_python' not in text
