"""Configuration names that the tables use in expressions (`rack.max_voltage_v`), and their values on a site."""

from collections.abc import Sequence

from information_model.points.row import Level
from information_model.topology import Topology
from server.config.model import RackType, SiteFile
from server.config.racks import Rack

Names = dict[str, float]


def site_names(file: SiteFile, topology: Topology, racks: Sequence[Rack]) -> dict[str, Names]:
    """Element id -> the names that an expression for it may use: its own and those of all elements above it."""
    system = override(file, group_names("system", [rack.kind for rack in racks]))
    found = {"ESS": system}
    for array in topology.of_level(Level.ARRAY):
        below = [racks[rack.ordinal].kind for rack in topology.racks_below(array)]
        found[array.name] = system | group_names("array", below)
    for rack, element in zip(racks, topology.of_level(Level.RACK), strict=True):
        found[rack.element] = found[topology.elements[element.parent].name] | rack_names(rack.kind)
        for module in topology.children[element.index]:
            found[topology.elements[module].name] = found[rack.element]
    return found


def rack_names(kind: RackType) -> Names:
    """Names of a rack and its modules."""
    return {
        "rack.rated_energy_wh": kind.rated_energy_wh,
        "rack.rated_capacity_ah": kind.rated_capacity_ah,
        "rack.max_charge_current_a": kind.max_charge_current_a,
        "rack.max_discharge_current_a": kind.max_discharge_current_a,
        "rack.max_voltage_v": kind.max_voltage_v,
        "rack.cells_in_series": float(kind.cells_in_series),
        "module.cells": float(kind.cells_per_module),
    }


def group_names(scope: str, racks: list[RackType]) -> Names:
    """Names of an array or the system: sums over its racks, the highest voltage; power at nominal voltage."""
    return {
        f"{scope}.rated_energy_wh": sum(rack.rated_energy_wh for rack in racks),
        f"{scope}.rated_capacity_ah": sum(rack.rated_capacity_ah for rack in racks),
        f"{scope}.max_charge_current_a": sum(rack.max_charge_current_a for rack in racks),
        f"{scope}.max_discharge_current_a": sum(rack.max_discharge_current_a for rack in racks),
        f"{scope}.max_voltage_v": max(rack.max_voltage_v for rack in racks),
        f"{scope}.rated_charge_power_w": sum(rack.max_charge_current_a * rack.nominal_voltage_v for rack in racks),
        f"{scope}.rated_discharge_power_w": sum(
            rack.max_discharge_current_a * rack.nominal_voltage_v for rack in racks
        ),
    }


def override(file: SiteFile, names: Names) -> Names:
    """System names with the ratings that the site file states."""
    stated = {
        "system.rated_charge_power_w": file.site.rated_charge_power_w,
        "system.rated_discharge_power_w": file.site.rated_discharge_power_w,
        "system.grid_voltage_v": file.site.grid_voltage_v,
    }
    return names | {name: value for name, value in stated.items() if value is not None}
