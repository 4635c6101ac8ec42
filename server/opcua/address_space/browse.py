"""What Browse answers: references of stored and computed nodes, filtered and encoded."""

from dataclasses import dataclass

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary

from server.opcua import wire
from server.opcua.address_space.computed import Computed, Place, Reference
from server.opcua.address_space.model import (
    HAS_TYPE_DEFINITION,
    OBJECTS_FOLDER,
    ORGANIZES,
    SITE_INDEX,
    browse_name,
)
from server.opcua.address_space.stored import Stored

Codes = ua.StatusCodes
NULL = ua.NodeId()


class BrowseError(Exception):
    """The node cannot be browsed as asked: `code` is the status of this operation."""

    def __init__(self, code: int) -> None:
        super().__init__(hex(code))
        self.code = code


@dataclass(frozen=True, slots=True)
class Filter:
    """What a BrowseDescription lets through."""

    forward: bool
    inverse: bool
    types: frozenset[ua.NodeId] | None
    classes: int


class Browser:
    """References of any node; the border between stored and computed nodes is one reference and its inverse."""

    def __init__(self, computed: Computed, stored: Stored) -> None:
        self._computed, self._stored = computed, stored
        self._reference_ids: dict[int, ua.NodeId] = {}
        self._types: dict[ua.NodeId, ua.ReferenceDescription] = {}

    def filter_of(self, description: ua.BrowseDescription) -> Filter:
        """Checked filter. Raises BrowseError for a direction or reference type that does not exist."""
        direction = int(description.BrowseDirection)
        if not 0 <= direction <= 2:
            raise BrowseError(Codes.BadBrowseDirectionInvalid)
        types: frozenset[ua.NodeId] | None = None
        if description.ReferenceTypeId != NULL:
            if not self._stored.is_reference_type(description.ReferenceTypeId):
                raise BrowseError(Codes.BadReferenceTypeIdInvalid)
            types = frozenset({description.ReferenceTypeId})
            if description.IncludeSubtypes:
                types = self._stored.subtypes(description.ReferenceTypeId)
        return Filter(direction != 1, direction != 0, types, int(description.NodeClassMask))

    def exists(self, node: ua.NodeId) -> bool:
        """True where the NodeId names a node."""
        if node.NamespaceIndex == SITE_INDEX:
            return self._computed.find(node) is not None
        return self._stored.exists(node)

    def browse(self, node: ua.NodeId, wanted: Filter, result_mask: int) -> list[bytes]:
        """Encoded ReferenceDescriptions. Raises BrowseError BadNodeIdUnknown."""
        if node.NamespaceIndex == SITE_INDEX:
            place = self._computed.find(node)
            if place is None:
                raise BrowseError(Codes.BadNodeIdUnknown)
            return self._of_computed(place, wanted, result_mask)
        if not self._stored.exists(node):
            raise BrowseError(Codes.BadNodeIdUnknown)
        found = []
        for reference in self._stored.references(node):
            kept = wanted.forward if reference.IsForward else wanted.inverse
            if kept and self._let_through(reference.ReferenceTypeId, int(reference.NodeClass), wanted):
                found.append(_encode_stored(reference, result_mask))
        if node == self._id(OBJECTS_FOLDER) and wanted.forward:
            border = Reference(ORGANIZES, True, self._computed.system)
            found += self._computed_reference(border, wanted, result_mask)
        return found

    def targets(self, node: ua.NodeId, wanted: Filter) -> list[tuple[ua.NodeId, str, int]]:
        """(NodeId, browse name, its namespace) of the targets of a node: for paths."""
        place = self._computed.find(node)
        if place is not None:
            found = []
            for reference in self._computed.references(place):
                if not self._passes(reference, wanted):
                    continue
                if isinstance(reference.target, Place):
                    found.append(self._named(reference.target))
                else:
                    text = self._describe(reference.target).BrowseName
                    found.append((reference.target, text.Name or "", text.NamespaceIndex))
            return found
        found = []
        for described in self._stored.references(node):
            kept = wanted.forward if described.IsForward else wanted.inverse
            if kept and self._let_through(described.ReferenceTypeId, int(described.NodeClass), wanted):
                text = described.BrowseName
                found.append((described.NodeId, text.Name or "", text.NamespaceIndex))
        border = Reference(ORGANIZES, True, self._computed.system)
        if node == self._id(OBJECTS_FOLDER) and self._passes(border, wanted):
            found.append(self._named(self._computed.system))
        return found

    def _named(self, place: Place) -> tuple[ua.NodeId, str, int]:
        return place.id, browse_name(*place), self._computed.name_space(place.node)

    def _of_computed(self, place: Place, wanted: Filter, mask: int) -> list[bytes]:
        found = []
        for reference in self._computed.references(place):
            found += self._computed_reference(reference, wanted, mask)
        return found

    def _passes(self, reference: Reference, wanted: Filter) -> bool:
        if not (wanted.forward if reference.forward else wanted.inverse):
            return False
        target = reference.target
        node_class = int(target.node.node_class) if isinstance(target, Place) else self._stored.node_class(target)
        return self._let_through(self._id(reference.type_id), node_class, wanted)

    def _computed_reference(self, reference: Reference, wanted: Filter, mask: int) -> list[bytes]:
        if not self._passes(reference, wanted):
            return []
        if not isinstance(reference.target, Place):
            described = self._describe(reference.target)
            described.ReferenceTypeId = self._id(reference.type_id)
            described.IsForward = reference.forward
            return [_encode_stored(described, mask)]
        node, element = reference.target
        name = browse_name(node, element)
        type_definition = b"\x00\x00"
        if mask & 32 and node.type_definition != NULL:
            type_definition = bytes(nodeid_to_binary(node.type_definition))
        return [
            b"".join(
                (
                    wire.numeric_node_id(reference.type_id) if mask & 1 else wire.NULL_NODE_ID,
                    bytes((reference.forward and bool(mask & 2),)),
                    wire.string_node_id(f"{element.name}.{node.rel}" if node.rel else element.name, SITE_INDEX),
                    wire.qualified_name(name, node.browse_namespace) if mask & 8 else b"\x00\x00" + wire.NULL_STRING,
                    wire.localized_text(name) if mask & 16 else b"\x00",
                    int(node.node_class if mask & 4 else 0).to_bytes(4, "little"),
                    type_definition,
                )
            )
        ]

    def _let_through(self, reference_type: ua.NodeId, node_class: int, wanted: Filter) -> bool:
        if wanted.types is not None and reference_type not in wanted.types:
            return False
        return not wanted.classes or bool(wanted.classes & node_class)

    def _describe(self, node: ua.NodeId) -> ua.ReferenceDescription:
        found = self._types.get(node)
        if found is None:
            found = self._types[node] = self._stored.describe(node, self._id(HAS_TYPE_DEFINITION), True)
        return found

    def _id(self, number: int) -> ua.NodeId:
        found = self._reference_ids.get(number)
        if found is None:
            found = self._reference_ids[number] = ua.NodeId(ua.Int32(number))
        return found


def _encode_stored(reference: ua.ReferenceDescription, mask: int) -> bytes:
    """A stored reference with the fields that the result mask asks for (OPC 10000-4, 5.9.2.2)."""
    name, text = reference.BrowseName, reference.DisplayName
    display = name.Name if text is None or text.Text is None else text.Text
    return b"".join(
        (
            nodeid_to_binary(reference.ReferenceTypeId) if mask & 1 else wire.NULL_NODE_ID,
            bytes((reference.IsForward and bool(mask & 2),)),
            nodeid_to_binary(reference.NodeId),
            wire.qualified_name(name.Name or "", name.NamespaceIndex) if mask & 8 else b"\x00\x00" + wire.NULL_STRING,
            wire.localized_text(display or "") if mask & 16 else b"\x00",
            int(reference.NodeClass if mask & 4 else 0).to_bytes(4, "little"),
            nodeid_to_binary(reference.TypeDefinition or NULL) if mask & 32 else wire.NULL_NODE_ID,
        )
    )
