"""The rows of a device map that become points: one value, or one per cell or probe.

Each contradiction between two keys is judged at the later one, so that it is told with that key and beside all others.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from information_model.device_map.tables import Table, code_table

_MAX_ELEMENTS = 10_000
_POINT = r"^[A-Z][A-Za-z0-9]*(\.[A-Z][A-Za-z0-9]*){1,3}$"


def _ascending(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] >= span[1]:
        raise ValueError("[low, high] with low below high | Exchange the two.")
    return span


def _not_zero(scale: float) -> float:
    if scale == 0:
        raise ValueError("a scale other than 0 | Leave scale out where none is needed.")
    return scale


Seconds = Annotated[float, Field(gt=0, le=86_400)]
Raw = Annotated[int, Field(ge=0, lt=1 << 64)]
Span = Annotated[tuple[float, float], Field(strict=False), AfterValidator(_ascending)]


class MappedPoint(Table):
    """What scalars and matrices have in common."""

    point: Annotated[str, Field(pattern=_POINT, max_length=128)]
    signal: Annotated[str, Field(min_length=1, max_length=256)]
    message: str | None = None
    unit: str = ""
    scale: Annotated[float, AfterValidator(_not_zero)] = 1.0
    offset: float = 0.0
    sign: Literal[1, -1] = 1
    range: Span | None = None
    invalid: Annotated[tuple[Raw, ...], Field(strict=False, max_length=64)] = ()
    codes: Annotated[dict[str, float], Field(max_length=256)] = Field(default_factory=dict)
    period: Seconds
    timeout: Seconds

    @field_validator("codes")
    @classmethod
    def _codes_are_numbers(cls, codes: dict[str, float]) -> dict[str, float]:
        code_table(codes)
        return codes

    @field_validator("timeout")
    @classmethod
    def _not_before_the_next(cls, timeout: float, info: ValidationInfo) -> float:
        period = info.data.get("period")
        if period is not None and timeout < period:
            raise ValueError(f"a timeout of at least the period, {period:g} s | Raise timeout.")
        return timeout

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
