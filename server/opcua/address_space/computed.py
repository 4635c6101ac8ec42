"""The computed part of the address space: NodeId -> (node, element), references, attributes."""

from collections.abc import Iterator
from typing import NamedTuple

from asyncua import ua

from information_model.members import NodeKind
from information_model.points.row import Kind, Level
from information_model.roles import Role
from information_model.topology import Element
from server.config.site import Site
from server.opcua import wire
from server.opcua.address_space.model import (
    HAS_TYPE_DEFINITION,
    OBJECTS_FOLDER,
    ORGANIZES,
    SITE_INDEX,
    Node,
    browse_name,
    compile_models,
    node_id,
)

READ, HISTORY_READ = 1, 4
"""Bits of AccessLevel (OPC 10000-3, 8.57)."""

_A = ua.AttributeIds


class Place(NamedTuple):
    """A computed node: a node of a level's model and an element."""

    node: Node
    element: Element

    @property
    def id(self) -> ua.NodeId:
        """NodeId."""
        return node_id(self.node, self.element)


class Reference(NamedTuple):
    """A reference from a computed node. `target` is a computed node, or the NodeId of a stored one."""

    type_id: int
    forward: bool
    target: Place | ua.NodeId


class Computed:
    """All nodes of the site's namespace. Nothing is stored per instance."""

    def __init__(self, site: Site, sampling_interval_ms: float) -> None:
        self.site = site
        self.topology = site.catalogue.topology
        self.models = compile_models(site.catalogue)
        self._sampling_interval_ms = sampling_interval_ms
        self.system = Place(self.models[Level.SYSTEM][""], self.topology.elements[0])

    def find(self, identifier: ua.NodeId) -> Place | None:
        """Node of a NodeId in the site's namespace; None where it does not exist."""
        text = identifier.Identifier
        if identifier.NamespaceIndex != SITE_INDEX or not isinstance(text, str):
            return None
        return self.find_text(text)

    def find_text(self, text: str) -> Place | None:
        """Node of the text of a NodeId."""
        parts = text.split(".")
        for depth in range(min(4, len(parts)), 0, -1):
            element = self.topology.by_name.get(".".join(parts[:depth]))
            if element is not None:
                rel = ".".join(parts[depth:])
                node = self.models[element.level].get(rel)
                # "ESS." has a part behind the element, an empty one: it names nothing.
                return None if node is None or (not rel and depth < len(parts)) else Place(node, element)
        return None

    def places(self) -> Iterator[Place]:
        """Every computed node, elements breadth first, parents before their children."""
        for element in self.topology.elements:
            for node in self.models[element.level].values():
                yield Place(node, element)

    def references(self, place: Place) -> Iterator[Reference]:
        """All references of a node, forward and inverse."""
        node, element = place
        if node.type_definition != ua.NodeId():
            yield Reference(HAS_TYPE_DEFINITION, True, node.type_definition)
        yield self._to_parent(place)
        for child in node.children:
            yield Reference(child.parent_reference, True, Place(child, element))
        if node.node_kind is NodeKind.CHILDREN:
            root = self.models[Level(node.level.value + 1)][""]
            for index in self.topology.children[element.index]:
                yield Reference(ORGANIZES, True, Place(root, self.topology.elements[index]))

    def _to_parent(self, place: Place) -> Reference:
        node, element = place
        if node.parent is not None:
            return Reference(node.parent_reference, False, Place(node.parent, element))
        if element.parent < 0:
            return Reference(ORGANIZES, False, ua.NodeId(ua.Int32(OBJECTS_FOLDER)))
        parent = self.topology.elements[element.parent]
        folder = next(n for n in self.models[parent.level].values() if n.node_kind is NodeKind.CHILDREN)
        return Reference(ORGANIZES, False, Place(folder, parent))

    def attribute(self, place: Place, attribute: int, roles: frozenset[Role]) -> bytes | None:
        """Encoded Variant of an attribute that is not Value; None where the node does not have it."""
        node, element = place
        if attribute == _A.NodeId:
            return b"\x11" + wire.string_node_id(str(place.id.Identifier), SITE_INDEX)
        if attribute == _A.NodeClass:
            return wire.scalar(6, int(node.node_class))
        if attribute == _A.BrowseName:
            return b"\x14" + wire.qualified_name(browse_name(node, element), self.name_space(node))
        if attribute == _A.DisplayName:
            return b"\x15" + wire.localized_text(browse_name(node, element))
        if attribute == _A.Description:
            return b"\x15" + wire.localized_text(self.description(place))
        if attribute in (_A.WriteMask, _A.UserWriteMask):
            return wire.scalar(7, 0)
        if node.node_class is ua.NodeClass.Object:
            return wire.scalar(3, 0) if attribute == _A.EventNotifier else None
        if node.node_class is ua.NodeClass.Method:
            if attribute == _A.Executable:
                return wire.scalar(1, 1)
            return wire.scalar(1, may_call(node, roles)) if attribute == _A.UserExecutable else None
        return self._variable_attribute(place, attribute)

    def _variable_attribute(self, place: Place, attribute: int) -> bytes | None:
        node = place.node
        if attribute == _A.DataType:
            data_type = node.data_type
            if isinstance(data_type.Identifier, str):
                return b"\x11" + wire.string_node_id(data_type.Identifier, data_type.NamespaceIndex)
            return b"\x11" + wire.numeric_node_id(int(data_type.Identifier))
        if attribute == _A.ValueRank:
            return wire.scalar(6, -1 if node.member is None else node.member.value_rank)
        if attribute == _A.ArrayDimensions:
            sizes = self.dimensions(place)
            return None if sizes is None else b"\x87" + wire.array(size.to_bytes(4, "little") for size in sizes)
        if attribute in (_A.AccessLevel, _A.UserAccessLevel):
            return wire.scalar(3, access_level(node))
        if attribute == _A.MinimumSamplingInterval:
            return wire.scalar(wire.DOUBLE, self._sampling_interval_ms if node.node_kind is NodeKind.POINT else 0.0)
        if attribute == _A.Historizing:
            return wire.scalar(1, node.historized)
        return None

    def dimensions(self, place: Place) -> tuple[int, ...] | None:
        """Lengths of an array value; None for a scalar."""
        node, element = place
        member = node.member
        if member is None or member.value_rank < 1:
            return None
        if member.node_kind is NodeKind.INPUT_ARGUMENTS and member.command is not None:
            return (len(member.command.arguments),)
        if member.node_kind is NodeKind.OUTPUT_ARGUMENTS or member.point is None:
            return (3,)
        shape = self.topology.shapes[element.rack]
        width = shape.cells_per_module if member.point.kind is Kind.CELLS else shape.probes_per_module
        return (shape.modules, width) if member.value_rank == 2 else (width,)

    def name_space(self, node: Node) -> int:
        """Namespace index of the browse name."""
        return node.browse_namespace

    def description(self, place: Place) -> str:
        """Description of a node: the text of the tables; an element gives its name."""
        if place.node.member is not None:
            return place.node.member.text
        name = self.site.catalogue.constants.get((place.element.name, "Identification.ComponentName"))
        return str(name or "")


def access_level(node: Node) -> int:
    """AccessLevel of a variable."""
    return READ | HISTORY_READ if node.historized else READ


def may_call(node: Node, roles: frozenset[Role]) -> bool:
    """True where a user with these roles may call the method."""
    command = node.member.command if node.member is not None else None
    return command is not None and not roles.isdisjoint(command.roles)
