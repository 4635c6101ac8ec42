"""Device map and CAN database bound to each other: which signal of which message fills which slot."""

import re
from dataclasses import dataclass, field

import cantools.database
from cantools.database import Database
from cantools.database.can import Message, Signal

from adapters.errors import AdapterConfigurationError, Problem
from information_model.device_map import Check, CommandMessage, Crc, DeviceMap, MappedPoint, MatrixPoint, ScalarPoint

_LISTED = 8


@dataclass(frozen=True)
class BoundSignal:
    """One signal that fills one slot (number within the source)."""

    signal: Signal
    slot: int
    point: MappedPoint


@dataclass(frozen=True)
class CounterField:
    """Where a counter stands, as bits of the first eight bytes."""

    start: int
    length: int
    big_endian: bool
    modulo: int


@dataclass
class BoundMessage:
    """One message that is wanted, for its signals or for its check."""

    message: Message
    signals: list[BoundSignal] = field(default_factory=list)
    check: Check | None = None
    counter: CounterField | None = None


@dataclass(frozen=True)
class BoundMap:
    """A map and what its database says to it."""

    map: DeviceMap
    messages: tuple[BoundMessage, ...]
    commands: tuple[tuple[CommandMessage, Message], ...]


def first_network_bit(signal: Signal) -> int:
    """Number of the most significant bit of a big-endian signal, counted from the first bit on the wire."""
    return signal.start // 8 * 8 + 7 - signal.start % 8


def last_bit(signal: Signal) -> int:
    """Bits of payload that a signal needs, from the start of the frame."""
    if signal.byte_order == "big_endian":
        return first_network_bit(signal) + signal.length
    return signal.start + signal.length


def bind(device_map: DeviceMap) -> BoundMap:
    """The map with the signals of its DBC.

    Raises AdapterConfigurationError with every name, size or check that does not fit.
    """
    where = f"device map {device_map.name}"
    database = _load(device_map, where)
    binding = _Binding(device_map, database)
    binding.bind_points()
    binding.bind_checks()
    commands = binding.bind_commands()
    if binding.problems:
        raise AdapterConfigurationError(where, binding.problems)
    return BoundMap(device_map, tuple(binding.messages.values()), commands)


def _load(device_map: DeviceMap, where: str) -> Database:
    path = device_map.dbc_path
    try:
        database = cantools.database.load_file(path, database_format="dbc", strict=False)
    except OSError as error:
        row = Problem("dbc", str(path), f"a readable file ({error.strerror})", "Put the DBC beside the map.")
        raise AdapterConfigurationError(where, [row]) from error
    except Exception as error:  # cantools and its parsers raise many kinds on a damaged file
        row = Problem("dbc", str(path), f"a CAN database ({error})", "Correct the DBC at the place named.")
        raise AdapterConfigurationError(where, [row]) from error
    if not isinstance(database, Database):
        row = Problem("dbc", str(path), "a CAN database", "Diagnostic databases are not supported.")
        raise AdapterConfigurationError(where, [row])
    return database


class _Binding:
    """Work sheet of `bind`: collects messages and problems."""

    def __init__(self, device_map: DeviceMap, database: Database) -> None:
        self.map = device_map
        self.by_name = {message.name: message for message in database.messages}
        self.messages: dict[str, BoundMessage] = {}
        self.problems: list[Problem] = []

    def _wrong(self, key: str, given: object, expected: str, remedy: str) -> None:
        self.problems.append(Problem(key, repr(given), expected, remedy))

    def _message(self, key: str, name: str) -> Message | None:
        message = self.by_name.get(name)
        if message is None:
            known = ", ".join(sorted(self.by_name)[:_LISTED])
            self._wrong(key, name, f"a message of {self.map.dbc}, for example {known}", "Correct the name.")
        return message

    def _bound(self, message: Message) -> BoundMessage:
        return self.messages.setdefault(message.name, BoundMessage(message))

    def bind_points(self) -> None:
        """Finds the signals of every point."""
        for row, place in zip(self.map.points, self.map.slots(), strict=True):
            if isinstance(row, MatrixPoint):
                self._bind_matrix(row, place.first)
            else:
                self._bind_scalar(row, place.first)

    def _candidates(self, key: str, point: MappedPoint) -> list[tuple[Message, Signal]]:
        messages = list(self.by_name.values())
        if point.message is not None:
            named = self._message(f"{key}.message", point.message)
            messages = [named] if named is not None else []
        return [(message, signal) for message in messages for signal in message.signals]

    def _bind_scalar(self, point: ScalarPoint, slot: int) -> None:
        key = f"scalar {point.point}"
        before = len(self.problems)
        found = [pair for pair in self._candidates(key, point) if pair[1].name == point.signal]
        if len(found) == 1:
            self._take(key, *found[0], slot, point)
        elif found:
            names = ", ".join(message.name for message, _ in found[:_LISTED])
            self._wrong(f"{key}.signal", point.signal, "a signal of one message", f"Add message, one of: {names}.")
        elif len(self.problems) == before:
            self._wrong(f"{key}.signal", point.signal, f"a signal of {self.map.dbc}", "Correct the name, case matters.")

    def _bind_matrix(self, point: MatrixPoint, first_slot: int) -> None:
        key = f"matrix {point.point}"
        before = len(self.problems)
        pattern = re.compile(point.signal)
        seen: dict[int, str] = {}
        for message, signal in self._candidates(key, point):
            match = pattern.fullmatch(signal.name)
            if match is None:
                continue
            try:
                element = int(match.group(1)) - point.first
            except (TypeError, ValueError):
                self._wrong(f"{key}.signal", signal.name, "a number in the group", "Make the group match digits only.")
                continue
            if element >= point.count:
                continue  # a database describes the largest device of its family; this one has fewer cells
            if element < 0:
                self._wrong(f"{key}.first", point.first, f"at most the number in {signal.name}", "Lower first.")
            elif element in seen:
                other = f"element {element + 1} once, not in {seen[element]} and {message.name}.{signal.name}"
                self._wrong(f"{key}.signal", point.signal, other, "Narrow the expression or add message.")
            else:
                seen[element] = f"{message.name}.{signal.name}"
                self._take(key, message, signal, first_slot + element, point)
        missing = [element + 1 for element in range(point.count) if element not in seen]
        if missing and len(self.problems) == before:
            listed = ", ".join(map(str, missing[:_LISTED])) + (", …" if len(missing) > _LISTED else "")
            expected = f"a signal for each of {point.count} elements; none for {listed}"
            self._wrong(f"{key}.signal", point.signal, expected, "Correct signal, first or count.")

    def _take(self, key: str, message: Message, signal: Signal, slot: int, point: MappedPoint) -> None:
        if message.is_container:
            self._wrong(f"{key}.signal", signal.name, "a plain message", "Container messages are not supported.")
        elif last_bit(signal) > 8 * message.length or signal.length > 64:
            size = f"a signal inside the {message.length} bytes of {message.name}"
            self._wrong(f"{key}.signal", signal.name, size, "Correct the DBC.")
        elif signal.is_float and (point.invalid or point.codes):
            self._wrong(f"{key}.signal", signal.name, "an integer signal", "Remove invalid and codes.")
        else:
            self._check_raw(key, signal, point)
            self._bound(message).signals.append(BoundSignal(signal, slot, point))

    def _check_raw(self, key: str, signal: Signal, point: MappedPoint) -> None:
        """Raw values of the map that the signal never has: what they were meant to catch would pass.

        Data sheets give invalid patterns in whole bytes, and so do maps of format version 1.
        """
        whole_bytes = -(-signal.length // 8) * 8
        codes = tuple(point.code_table)
        for name, values, bits in (("invalid", point.invalid, whole_bytes), ("codes", codes, signal.length)):
            highest = (1 << bits) - 1
            for value in values:
                if not 0 <= value <= highest:
                    expected = f"raw values from 0 to {highest}, as a signal of {signal.length} bits has them"
                    remedy = "Write what stands on the bus, before sign and scale."
                    self._wrong(f"{key}.{name}", value, expected, remedy)

    def bind_checks(self) -> None:
        """Finds messages and counters of the checks."""
        for check in self.map.check:
            key = f"check {check.message}"
            message = self._message(f"{key}.message", check.message)
            if message is None:
                continue
            bound = self._bound(message)
            bound.check = check
            if check.crc is not None:
                self._check_crc(f"{key}.crc", check.crc, message)
            if check.counter is not None:
                bound.counter = self._counter(f"{key}.counter", check, message)

    def _check_crc(self, key: str, crc: Crc, message: Message) -> None:
        if crc.byte >= message.length:
            self._wrong(f"{key}.byte", crc.byte, f"below {message.length}, the length of {message.name}", "Lower it.")
        if crc.over > message.length:
            self._wrong(f"{key}.over", crc.over, f"at most {message.length}, the length of {message.name}", "Lower it.")

    def _counter(self, key: str, check: Check, message: Message) -> CounterField | None:
        counter = check.counter
        if counter is None:
            return None
        if counter.signal is None:
            start, length, big_endian = counter.start or 0, counter.length or 1, False
            end = start + length
        else:
            signal = next((s for s in message.signals if s.name == counter.signal), None)
            if signal is None or signal.is_float or signal.multiplexer_ids:
                expected = f"a whole-number signal of {message.name} that is in every frame"
                self._wrong(f"{key}.signal", counter.signal, expected, "Correct the name.")
                return None
            big_endian = signal.byte_order == "big_endian"
            start = first_network_bit(signal) if big_endian else signal.start
            length, end = signal.length, last_bit(signal)
        if end > 8 * min(message.length, 8) or length > 32:
            self._wrong(key, end, f"at most 32 bits within {min(message.length, 8)} bytes", "Correct the counter.")
            return None
        modulo = counter.modulo or 1 << length
        if modulo > 1 << length or modulo < 2:
            self._wrong(f"{key}.modulo", modulo, f"2 to {1 << length}", "Correct modulo.")
            return None
        return CounterField(start, length, big_endian, modulo)

    def bind_commands(self) -> tuple[tuple[CommandMessage, Message], ...]:
        """Finds the messages of the commands; every signal must be filled, none may be foreign."""
        bound = []
        for command in self.map.command:
            key = f"command {command.message}"
            message = self._message(f"{key}.message", command.message)
            if message is None:
                continue
            bound.append((command, message))
            signals = {signal.name: signal for signal in message.signals}
            for name in sorted(set(command.signals) - set(signals)):
                self._wrong(f"{key}.signals", name, f"a signal of {message.name}", "Correct the name.")
            if message.is_multiplexed() or any(signal.is_float for signal in message.signals):
                self._wrong(key, message.name, "a message of whole-number signals without pages", "Choose another.")
            if message.length > 8 or any(last_bit(s) > 8 * message.length for s in message.signals):
                self._wrong(key, message.name, "a message of at most 8 bytes that hold its signals", "Correct the DBC.")
            if command.crc is not None:
                self._check_crc(f"{key}.crc", command.crc, message)
        return tuple(bound)
