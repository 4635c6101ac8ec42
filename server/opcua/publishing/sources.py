"""What an item observes: a slot of the image, or something else that is read and encoded once per tick for all."""

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from asyncua import ua

from information_model.members import NodeKind
from information_model.roles import Role
from server.opcua.address_space.computed import Computed, Place
from server.opcua.address_space.index_range import IndexRange, RangeError, RangeSyntaxError, parse
from server.opcua.address_space.model import SITE_INDEX
from server.opcua.address_space.stored import Stored
from server.opcua.address_space.values import Value, Values
from server.opcua.image import ImageView

Codes = ua.StatusCodes
log = logging.getLogger("gridbms.opcua.publishing")
_A = ua.AttributeIds
_LAST_ATTRIBUTE = 27
STORED_FASTEST_MS = 1_000.0
"""Values of stored nodes are read through asyncua, which is slow; nothing there changes faster."""
NUMBERS = range(2, 12)
"""Built-in types that are numbers, SByte to Double; an enumeration travels as Int32 and is none (OPC 10000-3, 8)."""
_NUMBER_TYPES = frozenset({*NUMBERS, 26, 27, 28, 290})
_CHANGING = frozenset({NodeKind.ALARM_STATE, NodeKind.ALARM_COUNT, NodeKind.ALARM_TIME})
_DEFAULT_BINARY = ("", "Default Binary")


class ItemError(Exception):
    """One monitored item is refused with a status code; the others of the call are not concerned."""

    def __init__(self, code: int) -> None:
        super().__init__(hex(code))
        self.code = int(code)


@dataclass(frozen=True, slots=True)
class ScalarSource:
    """A scalar point: a slot of the image."""

    place: Place
    slot: int

    @property
    def built_in(self) -> int:
        """Built-in type of the value."""
        return self.place.node.built_in


@dataclass(frozen=True, slots=True)
class OrdinarySource:
    """Anything else. `read` gives it as it is now; equal keys read the same."""

    key: Hashable
    read: Callable[[frozenset[Role]], Value]
    is_value: bool
    changes: bool
    """False for what stays as it is while the server runs: it is read once."""
    guarded: bool = False
    """Only for users with a role."""
    personal: bool = False
    """Depends on the user's roles."""
    fastest_ms: float = 0.0
    place: Place | None = None
    stored: ua.NodeId | None = None


Source = ScalarSource | OrdinarySource


class Sources:
    """Finds sources, and reads ordinary ones at most once per tick."""

    def __init__(self, computed: Computed, values: Values, stored: Stored, image: ImageView) -> None:
        self._computed, self._values, self._stored, self.image = computed, values, stored, image
        self._read: dict[Hashable, Value] = {}
        self._fresh = False
        self._failed: set[Hashable] = set()

    def new_tick(self) -> None:
        """A new image, or a new moment: everything is read anew."""
        self._read.clear()
        self._fresh = False

    def freshen_once(self) -> None:
        """`freshen`, once a tick: all subscriptions see the same image."""
        if not self._fresh:
            self._fresh = True
            self.freshen()

    def freshen(self) -> None:
        """Take the newest image, or see that it has become too old, before values are looked at.

        Whether the image is another one says nothing of what was read: a Read may have taken it in between.
        """
        self.image.refresh()
        self._read.clear()

    def read(self, source: OrdinarySource, roles: frozenset[Role]) -> Value:
        """Value of an ordinary source for a user with these roles."""
        if source.guarded and not roles:
            return Value(b"", int(Codes.BadUserAccessDenied))
        if source.personal:
            return source.read(roles)
        found = self._read.get(source.key)
        if found is None:
            found = self._read[source.key] = self._try(source, roles)
        return found

    def _try(self, source: OrdinarySource, roles: frozenset[Role]) -> Value:
        """A value that cannot be read is a status of its item, and one line in the log."""
        try:
            return source.read(roles)
        except Exception as error:
            if source.key not in self._failed:
                self._failed.add(source.key)
                log.exception("value of a monitored item cannot be read: %s", type(error).__name__)
            return Value(b"", int(Codes.BadInternalError))

    # -- finding

    def find(self, item: ua.ReadValueId) -> Source:
        """Source of a node and attribute. Raises ItemError with the code of OPC 10000-4, 5.13.2."""
        try:
            index_range = parse(item.IndexRange)
        except RangeSyntaxError:
            raise ItemError(Codes.BadIndexRangeInvalid) from None
        attribute = int(item.AttributeId)
        if item.NodeId.NamespaceIndex == SITE_INDEX:
            place = self._computed.find(item.NodeId)
            if place is None:
                raise ItemError(Codes.BadNodeIdUnknown)
            source = self._of_place(place, attribute, index_range, item.IndexRange or "")
        else:
            source = self._of_stored(item.NodeId, attribute, index_range, item.IndexRange or "")
        _check_encoding(item.DataEncoding, attribute)
        return source

    def _of_place(self, place: Place, attribute: int, index_range: IndexRange | None, text: str) -> Source:
        node, element = place
        if attribute != _A.Value:
            if self._computed.attribute(place, attribute, frozenset()) is None:
                raise ItemError(Codes.BadAttributeIdInvalid)
            if attribute == _A.EventNotifier:
                # Our objects notify of no events.
                raise ItemError(Codes.BadNotSupported)
            return self._of_attribute(place, attribute, index_range)
        if node.node_class is not ua.NodeClass.Variable:
            raise ItemError(Codes.BadAttributeIdInvalid)
        slot = self._values.slot(node, element)
        if slot >= 0 and index_range is None:
            return ScalarSource(place, slot)

        def read(_: frozenset[Role]) -> Value:
            try:
                return self._values.read(node, element, index_range)
            except RangeError:
                return Value(b"", int(Codes.BadIndexRangeNoData))

        changes = slot >= 0 or node.node_kind in _CHANGING or (node.row is not None and bool(node.row.matrix))
        key = (node.level, node.rel, element.index, text)
        return OrdinarySource(key, read, True, changes, guarded=True, place=place)

    def _of_attribute(self, place: Place, attribute: int, index_range: IndexRange | None) -> OrdinarySource:
        def read(roles: frozenset[Role]) -> Value:
            if index_range is not None:
                return Value(b"", int(Codes.BadIndexRangeNoData))
            return Value(self._computed.attribute(place, attribute, roles) or b"")

        key = (place.node.level, place.node.rel, place.element.index, attribute, index_range is None)
        return OrdinarySource(key, read, False, False, personal=attribute == _A.UserExecutable)

    def _of_stored(self, node: ua.NodeId, attribute: int, index_range: IndexRange | None, text: str) -> OrdinarySource:
        if not self._stored.exists(node):
            raise ItemError(Codes.BadNodeIdUnknown)
        is_value = attribute == _A.Value
        if not 1 <= attribute <= _LAST_ATTRIBUTE or not self._has(node, attribute):
            raise ItemError(Codes.BadAttributeIdInvalid)
        if attribute == _A.EventNotifier:
            raise ItemError(Codes.BadNotSupported)

        def read(_: frozenset[Role]) -> Value:
            try:
                if index_range is not None and not is_value:
                    raise RangeError
                return _parts(self._stored.data_value(node, attribute, index_range, 0))
            except RangeError:
                return Value(b"", int(Codes.BadIndexRangeNoData))

        key = (node, attribute, text)
        return OrdinarySource(key, read, is_value, is_value, fastest_ms=STORED_FASTEST_MS, stored=node)

    def _has(self, node: ua.NodeId, attribute: int) -> bool:
        status = self._stored.attribute(node, attribute).StatusCode
        return status is None or int(status.value) != int(Codes.BadAttributeIdInvalid)

    # -- what filters want to know

    def is_number(self, source: Source) -> bool:
        """True where a deadband is allowed: the value of a variable whose data type is a Number."""
        if isinstance(source, OrdinarySource) and not source.is_value:
            return False
        if source.place is not None:
            node = source.place.node
            return node.built_in in NUMBERS and not isinstance(node.data_type.Identifier, str)
        assert isinstance(source, OrdinarySource)
        assert source.stored is not None
        data_type = self._stored.attribute(source.stored, _A.DataType).Value
        identifier: Any = None if data_type is None else data_type.Value
        return (
            isinstance(identifier, ua.NodeId)
            and identifier.NamespaceIndex == 0
            and identifier.Identifier in _NUMBER_TYPES
        )

    def range_of(self, source: Source) -> float | None:
        """Width of the EURange of a variable; None where it has none."""
        if source.place is None:
            return None
        for child in source.place.node.children:
            if child.node_kind is NodeKind.EU_RANGE:
                low, high = _range_of(self._values.read(child, source.place.element).variant)
                return high - low
        return None


def _range_of(variant: bytes) -> tuple[float, float]:
    # A Range is two doubles, the last of its Variant.
    low, high = memoryview(variant[-16:]).cast("d")
    return float(low), float(high)


def _parts(data_value: bytes) -> Value:
    """Variant, status and source time of an encoded DataValue without server time."""
    mask = data_value[0]
    end = len(data_value)
    ticks = status = 0
    if mask & 4:
        end -= 8
        ticks = int.from_bytes(data_value[end : end + 8], "little", signed=True)
    if mask & 2:
        end -= 4
        status = int.from_bytes(data_value[end : end + 4], "little")
    return Value(data_value[1:end], status, ticks)


def _check_encoding(encoding: ua.QualifiedName | None, attribute: int) -> None:
    """DataEncoding belongs to values; only the default binary one is known (OPC 10000-4, 5.11.2)."""
    name = "" if encoding is None else encoding.Name or ""
    if not name:
        return
    if attribute != _A.Value:
        raise ItemError(Codes.BadDataEncodingInvalid)
    if name not in _DEFAULT_BINARY or encoding is None or encoding.NamespaceIndex != 0:
        raise ItemError(Codes.BadDataEncodingUnsupported)
