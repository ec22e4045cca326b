"""Declares the fields of a dataclass as settings: help, flag and valid values.

A field is declared by `setting`; `__post_init__` calls `check`. Flags, `--help`
and docs/flags.md are made from the declarations.
"""

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Any

# What values of a type are instances of, and how an error describes them.
_TYPES: dict[type, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
    tuple: (tuple, "a list"),
}


class SettingError(ValueError):
    """A setting has a value that it must not have.

    Attributes:
      field: Name of the setting.
      value: Its value.
      expected: Description of the valid values.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field} is {value!r}: expected {expected}")
        self.field = field
        self.value = value
        self.expected = expected


@dataclasses.dataclass(frozen=True)
class Switch:
    """A second flag that turns a number on, which is 0 otherwise.

    Attributes:
      flag: Name of that flag.
      help: Its description.
      on: Default of the number if it is turned on.
    """

    flag: str
    help: str
    on: int


@dataclasses.dataclass(frozen=True)
class Setting:
    """Description of a setting.

    Attributes:
      help: What it means, in sentences.
      flag: Name of its flag, in which * stands for the name of the model; "":
        it has none.
      switch: Flag that turns it on.
      resumable: Whether it may change when a run continues, since it does not
        change what is learned.
      low: Smallest valid number.
      high: Largest valid number.
      below: Number that the value must stay below.
      choices: Valid values; empty: all within the bounds.
    """

    help: str = ""
    flag: str = ""
    switch: Switch | None = None
    resumable: bool = False
    low: float = -math.inf
    high: float = math.inf
    below: float | None = None
    choices: Sequence[Any] = ()

    @property
    def expected(self) -> str:
        """Describes the valid values."""
        if self.choices:
            names = ", ".join(str(c) or "''" for c in self.choices)
            return names if len(self.choices) == 1 else f"one of {names}"
        if math.isfinite(self.high):
            return f"{self.low} to {self.high}"
        if self.below is not None:
            return f"{self.low} to below {self.below}"
        return f"{self.low} or more"

    def check(self, field: str, value: Any) -> None:
        """Checks a value.

        Raises:
          SettingError: It is not valid.
        """
        if self.choices:
            valid = value in self.choices
        elif (self.low, self.high, self.below) == (-math.inf, math.inf, None):
            valid = True
        else:  # NaN is within no bounds
            valid = self.low <= value <= self.high
            valid &= self.below is None or value < self.below
        if not valid:
            raise SettingError(field, value, self.expected)


def setting(default: Any, help: str, **description: Any) -> Any:  # noqa: A002
    """Declares a field of a dataclass as a setting.

    Args:
      default: Its default.
      help: What it means, in sentences.
      **description: Other attributes of `Setting`.
    """
    described = Setting(help, **description)
    return dataclasses.field(default=default, metadata={"setting": described})


def of(field: dataclasses.Field) -> Setting:
    """Returns the description of a field that `setting` declared."""
    return field.metadata["setting"]


def check(config: Any) -> None:
    """Checks the type and the value of every setting of a dataclass.

    Raises:
      SettingError: One is not valid.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        kind, described = _TYPES[type(field.default)]
        is_bool = isinstance(value, bool)
        if not isinstance(value, kind) or is_bool != (kind is bool):
            raise SettingError(field.name, value, described)
        of(field).check(field.name, value)


def check_value(field: str, value: Any, **bounds: Any) -> None:
    """Checks a value that is not a field of a dataclass.

    Args:
      field: Name for the error.
      value: The value.
      **bounds: Attributes of `Setting`.

    Raises:
      SettingError: It is not valid.
    """
    Setting(**bounds).check(field, value)
