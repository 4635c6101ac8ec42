"""Adapters by name."""

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from adapters import registry
from adapters.api import BusSpec
from adapters.can.adapter import CanAdapter
from adapters.errors import AdapterConfigurationError
from adapters.replay.adapter import ReplayAdapter
from information_model.device_map import DeviceMap


def test_the_adapters_of_the_program_are_found_by_their_names(
    rack_map: DeviceMap, make_bus: Callable[..., BusSpec]
) -> None:
    live = make_bus(rack_map, interface="virtual")
    recorded = replace(make_bus(rack_map, file="a.log"), adapter="replay")
    assert isinstance(registry.create_adapter(live), CanAdapter)
    assert isinstance(registry.create_adapter(recorded), ReplayAdapter)


def test_an_unknown_name_is_refused_with_the_names_that_exist(
    rack_map: DeviceMap, make_bus: Callable[..., BusSpec]
) -> None:
    with pytest.raises(AdapterConfigurationError, match=r"bus bus1: adapter: given 'cna'; expected .*can.*replay"):
        registry.create_adapter(replace(make_bus(rack_map), adapter="cna"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["no_such_module:Adapter"], "Mend no_such_module:Adapter"),
        (["a:A", "b:B"], "Uninstall all but one of: a:A, b:B"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch,
    rack_map: DeviceMap,
    make_bus: Callable[..., BusSpec],
    values: list[str],
    message: str,
) -> None:
    points = EntryPoints(EntryPoint("odd", value, registry.GROUP) for value in values)
    monkeypatch.setattr(registry, "entry_points", points.select)
    with pytest.raises(AdapterConfigurationError, match=message):
        registry.create_adapter(replace(make_bus(rack_map), adapter="odd"))


class Shy:
    """A plug-in that cannot say which bus it means."""

    @staticmethod
    def identity(options: object) -> str:
        raise KeyError("channel")


def test_a_bus_is_what_its_adapter_says_and_one_of_its_own_where_it_says_nothing(
    monkeypatch: pytest.MonkeyPatch, rack_map: DeviceMap, make_bus: Callable[..., BusSpec]
) -> None:
    live = make_bus(rack_map, interface="socketcan", channel="can0", bitrate=500_000)
    assert registry.bus_identity(live) == "socketcan can0"
    assert registry.bus_identity(make_bus(rack_map, interface="nosuchdriver")) is None
    assert registry.bus_identity(replace(make_bus(rack_map, file="a.log"), adapter="replay")) is None
    assert registry.bus_identity(replace(live, adapter="cna")) is None
    points = EntryPoints([EntryPoint("shy", f"{__name__}:Shy", registry.GROUP)])
    monkeypatch.setattr(registry, "entry_points", points.select)
    assert registry.bus_identity(replace(live, adapter="shy")) is None
