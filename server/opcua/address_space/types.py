"""Our types in the stored address space, at fixed namespace indices: 2 the types, 3 the site.

The nodes are built from the list of members from which the NodeSet file is generated, without reading XML: importing
the file takes a second longer. A test compares what stands here with the imported file, node by node.
"""

import functools
from enum import IntEnum

from asyncua import Server, ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData

from information_model.enumerations import ENUMERATIONS, text_of
from information_model.members import (
    BASE_OBJECT,
    BASE_TYPE,
    DATA_TYPE_IDS,
    PROPERTY,
    TYPE_OF_LEVEL,
    Member,
    NodeKind,
    members,
    points_of_type,
)
from information_model.nodeset import NAMESPACE, site_namespace
from information_model.nodeset.generate import OUTPUTS, camel
from information_model.points.row import Level
from information_model.quantities import UNIT_NAMESPACE
from server.opcua.address_space.model import ARGUMENT_TYPES, SITE_INDEX, TYPES_INDEX

_A, _VT = ua.AttributeIds, ua.VariantType
Attributes = dict[ua.AttributeIds, tuple[object, ua.VariantType]]
_OBJECT: Attributes = {_A.EventNotifier: (0, _VT.Byte)}
_METHOD: Attributes = {_A.Executable: (True, _VT.Boolean), _A.UserExecutable: (True, _VT.Boolean)}
_MANDATORY, _OPTIONAL, _PLACEHOLDER = 78, 80, 11508
_ORGANIZES, _MODELLING_RULE, _TYPE_DEFINITION, _SUBTYPE, _PROPERTY, _COMPONENT = 35, 37, 40, 45, 46, 47
_ENUMERATION, _ENUM_VALUE_TYPE = 29, 7594


async def load_types(space: AddressSpace, server: Server, site_id: str) -> None:
    """Build the types. Raises RuntimeError where the namespaces do not get their fixed indices."""
    for uri, wanted in ((NAMESPACE, TYPES_INDEX), (site_namespace(site_id), SITE_INDEX)):
        index = await server.register_namespace(uri)
        if index != wanted:
            raise RuntimeError(f"namespace {uri} got index {index}, expected {wanted}")
    Builder(space).build()


@functools.cache
def _id(name: str | int) -> ua.NodeId:
    if isinstance(name, int):
        return ua.NodeId(ua.Int32(name))
    return ua.NodeId(ua.String(name), ua.Int16(TYPES_INDEX))


class Builder:
    """Writes nodes and both directions of their references straight into the node storage."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        self._described: dict[ua.NodeId, tuple[ua.QualifiedName, ua.LocalizedText, ua.NodeClass, ua.NodeId]] = {}

    def build(self) -> None:
        """All types of the information model."""
        for name, kind in ENUMERATIONS.items():
            self._enumeration(name, kind)
        text = "An element of a battery storage: system, array, rack or module."
        self._object_type(BASE_TYPE, BASE_OBJECT, text, abstract=True)
        for level, name in TYPE_OF_LEVEL.items():
            self._object_type(name, BASE_TYPE, f"A {level.name.lower()} of a battery storage.")
        for level, name in TYPE_OF_LEVEL.items():
            for member in members(level, points_of_type(level)):
                self._member(member, level, name)

    def _member(self, member: Member, level: Level, type_name: str) -> None:
        node = f"{type_name}.{member.rel}"
        parent = f"{type_name}.{member.parent}" if member.parent else type_name
        reference = _PROPERTY if member.is_property else _COMPONENT
        namespace = 0 if member.standard_name else TYPES_INDEX
        rule = _OPTIONAL if member.optional else _MANDATORY
        if member.node_kind in (NodeKind.GROUP, NodeKind.CHILDREN):
            self._node(
                node, ua.NodeClass.Object, member.name, namespace, member.text, {_A.EventNotifier: (0, _VT.Byte)}
            )
        elif member.node_kind is NodeKind.METHOD:
            self._node(node, ua.NodeClass.Method, member.name, namespace, member.text, _METHOD)
        else:
            self._node(node, ua.NodeClass.Variable, member.name, namespace, member.text, self._variable(member))
        self._refer(node, parent, reference, member.type_definition)
        self._one_way(node, _MODELLING_RULE, _id(rule))
        if member.node_kind is NodeKind.CHILDREN:
            child = TYPE_OF_LEVEL[Level(level.value + 1)]
            label = f"<{child.removeprefix('Battery').removesuffix('Type')}>"
            placeholder = f"{node}.{label}"
            self._node(placeholder, ua.NodeClass.Object, label, TYPES_INDEX, "", _OBJECT)
            self._refer(placeholder, node, _ORGANIZES, child)
            self._one_way(placeholder, _MODELLING_RULE, _id(_PLACEHOLDER))

    def _variable(self, member: Member) -> Attributes:
        enumeration = member.data_type in ENUMERATIONS
        kind = _id(member.data_type) if enumeration else _id(DATA_TYPE_IDS[member.data_type])
        dimensions: list[int] = [0] * max(0, member.value_rank)
        value: ua.Variant = ua.Variant(None, _VT.Null)
        point, command = member.point, member.command
        if member.node_kind is NodeKind.ENGINEERING_UNITS and point is not None and point.unit is not None:
            unit = point.unit
            texts = (ua.LocalizedText(unit.symbol, "en"), ua.LocalizedText(unit.name, "en"))
            value = ua.Variant(ua.EUInformation(UNIT_NAMESPACE, ua.Int32(unit.unit_id), *texts), _VT.ExtensionObject)
        elif member.node_kind is NodeKind.INPUT_ARGUMENTS and command is not None:
            rows = [(a.name, _argument_type(a.data_type), a.text) for a in command.arguments]
            value, dimensions = _arguments(rows)
        elif member.node_kind is NodeKind.OUTPUT_ARGUMENTS:
            value, dimensions = _arguments([(name, _id(number), text) for name, number, text in OUTPUTS])
        found: Attributes = {
            _A.Value: (value, _VT.Null),
            _A.DataType: (kind, _VT.NodeId),
            _A.ValueRank: (member.value_rank, _VT.Int32),
            _A.AccessLevel: (1, _VT.Byte),
            _A.UserAccessLevel: (1, _VT.Byte),
            _A.MinimumSamplingInterval: (0.0, _VT.Double),
            _A.Historizing: (False, _VT.Boolean),
        }
        if dimensions:
            found[_A.ArrayDimensions] = (dimensions, _VT.UInt32)
        return found

    def _object_type(self, name: str, base: str | int, text: str, *, abstract: bool = False) -> None:
        self._node(name, ua.NodeClass.ObjectType, name, TYPES_INDEX, text, {_A.IsAbstract: (abstract, _VT.Boolean)})
        self._two_way(_id(base), _SUBTYPE, _id(name))

    def _enumeration(self, name: str, kind: type[IntEnum]) -> None:
        definition = ua.EnumDefinition(
            [
                ua.EnumField(int(member), ua.LocalizedText(text_of(member)), ua.LocalizedText(), camel(member.name))
                for member in kind
            ]
        )
        text = (kind.__doc__ or "").strip()
        attributes: Attributes = {
            _A.IsAbstract: (False, _VT.Boolean),
            _A.DataTypeDefinition: (definition, _VT.ExtensionObject),
        }
        self._node(name, ua.NodeClass.DataType, name, TYPES_INDEX, text, attributes)
        self._two_way(_id(_ENUMERATION), _SUBTYPE, _id(name))
        values = [
            ua.EnumValueType(int(member), ua.LocalizedText(text_of(member), "en"), ua.LocalizedText(None, "en"))
            for member in kind
        ]
        node = f"{name}.EnumValues"
        self._node(
            node,
            ua.NodeClass.Variable,
            "EnumValues",
            0,
            "",
            {
                _A.Value: (ua.Variant(values, _VT.ExtensionObject), _VT.Null),
                _A.DataType: (_id(_ENUM_VALUE_TYPE), _VT.NodeId),
                _A.ValueRank: (1, _VT.Int32),
                _A.ArrayDimensions: ([len(values)], _VT.UInt32),
                _A.AccessLevel: (1, _VT.Byte),
                _A.UserAccessLevel: (1, _VT.Byte),
                _A.MinimumSamplingInterval: (0.0, _VT.Double),
                _A.Historizing: (False, _VT.Boolean),
            },
        )
        self._refer(node, name, _PROPERTY, PROPERTY)
        self._one_way(node, _MODELLING_RULE, _id(_MANDATORY))

    def _node(
        self,
        name: str,
        node_class: ua.NodeClass,
        browse_name: str,
        namespace: int,
        text: str,
        attributes: Attributes,
    ) -> None:
        node = NodeData(_id(name))
        qualified = ua.QualifiedName(browse_name, ua.UInt16(namespace))
        display = ua.LocalizedText(browse_name)
        rows: Attributes = {
            _A.NodeId: (node.nodeid, _VT.NodeId),
            _A.NodeClass: (int(node_class), _VT.Int32),
            _A.BrowseName: (qualified, _VT.QualifiedName),
            _A.DisplayName: (display, _VT.LocalizedText),
            _A.Description: (ua.LocalizedText(text) if text else ua.LocalizedText(), _VT.LocalizedText),
            _A.WriteMask: (0, _VT.UInt32),
            _A.UserWriteMask: (0, _VT.UInt32),
        } | attributes
        for attribute, (value, kind) in rows.items():
            variant = value if isinstance(value, ua.Variant) else ua.Variant(value, kind)
            node.attributes[attribute] = AttributeValue(ua.DataValue(variant))
        self._space[node.nodeid] = node
        self._described[node.nodeid] = (qualified, display, node_class, ua.NodeId())

    def _refer(self, node: str, parent: str, reference: int, type_definition: int | str) -> None:
        if type_definition:
            target = _id(type_definition)
            qualified, display, node_class, _ = self._described[_id(node)]
            self._described[_id(node)] = (qualified, display, node_class, target)
            self._one_way(node, _TYPE_DEFINITION, target)
        self._two_way(_id(parent), reference, _id(node))

    def _two_way(self, source: ua.NodeId, reference: int, target: ua.NodeId) -> None:
        self._append(source, reference, target, True)
        self._append(target, reference, source, False)

    def _one_way(self, node: str, reference: int, target: ua.NodeId) -> None:
        self._append(_id(node), reference, target, True)

    def _append(self, source: ua.NodeId, reference: int, target: ua.NodeId, forward: bool) -> None:
        found = self._described.get(target)
        if found is None:
            found = self._described[target] = self._stored(target)
        name, display, node_class, type_definition = found
        self._space[source].references.append(
            ua.ReferenceDescription(_id(reference), forward, target, name, display, node_class, type_definition)
        )

    def _stored(self, node: ua.NodeId) -> tuple[ua.QualifiedName, ua.LocalizedText, ua.NodeClass, ua.NodeId]:
        attributes = self._space[node].attributes

        def value(attribute: ua.AttributeIds) -> object:
            held = attributes[attribute].value
            return None if held is None or held.Value is None else held.Value.Value

        name, display = value(_A.BrowseName), value(_A.DisplayName)
        assert isinstance(name, ua.QualifiedName)
        assert isinstance(display, ua.LocalizedText)
        node_class = value(_A.NodeClass)
        assert isinstance(node_class, int)
        types = [
            r.NodeId for r in self._space[node].references if r.IsForward and r.ReferenceTypeId == _id(_TYPE_DEFINITION)
        ]
        return name, display, ua.NodeClass(node_class), types[0] if types else ua.NodeId()


def _argument_type(data_type: str) -> ua.NodeId:
    if data_type in ENUMERATIONS:
        return _id(data_type)
    return _id(ARGUMENT_TYPES[data_type])


def _arguments(rows: list[tuple[str, ua.NodeId, str]]) -> tuple[ua.Variant, list[int]]:
    values = [ua.Argument(name, kind, -1, [], ua.LocalizedText(text, "en")) for name, kind, text in rows]
    return ua.Variant(values, _VT.ExtensionObject), [len(values)]
