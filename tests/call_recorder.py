"""Records every call that a training step makes of its two networks."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import reference

from networks import critics


@dataclasses.dataclass
class Call:
    """One call of a network, in the order of the run.

    Attributes:
        inputs: z, or examples `[batch, slice_len, channels]`.
        outputs: Examples, or scores `[batch]`.
        weights: `get_weights()` of the network at that moment.
    """

    inputs: npt.NDArray[np.float32]
    outputs: npt.NDArray[np.float32]
    weights: list[npt.NDArray[np.float32]]

    def flat_weights(self) -> npt.NDArray[np.float32]:
        """All weights in one vector."""
        return np.concatenate([weight.ravel() for weight in self.weights])

    def shifts(self, config: Any) -> tuple[int, ...]:
        """The phase shifts that this call of a discriminator has drawn.

        Found by trying all: the shifts whose twin has the scores.
        """
        radius = config.phaseshuffle
        layers = len(reference.strides(config.slice_len)) - 1
        x = self.inputs.astype(np.float64)
        errors = {
            shifts: np.abs(
                reference.discriminator(self.weights, config, x, shifts)
                - self.outputs
            ).max()
            for shifts in itertools.product(
                range(-radius, radius + 1), repeat=layers
            )
        }
        best = min(errors, key=lambda shifts: errors[shifts])
        error = errors.pop(best)
        assert error < 1e-5 * np.abs(self.outputs).max(), "no shifts fit"
        assert min(errors.values()) > 10 * error, "several shifts fit"
        return best


class Recording:
    """Records the calls of a GAN's networks; needs eager execution.

    A pass over several batches at once (real and fake, or the fakes of all
    updates of a step) is as many calls.

    Attributes:
        generator: Calls of the generator.
        discriminator: Calls of the discriminator.
    """

    def __init__(self, model: Any) -> None:
        """Starts to record the networks of a `gan.GAN`."""
        self.generator: list[Call] = []
        self.discriminator: list[Call] = []
        # The first call makes the fakes of all updates of the discriminator,
        # unless batch norm couples them.
        couples = critics.has_batch_norm(model.generator)
        self._batches_at_first = 1 if couples else model.critic_steps
        self._record(model.generator, self.generator)
        self._record(model.discriminator, self.discriminator)

    def _record(self, network: Any, calls: list[Call]) -> None:
        original = network.call

        @functools.wraps(original)
        def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            weights = network.get_weights()
            outputs = original(inputs, *args, **kwargs)
            parts = self._batches_at_first
            if self.generator:
                parts = len(inputs) // len(self.generator[-1].inputs)
            for x, y in zip(
                np.split(inputs.numpy(), parts),
                np.split(outputs.numpy(), parts),
                strict=True,
            ):
                calls.append(Call(x, y, weights))
            return outputs

        network.call = call
