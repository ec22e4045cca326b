"""Lists the names and shapes of the networks' variables, in their order."""

from __future__ import annotations

from typing import Any


def of_model(model: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Names ("layer/variable") and shapes, in the order of get_weights()."""
    names = ["/".join(v.path.split("/")[-2:]) for v in model.weights]
    return list(zip(names, [w.shape for w in model.get_weights()], strict=True))


def of_norm(index: int, width: int) -> list[tuple[str, tuple[int, ...]]]:
    """What a batch norm adds to a layout."""
    kinds = ("gamma", "beta", "moving_mean", "moving_variance")
    return [(f"batchnorm_{index}/{kind}", (width,)) for kind in kinds]
