"""Computed nodes: every id resolves to itself, every reference has its inverse, every value has the declared type."""

from pathlib import Path

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from information_model.points.row import Level
from information_model.roles import Role
from server.config.site import load_site
from server.opcua import wire
from server.opcua.address_space.computed import Computed, Place
from server.opcua.address_space.index_range import IndexRange, RangeError, RangeSyntaxError
from server.opcua.address_space.values import Values
from server.opcua.image import ImageView
from tests.unit.core.field_kit import make_site

ROOT = Path(__file__).parents[3]
EVERYBODY = frozenset(Role)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def computed(site):
    return Computed(site, 100.0)


@pytest.fixture(scope="module")
def values(site, tmp_path_factory):
    return Values(site, ImageView(tmp_path_factory.mktemp("run") / "image", site.catalogue), 10**18)


def test_every_node_is_found_by_its_own_id(computed) -> None:
    ids = set()
    for place in computed.places():
        found = computed.find(place.id)
        assert found is not None
        assert (found.node, found.element) == (place.node, place.element)
        ids.add(place.id.Identifier)
    assert len(ids) == sum(1 for _ in computed.places())


@pytest.mark.parametrize(
    "text",
    ["", "ESS.", ".ESS", "ESS.ARR99", "ESS.ARR01.Measurements.X", "ess", "ESS.ARR01.R001.M01.Control", "a" * 5000],
)
def test_other_ids_are_not_found(computed, text) -> None:
    assert computed.find_text(text) is None


def test_every_forward_reference_between_computed_nodes_has_its_inverse(computed) -> None:
    count = 0
    for place in computed.places():
        for reference in computed.references(place):
            if isinstance(reference.target, Place) and reference.forward:
                back = [
                    r
                    for r in computed.references(reference.target)
                    if not r.forward
                    and isinstance(r.target, Place)
                    and r.target == place
                    and r.type_id == reference.type_id
                ]
                assert len(back) == 1, (place.id, reference)
                count += 1
    assert count == sum(1 for _ in computed.places()) - 1


def test_every_type_declaration_that_is_mandatory_exists_in_each_instance(computed) -> None:
    from information_model.members import members, points_of_type

    for level in Level:
        declared = {
            m.rel
            for m in members(level, points_of_type(level))
            if not m.optional and m.parent in ("", "State", "Control")
        }
        for rel in declared:
            if not rel.startswith(("CellData", "Identification", "Nameplate", "Configuration")):
                assert rel in computed.models[level] or "." not in rel, (level, rel)


def test_every_attribute_of_every_node_decodes(computed, values) -> None:
    for place in computed.places():
        for attribute in range(1, 28):
            if attribute == ua.AttributeIds.Value:
                continue
            encoded = computed.attribute(place, attribute, EVERYBODY)
            if encoded is not None:
                decoded = struct_from_binary(ua.DataValue, Buffer(wire.data_value(encoded)))
                assert decoded.Value is not None
        if place.node.node_class is ua.NodeClass.Variable:
            value = values.read(place.node, place.element)
            decoded = struct_from_binary(
                ua.DataValue, Buffer(wire.data_value(value.variant, value.status, value.ticks))
            )
            assert value.variant or value.status >= 0x8000_0000
            if value.variant:
                assert decoded.Value.VariantType.value == place.node.built_in


def test_no_image_means_bad_and_no_number(computed, values) -> None:
    place = computed.find_text("ESS.ARR01.R001.Measurements.DcVoltage")
    assert place is not None
    value = values.read(place.node, place.element)
    assert (value.variant, value.status >> 30) == (b"", 2)


def test_only_roles_of_a_command_may_call_it(computed) -> None:
    place = computed.find_text("ESS.ARR01.R001.Control.Connect")
    assert place is not None
    for role, allowed in ((Role.OBSERVER, 0), (Role.OPERATOR, 1), (Role.ENGINEER, 1), (Role.SECURITY_ADMIN, 0)):
        assert computed.attribute(place, ua.AttributeIds.UserExecutable, frozenset({role})) == bytes((1, allowed))


@pytest.mark.parametrize(
    ("text", "expected"), [("0", [0]), ("2", [2]), ("1:3", [1, 2, 3]), ("3:99", [3, 4]), ("0:4", [0, 1, 2, 3, 4])]
)
def test_index_ranges(text, expected) -> None:
    assert IndexRange(text).apply(np.arange(5)).tolist() == expected


@pytest.mark.parametrize("text", ["", "a", "-1", "1:", "2:1", "1:1", "1,,2", "1:2:3", " 1", "9" * 300, "١"])
def test_texts_that_are_no_range(text) -> None:
    with pytest.raises(RangeSyntaxError):
        IndexRange(text)


@pytest.mark.parametrize("text", ["5", "7:9", "0,0"])
def test_ranges_that_name_nothing(text) -> None:
    with pytest.raises(RangeError):
        IndexRange(text).apply(np.arange(5))


def test_a_large_site_has_its_models_at_once_and_no_object_per_node() -> None:
    computed = Computed(load_site(ROOT / "examples" / "large.toml"), 100.0)
    rows = sum(len(model) for model in computed.models.values())
    nodes = sum(len(computed.models[e.level]) for e in computed.topology.elements)
    assert nodes > 250_000
    assert rows < 3_000
