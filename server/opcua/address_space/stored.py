"""The stored part of the address space: namespace 0 and our types, in asyncua's node storage."""

from collections.abc import Iterator

import numpy as np
from asyncua import ua
from asyncua.server.address_space import AddressSpace
from asyncua.ua.ua_binary import variant_to_binary
from asyncua.ua.uatypes import datetime_to_win_epoch

from information_model.quality import BAD
from server.opcua import wire
from server.opcua.address_space.index_range import IndexRange, RangeError

Codes = ua.StatusCodes
_HAS_SUBTYPE = ua.NodeId(ua.Int32(45))


class Stored:
    """Reads of stored nodes, as bytes and as descriptions."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        self._subtypes: dict[ua.NodeId, frozenset[ua.NodeId]] = {}

    def exists(self, node: ua.NodeId) -> bool:
        """True where the node is stored."""
        return node in self._space

    def references(self, node: ua.NodeId) -> Iterator[ua.ReferenceDescription]:
        """References of a stored node."""
        data = self._space.get(node)
        return iter(()) if data is None else iter(data.references)

    def attribute(self, node: ua.NodeId, attribute: int) -> ua.DataValue:
        """Attribute of a stored node as asyncua has it."""
        return self._space.read_attribute_value(node, ua.AttributeIds(attribute))

    def node_class(self, node: ua.NodeId) -> int:
        """NodeClass of a stored node."""
        value = self.attribute(node, ua.AttributeIds.NodeClass).Value
        return int(value.Value) if value is not None else 0

    def is_reference_type(self, node: ua.NodeId) -> bool:
        """True where the node is a reference type."""
        return self.exists(node) and self.node_class(node) == int(ua.NodeClass.ReferenceType)

    def subtypes(self, node: ua.NodeId) -> frozenset[ua.NodeId]:
        """A type and all types below it (computed once)."""
        found = self._subtypes.get(node)
        if found is None:
            members = {node}
            for reference in self.references(node):
                if reference.IsForward and reference.ReferenceTypeId == _HAS_SUBTYPE:
                    members |= self.subtypes(reference.NodeId)
            found = self._subtypes[node] = frozenset(members)
        return found

    def describe(self, node: ua.NodeId, reference: ua.NodeId, forward: bool) -> ua.ReferenceDescription:
        """Description of a stored node as the target of a reference."""

        def text(attribute: ua.AttributeIds) -> ua.LocalizedText | ua.QualifiedName | None:
            value = self.attribute(node, attribute).Value
            return None if value is None else value.Value

        return ua.ReferenceDescription(
            reference,
            forward,
            node,
            text(ua.AttributeIds.BrowseName) or ua.QualifiedName("", 0),
            text(ua.AttributeIds.DisplayName) or ua.LocalizedText(),
            ua.NodeClass(self.node_class(node) or 0),
            ua.NodeId(),
        )

    def data_value(self, node: ua.NodeId, attribute: int, index_range: IndexRange | None, server_ticks: int) -> bytes:
        """Encoded DataValue of an attribute. Raises RangeError where the range does not fit."""
        value = self.attribute(node, attribute)
        status = 0 if value.StatusCode is None else int(value.StatusCode.value)
        if status >= BAD or value.Value is None:
            return wire.data_value(b"", status or int(Codes.BadAttributeIdInvalid), 0, server_ticks)
        variant = value.Value if index_range is None else _part(value.Value, index_range)
        source = 0
        if attribute == ua.AttributeIds.Value and value.SourceTimestamp is not None:
            source = datetime_to_win_epoch(value.SourceTimestamp)
        return wire.data_value(variant_to_binary(variant), status, source, server_ticks)


def _part(variant: ua.Variant, index_range: IndexRange) -> ua.Variant:
    value = variant.Value
    if isinstance(value, str | bytes) and len(index_range.parts) == 1:
        part = index_range.parts[0]
        if part.start >= len(value):
            raise RangeError
        return ua.Variant(value[part], variant.VariantType)
    if not isinstance(value, list):
        raise RangeError
    cells = np.empty(len(value), object)
    cells[:] = value
    return ua.Variant(list(index_range.apply(cells)), variant.VariantType)
