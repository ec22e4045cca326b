"""Tests settings: types, bounds and error messages."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from system import settings
from system.settings import setting


@dataclasses.dataclass(frozen=True)
class Config:
    """A setting of each type."""

    flag: bool = setting(False, "A switch.")
    count: int = setting(1, "A count.", low=1, high=3)
    size: int = setting(64, "A size.", choices=(64, 128))
    share: float = setting(0.5, "A share in [0, 1).", low=0, below=1)
    rate: float = setting(1.0, "A rate.", low=0)
    kind: str = setting("a", "A kind.", choices=("a", "b"))
    only: str = setting("a", "The only kind.", choices=("a",))
    names: tuple[str, ...] = setting((), "Names.")

    def __post_init__(self) -> None:
        """Checks all settings."""
        settings.check(self)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flag", True),
        ("count", 3),
        ("count", np.int64(2)),
        ("size", 128),
        ("share", 0),
        ("share", np.float32(0.25)),
        ("rate", math.inf),
        ("kind", "b"),
        ("names", ("a", "b")),
    ],
)
def test_valid_values_are_accepted(field: str, value: Any) -> None:
    assert getattr(Config(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("flag", 1, "True or False"),
        ("count", 0, "1 to 3"),
        ("count", 4, "1 to 3"),
        ("count", 2.0, "a whole number"),
        ("count", True, "a whole number"),
        ("count", None, "a whole number"),
        ("size", 65, "one of 64, 128"),
        ("share", 1, "0 to below 1"),
        ("share", -0.1, "0 to below 1"),
        ("share", math.nan, "0 to below 1"),
        ("rate", math.nan, "0 or more"),
        ("rate", "1", "a number"),
        ("rate", True, "a number"),
        ("kind", "c", "one of a, b"),
        ("kind", {}, "text"),
        ("only", "b", "a"),
        ("names", ["a"], "a list"),
    ],
)
def test_an_error_holds_field_value_and_valid_values(
    field: str, value: Any, expected: str
) -> None:
    with pytest.raises(ValueError) as caught:
        Config(**{field: value})
    error = caught.value
    assert isinstance(error, settings.SettingError)
    assert (error.field, error.expected) == (field, expected)
    assert error.value is value
    assert str(error) == f"{field} is {value!r}: expected {expected}"
