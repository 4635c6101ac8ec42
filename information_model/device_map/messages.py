"""The rows of a device map about whole messages: how one is protected end to end, and what is sent to the device."""

import math
from typing import Annotated

from pydantic import Field, PlainValidator, ValidationInfo, field_validator, model_validator

from information_model.device_map.tables import Byte, Table, code_table
from information_model.validation import closest

REQUEST_FIELDS = ("desired", "charge_limit_a", "discharge_limit_a", "alive", "reset_counter")
"""What a signal of a command may carry."""


class Crc(Table):
    """CRC-8 of a message. Parameters as in the catalogue of parametrised CRC algorithms."""

    poly: Annotated[int, Field(ge=1, le=255)]
    init: Byte = 0
    reflected: bool = False
    xorout: Byte = 0
    byte: Annotated[int, Field(ge=0, le=7)]
    over: Annotated[int, Field(ge=1, le=8)]
    zeros: Annotated[int, Field(ge=0, le=64)] = 0
    data_id: Byte | None = None

    @property
    def covered(self) -> tuple[int, ...]:
        """Numbers of the bytes that are covered; the byte that carries the CRC is never among them."""
        return tuple(number for number in range(self.over) if number != self.byte)


class Counter(Table):
    """Alive counter inside a message: by signal name, or by start bit and length (little-endian)."""

    signal: str | None = None
    start: Annotated[int, Field(ge=0, le=63)] | None = None
    length: Annotated[int, Field(ge=1, le=32)] | None = None
    modulo: Annotated[int, Field(ge=2, le=1 << 32)] | None = None

    @field_validator("length")
    @classmethod
    def _within_eight_bytes(cls, length: int | None, info: ValidationInfo) -> int | None:
        start = info.data.get("start")
        if length is not None and start is not None and start + length > 64:
            raise ValueError(f"a length of at most {64 - start} after start {start} | Shorten the counter.")
        return length

    @field_validator("modulo")
    @classmethod
    def _within_its_bits(cls, modulo: int | None, info: ValidationInfo) -> int | None:
        length = info.data.get("length")
        if modulo is not None and length is not None and modulo > 1 << length:
            raise ValueError(f"modulo of at most {1 << length} | Lower modulo.")
        return modulo

    @model_validator(mode="after")
    def _one_way(self) -> "Counter":
        by_bits = self.start is not None and self.length is not None
        mixed = self.signal is not None and (self.start is not None or self.length is not None)
        if mixed or (self.signal is None and not by_bits):
            raise ValueError("either signal or start and length | Give one of the two, wholly.")
        return self


class Check(Table):
    """End-to-end protection of one message."""

    message: str
    crc: Crc | None = None
    counter: Counter | None = None
    liveness: bool = False

    @model_validator(mode="after")
    def _checks_something(self) -> "Check":
        if self.crc is None and self.counter is None:
            raise ValueError("crc, counter or both | Add what protects the message, or remove the check.")
        return self


class Safe(Table):
    """Signals of a command that replace the requested ones when the request is not to be trusted."""

    zero_current: Annotated[dict[str, float], Field(min_length=1)]
    open: Annotated[dict[str, float], Field(min_length=1)]


def _carried(value: object) -> str | float:
    # A union of types would be told as one mistake per type.
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if isinstance(value, str) and value in REQUEST_FIELDS:
        return value
    known = ", ".join(REQUEST_FIELDS)
    raise ValueError(f"a number or one of {known} | {closest(str(value), REQUEST_FIELDS, 'Correct the field.')}")


class CommandMessage(Table):
    """A message that is sent to the device again and again."""

    message: str
    period: Annotated[float, Field(ge=0.005, le=60)]
    signals: Annotated[dict[str, Annotated[str | float, PlainValidator(_carried)]], Field(min_length=1)]
    codes: dict[str, dict[str, float]] = Field(default_factory=dict)
    modulo: Annotated[int, Field(ge=2, le=1 << 32)] | None = None
    crc: Crc | None = None
    safe: Safe

    @field_validator("codes")
    @classmethod
    def _codes_are_numbers(cls, codes: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for table in codes.values():
            code_table(table)
        return codes

    def code_table(self, signal: str) -> dict[int, float]:
        """Request value -> what is sent for it; empty when it is sent as it is."""
        return code_table(self.codes.get(signal, {}))
