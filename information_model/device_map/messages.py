"""The rows of a device map about whole messages: how one is protected end to end, and what is sent to the device."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from information_model.device_map.tables import Byte, Table, code_table

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

    @model_validator(mode="after")
    def _one_way(self) -> "Counter":
        by_bits = self.start is not None and self.length is not None
        mixed = self.signal is not None and (self.start is not None or self.length is not None)
        if mixed or (self.signal is None and not by_bits):
            raise ValueError("either signal or start and length | Give one of the two, wholly.")
        if self.start is not None and self.length is not None:
            if self.start + self.length > 64:
                raise ValueError("start + length of at most 64 | Shorten the counter.")
            if self.modulo is not None and self.modulo > 1 << self.length:
                raise ValueError(f"modulo of at most {1 << self.length} | Lower modulo.")
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
        if self.liveness and self.counter is None:
            raise ValueError("a counter where liveness is true | Add the counter.")
        return self


class Safe(Table):
    """Signals of a command that replace the requested ones when the request is not to be trusted."""

    zero_current: dict[str, float] = Field(default_factory=dict)
    open: dict[str, float] = Field(default_factory=dict)


class CommandMessage(Table):
    """A message that is sent to the device again and again."""

    message: str
    period: Annotated[float, Field(ge=0.005, le=60)]
    signals: Annotated[dict[str, str | float], Field(min_length=1)]
    codes: dict[str, dict[str, float]] = Field(default_factory=dict)
    modulo: Annotated[int, Field(ge=2, le=1 << 32)] | None = None
    crc: Crc | None = None
    safe: Safe

    @field_validator("signals")
    @classmethod
    def _known_fields(cls, signals: dict[str, str | float]) -> dict[str, str | float]:
        for name, field in signals.items():
            if isinstance(field, str) and field not in REQUEST_FIELDS:
                known = ", ".join(REQUEST_FIELDS)
                raise ValueError(f"a number or one of {known} for {name} | Correct {field!r}.")
        return signals

    @field_validator("codes")
    @classmethod
    def _codes_are_numbers(cls, codes: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for table in codes.values():
            code_table(table)
        return codes

    @model_validator(mode="after")
    def _names_agree(self) -> "CommandMessage":
        named = {*self.codes, *self.safe.zero_current, *self.safe.open}
        if unknown := named - set(self.signals):
            raise ValueError(f"codes and safe to name signals of the command | Add {sorted(unknown)} to signals.")
        if not self.safe.zero_current or not self.safe.open:
            raise ValueError("safe with zero_current and open | Say what is sent when nothing may be requested.")
        return self

    def code_table(self, signal: str) -> dict[int, float]:
        """Request value -> what is sent for it; empty when it is sent as it is."""
        return code_table(self.codes.get(signal, {}))
