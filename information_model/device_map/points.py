"""The rows of a device map that become points: one value, or one per cell or probe."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from information_model.device_map.tables import Table, code_table

_MAX_ELEMENTS = 10_000
_POINT = r"^[A-Z][A-Za-z0-9]*(\.[A-Z][A-Za-z0-9]*){1,3}$"

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Raw = Annotated[int, Field(ge=0, lt=1 << 64)]


class MappedPoint(Table):
    """What scalars and matrices have in common."""

    point: Annotated[str, Field(pattern=_POINT, max_length=128)]
    signal: Annotated[str, Field(min_length=1, max_length=256)]
    message: str | None = None
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    sign: Literal[1, -1] = 1
    range: Annotated[tuple[float, float], Field(strict=False)] | None = None
    invalid: Annotated[tuple[Raw, ...], Field(strict=False, max_length=64)] = ()
    codes: Annotated[dict[str, float], Field(max_length=256)] = Field(default_factory=dict)
    period: Seconds
    timeout: Seconds

    @field_validator("codes")
    @classmethod
    def _codes_are_numbers(cls, codes: dict[str, float]) -> dict[str, float]:
        code_table(codes)
        return codes

    @model_validator(mode="after")
    def _consistent(self) -> "MappedPoint":
        if self.timeout < self.period:
            raise ValueError(f"timeout of at least the period {self.period} s | Raise timeout.")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range as [low, high] with low below high | Exchange the two.")
        if self.scale == 0:
            raise ValueError("scale other than 0 | Leave scale out where none is needed.")
        return self

    @property
    def code_table(self) -> dict[int, float]:
        """Raw code -> value; empty when the value is linear."""
        return code_table(self.codes)


class MatrixPoint(MappedPoint):
    """One value per cell or probe."""

    count: Annotated[int, Field(ge=1, le=_MAX_ELEMENTS)]
    first: int = 1

    @field_validator("signal")
    @classmethod
    def _has_a_number(cls, signal: str) -> str:
        try:
            groups = re.compile(signal).groups
        except re.error as error:
            raise ValueError(f"a regular expression ({error}) | Correct the expression.") from error
        if groups != 1:
            raise ValueError(r"exactly one group, the number of the element | Write for example Cell_(\d+).")
        return signal


class ScalarPoint(MappedPoint):
    """One value."""

    @property
    def count(self) -> int:
        """A scalar takes one slot."""
        return 1
