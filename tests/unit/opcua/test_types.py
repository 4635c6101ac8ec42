"""The types: the checked-in file is the generated one, and what the server builds is what the file says."""

import asyncio
from pathlib import Path

import pytest
from asyncua import Server, ua

import information_model.nodeset
from information_model.nodeset import FILE_NAME
from information_model.nodeset.generate import generate
from server.opcua.address_space.types import load_types

FILE = Path(information_model.nodeset.__path__[0]) / FILE_NAME
# The importer leaves these out or writes nothing where we write nothing else.
_EQUAL_WHEN_EMPTY = {ua.AttributeIds.ArrayDimensions, ua.AttributeIds.DataTypeDefinition}


def test_the_file_is_what_the_generator_writes() -> None:
    assert FILE.read_bytes() == generate(), "python -m information_model.nodeset.generate"


@pytest.fixture(scope="module")
def spaces():
    async def both():
        built, imported = Server(), Server()
        await built.init()
        await load_types(built.iserver.aspace, built, "TEST01")
        await imported.init()
        await imported.import_xml(str(FILE))
        return built.iserver.aspace, imported.iserver.aspace

    return asyncio.run(both())


def ours(space) -> set[ua.NodeId]:
    return {node for node in space.keys() if node.NamespaceIndex == 2 and isinstance(node.Identifier, str)}  # noqa: SIM118


def held(attribute):
    data = None if attribute is None else attribute.value
    return None if data is None or data.Value is None else data.Value.Value


def test_the_server_builds_every_node_of_the_file_and_no_other(spaces) -> None:
    built, imported = spaces
    assert ours(built) == ours(imported)
    assert len(ours(built)) > 2000


def test_attributes_equal_the_file(spaces) -> None:
    built, imported = spaces
    for node in ours(built):
        for attribute in set(built[node].attributes) | set(imported[node].attributes):
            if attribute in _EQUAL_WHEN_EMPTY:
                continue
            one, other = (space[node].attributes.get(attribute) for space in (built, imported))
            values = [
                None if a is None or a.value is None or a.value.Value is None else a.value.Value.Value
                for a in (one, other)
            ]
            assert values[0] == values[1], (node, attribute)


def test_references_equal_the_file(spaces) -> None:
    built, imported = spaces

    def references(space, node) -> set[tuple[str, bool, str, str]]:
        return {
            (r.ReferenceTypeId.to_string(), r.IsForward, r.NodeId.to_string(), r.BrowseName.to_string())
            for r in space[node].references
            # The importer lists at a type which placeholders are of it; no other type has its instances in a list.
            if r.IsForward or r.ReferenceTypeId != ua.NodeId(ua.ObjectIds.HasTypeDefinition)
        }

    for node in ours(built):
        assert references(built, node) == references(imported, node), node
