"""The model of each level: one `Node` per kind of node, whatever the number of elements.

Compiled once from the catalogue through `information_model.members`, the list from which the types are generated too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from asyncua import ua

from information_model.catalogue import Catalogue, Row
from information_model.enumerations import ENUMERATIONS
from information_model.members import DATA_TYPE_IDS, TYPE_OF_LEVEL, Member, NodeKind, members
from information_model.points.row import ENUMERATION_TYPE, History, Level
from information_model.topology import Element

TYPES_INDEX, SITE_INDEX = 2, 3
"""Namespace indices in fixed order: 0 standard, 1 application, 2 types, 3 site."""

ORGANIZES, HAS_TYPE_DEFINITION, HAS_PROPERTY, HAS_COMPONENT = 35, 40, 46, 47
OBJECTS_FOLDER = 85
ARGUMENT_TYPES = DATA_TYPE_IDS | {"LocalizedText": ua.ObjectIds.LocalizedText}
"""Data type of a command's argument that is no enumeration; of a built-in type it is its id."""


@dataclass(eq=False, slots=True)
class Node:
    """A kind of node of a level. The element itself has `rel` "" and no member."""

    rel: str
    level: Level
    member: Member | None
    node_class: ua.NodeClass
    browse_namespace: int
    parent_reference: int
    type_definition: ua.NodeId
    data_type: ua.NodeId
    built_in: int
    row: Row | None = None
    children: list["Node"] = field(default_factory=list)
    parent: "Node | None" = None

    @property
    def node_kind(self) -> NodeKind:
        """What the node is; the element itself counts as a group."""
        return NodeKind.GROUP if self.member is None else self.member.node_kind

    @property
    def historized(self) -> bool:
        """True where the archive keeps the values."""
        row = self.row
        return self.node_kind is NodeKind.POINT and row is not None and not row.constant and _kept(row)


def _kept(row: Row) -> bool:
    return row.point.history is not History.NONE


def compile_models(catalogue: Catalogue) -> dict[Level, dict[str, Node]]:
    """Nodes of each level by their path below the element; "" is the element."""
    return {level: {node.rel: node for node in _level(catalogue, level)} for level in Level}


def _level(catalogue: Catalogue, level: Level) -> Iterator[Node]:
    root = Node(
        "",
        level,
        None,
        ua.NodeClass.Object,
        SITE_INDEX,
        ORGANIZES,
        _string_id(TYPE_OF_LEVEL[level], TYPES_INDEX),
        ua.NodeId(),
        0,
    )
    yield root
    nodes = {"": root}
    rows = catalogue.rows[level]
    given = [(row.point, False, row.mirror is not None) for row in rows.values()]
    for member in members(level, given):
        node = _node(member, level, None if member.point is None else rows[member.point.path])
        node.parent = nodes[member.parent]
        node.parent.children.append(node)
        nodes[member.rel] = node
        yield node


def _node(member: Member, level: Level, row: Row | None) -> Node:
    node_class = ua.NodeClass.Variable
    if member.node_kind in (NodeKind.GROUP, NodeKind.CHILDREN):
        node_class = ua.NodeClass.Object
    elif member.node_kind is NodeKind.METHOD:
        node_class = ua.NodeClass.Method
    enumeration = member.data_type in ENUMERATIONS
    data_type = ua.NodeId()
    built_in = 0
    if enumeration:
        data_type, built_in = _string_id(member.data_type, TYPES_INDEX), ENUMERATION_TYPE
    elif member.data_type:
        number = DATA_TYPE_IDS[member.data_type]
        data_type, built_in = ua.NodeId(ua.Int32(number)), number if number < 26 else 22
    return Node(
        member.rel,
        level,
        member,
        node_class,
        0 if member.standard_name else TYPES_INDEX,
        HAS_PROPERTY if member.is_property else HAS_COMPONENT,
        ua.NodeId(ua.Int32(member.type_definition)) if member.type_definition else ua.NodeId(),
        data_type,
        built_in,
        row,
    )


def _string_id(text: str, namespace: int) -> ua.NodeId:
    return ua.NodeId(ua.String(text), ua.Int16(namespace))


def node_id(node: Node, element: Element) -> ua.NodeId:
    """NodeId of a computed node."""
    return _string_id(f"{element.name}.{node.rel}" if node.rel else element.name, SITE_INDEX)


def browse_name(node: Node, element: Element) -> str:
    """Browse name: members have the type's, elements their own label."""
    return node.member.name if node.member is not None else element.label
