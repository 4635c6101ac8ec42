"""Writes the types of the information model as NodeSet2 XML (OPC 10000-6, annex F).

    python -m information_model.nodeset.generate [FILE]

Node ids are strings: the type's name, and for its members `<Type>.<path>`. The importer of asyncua loses a structured
value unless white space follows the opening tag, so every value is written on lines of its own.
"""

import sys
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path

from lxml import etree

from information_model.commands import Argument, Command
from information_model.enumerations import ENUMERATIONS, text_of
from information_model.members import (
    BASE_TYPE,
    DATA_TYPE_IDS,
    PROPERTY,
    TYPE_OF_LEVEL,
    Member,
    NodeKind,
    members,
    points_of_type,
)
from information_model.nodeset import FILE_NAME, NAMESPACE, PUBLICATION_DATE, VERSION
from information_model.points.row import Level
from information_model.quantities import UNIT_NAMESPACE, Unit

_UA = "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"
_TYPES = "http://opcfoundation.org/UA/2008/02/Types.xsd"
_CORE = ("http://opcfoundation.org/UA/", "1.05.03", "2023-12-15T00:00:00Z")
_ALIASES = {"HasTypeDefinition": 40, "HasSubtype": 45, "HasProperty": 46, "HasComponent": 47, "Organizes": 35,
            "HasModellingRule": 37}  # fmt: skip
_MANDATORY, _OPTIONAL, _OPTIONAL_PLACEHOLDER = 78, 80, 11508
_ENUMERATION, _ENUM_VALUE_TYPE = 29, 7594

OUTPUTS = (
    ("ResultCode", 6, "1 accepted, 2 refused."),
    ("Message", 21, "What was decided and why; the permissives that are false."),
    ("CommandSequence", 7, "Number of the command in the log."),
)
"""Output arguments of every command: name, built-in type, text."""


def generate() -> bytes:
    """The NodeSet as XML text."""
    spaces = {None: _UA, "uax": _TYPES}
    root = etree.Element(f"{{{_UA}}}UANodeSet", nsmap=spaces)  # type: ignore[arg-type]  # the stubs forget the default namespace
    _text(_sub(root, "NamespaceUris"), "Uri", NAMESPACE)
    model = _sub(_sub(root, "Models"), "Model", ModelUri=NAMESPACE, Version=VERSION, PublicationDate=PUBLICATION_DATE)
    uri, version, date = _CORE
    _sub(model, "RequiredModel", ModelUri=uri, Version=version, PublicationDate=date)
    aliases = _sub(root, "Aliases")
    for alias, number in _ALIASES.items():
        _text(aliases, "Alias", f"i={number}", Alias=alias)
    for name, kind in ENUMERATIONS.items():
        _enumeration(root, name, kind)
    _object_type(
        root, BASE_TYPE, "i=58", "An element of a battery storage: system, array, rack or module.", abstract=True
    )
    for level, name in TYPE_OF_LEVEL.items():
        _object_type(root, name, _id(BASE_TYPE), f"A {level.name.lower()} of a battery storage.")
    for level, name in TYPE_OF_LEVEL.items():
        _members(root, level, name)
    etree.indent(root, "  ")
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


def _members(root: etree._Element, level: Level, type_name: str) -> None:
    for member in members(level, points_of_type(level)):
        parent = f"{type_name}.{member.parent}" if member.parent else type_name
        _member(root, member, f"{type_name}.{member.rel}", parent)
        if member.node_kind is NodeKind.CHILDREN:
            child = TYPE_OF_LEVEL[Level(level.value + 1)]
            label = f"<{child.removeprefix('Battery').removesuffix('Type')}>"
            node = _node(root, "UAObject", f"{type_name}.{member.rel}.{label}", label, "")
            _references(
                node,
                ("Organizes", f"{type_name}.{member.rel}", False),
                ("HasTypeDefinition", child, True),
                ("HasModellingRule", _OPTIONAL_PLACEHOLDER, True),
            )


def _member(root: etree._Element, member: Member, node_id: str, parent: str) -> None:
    rule = _OPTIONAL if member.optional else _MANDATORY
    kind = "HasProperty" if member.is_property else "HasComponent"
    name = member.name if member.standard_name else f"1:{member.name}"
    if member.node_kind is NodeKind.METHOD:
        node = _node(root, "UAMethod", node_id, name, member.text, ParentNodeId=_id(parent))
        _references(node, (kind, parent, False), ("HasModellingRule", rule, True))
        return
    if member.node_kind in (NodeKind.GROUP, NodeKind.CHILDREN):
        node = _node(root, "UAObject", node_id, name, member.text, ParentNodeId=_id(parent))
    else:
        attributes = {"DataType": data_type(member.data_type), "ParentNodeId": _id(parent)}
        if member.value_rank >= 1:
            # OPC 10000-3, 5.6.2: 0 = length not known in the type
            attributes |= {"ValueRank": str(member.value_rank), "ArrayDimensions": ",".join("0" * member.value_rank)}
        node = _node(root, "UAVariable", node_id, name, member.text, **attributes)
    _references(
        node,
        (kind, parent, False),
        ("HasTypeDefinition", member.type_definition, True),
        ("HasModellingRule", rule, True),
    )
    if member.node_kind is NodeKind.ENGINEERING_UNITS and member.point is not None and member.point.unit is not None:
        _unit(node, member.point.unit)
    elif member.node_kind in (NodeKind.INPUT_ARGUMENTS, NodeKind.OUTPUT_ARGUMENTS) and member.command is not None:
        _arguments(node, member.command, member.node_kind)


def data_type(name: str) -> str:
    """NodeId of a data type as text in this NodeSet."""
    return _id(name) if name in ENUMERATIONS else f"i={DATA_TYPE_IDS[name]}"


def _id(name: str | int) -> str:
    return f"i={name}" if isinstance(name, int) else f"ns=1;s={name}"


def _object_type(root: etree._Element, name: str, base: str, text: str, *, abstract: bool = False) -> None:
    node = _node(root, "UAObjectType", name, f"1:{name}", text, **({"IsAbstract": "true"} if abstract else {}))
    reference = _sub(_sub(node, "References"), "Reference", ReferenceType="HasSubtype", IsForward="false")
    reference.text = base


def _enumeration(root: etree._Element, name: str, kind: type[IntEnum]) -> None:
    node = _node(root, "UADataType", name, f"1:{name}", (kind.__doc__ or "").strip())
    _references(node, ("HasSubtype", _ENUMERATION, False), ("HasProperty", f"{name}.EnumValues", True))
    definition = _sub(node, "Definition", Name=f"1:{name}")
    for member in kind:
        field = _sub(definition, "Field", Name=camel(member.name), Value=str(int(member)))
        _text(field, "DisplayName", text_of(member))
    values = _node(
        root, "UAVariable", f"{name}.EnumValues", "EnumValues", "", ParentNodeId=_id(name),
        DataType=f"i={_ENUM_VALUE_TYPE}", ValueRank="1", ArrayDimensions=str(len(kind)),
    )  # fmt: skip
    _references(
        values, ("HasProperty", name, False), ("HasTypeDefinition", PROPERTY, True), ("HasModellingRule", 78, True)
    )
    entries = _extension_objects(values)
    for member in kind:
        body = _extension_object(entries, 7616, "EnumValueType")
        _text(body, "Value", str(int(member)), ns=_TYPES)
        _localized(body, "DisplayName", text_of(member))
        _localized(body, "Description", "")


def camel(name: str) -> str:
    """Name of an enumeration's field in CamelCase (`NOT_READY` -> `NotReady`)."""
    return "".join(part.capitalize() for part in name.split("_"))


def _unit(node: etree._Element, unit: Unit) -> None:
    value = _sub(node, "Value")
    body = _extension_object(value, 888, "EUInformation")
    _text(body, "NamespaceUri", UNIT_NAMESPACE, ns=_TYPES)
    _text(body, "UnitId", str(unit.unit_id), ns=_TYPES)
    _localized(body, "DisplayName", unit.symbol)
    _localized(body, "Description", unit.name)


def argument_type(argument: Argument) -> str:
    """NodeId of an argument's data type in this NodeSet."""
    return "i=21" if argument.data_type == "LocalizedText" else data_type(argument.data_type)


def _arguments(node: etree._Element, command: Command, node_kind: NodeKind) -> None:
    rows: Iterable[tuple[str, str, str]]
    if node_kind is NodeKind.INPUT_ARGUMENTS:
        rows = [(a.name, argument_type(a), a.text) for a in command.arguments]
    else:
        rows = [(name, f"i={number}", text) for name, number, text in OUTPUTS]
    rows = list(rows)
    node.set("ArrayDimensions", str(len(rows)))
    entries = _extension_objects(node)
    for name, kind, text in rows:
        body = _extension_object(entries, 297, "Argument")
        _text(body, "Name", name, ns=_TYPES)
        _text(_sub(body, "DataType", ns=_TYPES), "Identifier", kind, ns=_TYPES)
        _text(body, "ValueRank", "-1", ns=_TYPES)
        _sub(body, "ArrayDimensions", ns=_TYPES)
        _localized(body, "Description", text)


def _node(root: etree._Element, tag: str, node_id: str, name: str, text: str, **attributes: str) -> etree._Element:
    node = _sub(
        root, tag, NodeId=_id(node_id), BrowseName=name if ":" in name or not name.startswith("<") else f"1:{name}"
    )
    for key, value in attributes.items():
        node.set(key, value)
    _text(node, "DisplayName", name.rpartition(":")[2])
    if text:
        _text(node, "Description", text)
    return node


def _references(node: etree._Element, *rows: tuple[str, str | int, bool]) -> None:
    references = _sub(node, "References")
    for kind, target, forward in rows:
        attributes = {"ReferenceType": kind} | ({} if forward else {"IsForward": "false"})
        _sub(references, "Reference", **attributes).text = _id(target)


def _extension_objects(node: etree._Element) -> etree._Element:
    return _sub(_sub(node, "Value"), "ListOfExtensionObject", ns=_TYPES)


def _extension_object(parent: etree._Element, encoding: int, name: str) -> etree._Element:
    item = _sub(parent, "ExtensionObject", ns=_TYPES)
    _text(_sub(item, "TypeId", ns=_TYPES), "Identifier", f"i={encoding}", ns=_TYPES)
    return _sub(_sub(item, "Body", ns=_TYPES), name, ns=_TYPES)


def _localized(parent: etree._Element, tag: str, text: str) -> None:
    item = _sub(parent, tag, ns=_TYPES)
    _text(item, "Locale", "en", ns=_TYPES)
    _text(item, "Text", text, ns=_TYPES)


def _sub(parent: etree._Element, tag: str, ns: str = _UA, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{ns}}}{tag}", attrib=attributes)


def _text(parent: etree._Element, tag: str, text: str, ns: str = _UA, **attributes: str) -> None:
    _sub(parent, tag, ns, **attributes).text = text


def main() -> None:
    """Write the file that is checked in, or the one that is named."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name(FILE_NAME)
    path.write_bytes(generate())


if __name__ == "__main__":
    main()
