"""Configuration names that the tables use in expressions (`rack.max_voltage_v`), and the values of constant points."""

from collections.abc import Mapping
from datetime import UTC, datetime

from information_model.catalogue import Constant
from information_model.enumerations import BatteryType
from server.config.model import Identity, RackType, SiteFile

RackNames = dict[str, float]

IDENTITY_POINTS = {
    "ComponentName": "name",
    "Manufacturer": "manufacturer",
    "Model": "model",
    "SerialNumber": "serial_number",
    "HardwareRevision": "hardware_revision",
    "SoftwareRevision": "software_revision",
    "AssetId": "asset_id",
    "Location": "location",
    "CommissioningDate": "commissioning_date",
    "ManufacturingDate": "manufacturing_date",
}


def rack_names(kind: RackType) -> RackNames:
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


def group_names(scope: str, racks: list[RackType]) -> RackNames:
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


def identification(element: str, identity: Identity, defaults: Mapping[str, str]) -> dict[tuple[str, str], Constant]:
    """Constants of the group Identification; dates become UTC nanoseconds, an empty text gives no point."""
    found: dict[tuple[str, str], Constant] = {}
    for point, key in IDENTITY_POINTS.items():
        text = getattr(identity, key) or defaults.get(key, "")
        if text:
            found[element, f"Identification.{point}"] = _date(text) if key.endswith("_date") else text
    return found


def _date(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def rack_constants(element: str, kind: RackType) -> dict[tuple[str, str], Constant]:
    """Nameplate and configuration of a rack."""
    limits = kind.limits
    values: dict[str, Constant] = {
        "Nameplate.BatteryType": int(BatteryType.LITHIUM_ION),
        "Nameplate.CellChemistry": int(kind.chemistry_code),
        "Nameplate.NominalVoltage": kind.nominal_voltage_v,
        "Nameplate.RatedCapacity": kind.rated_capacity_ah,
        "Nameplate.RatedChargeCurrent": kind.max_charge_current_a,
        "Nameplate.RatedDischargeCurrent": kind.max_discharge_current_a,
        "Nameplate.RatedChargeVoltage": kind.cells_in_series * limits.max_v,
        "Nameplate.RatedEnergy": kind.rated_energy_wh,
        "Configuration.CellsInParallel": kind.cells_in_parallel,
        "Configuration.CellsInSeries": kind.cells_in_series,
        "Configuration.ModuleCount": kind.modules,
        "Configuration.ProbeCount": kind.modules * kind.probes_per_module,
    }
    return {(element, path): value for path, value in values.items()}


def group_constants(element: str, scope: str, names: RackNames, rack_count: int) -> dict[tuple[str, str], Constant]:
    """Nameplate of an array or the system."""
    values: dict[str, Constant] = {
        "Nameplate.BatteryType": int(BatteryType.LITHIUM_ION),
        "Nameplate.RatedChargePower": names[f"{scope}.rated_charge_power_w"],
        "Nameplate.RatedDischargePower": names[f"{scope}.rated_discharge_power_w"],
        "Nameplate.RatedEnergy": names[f"{scope}.rated_energy_wh"],
    }
    if scope == "array":
        values |= {"Nameplate.RatedCapacity": names["array.rated_capacity_ah"], "State.RackCount": rack_count}
    return {(element, path): value for path, value in values.items()}


def override(file: SiteFile, names: RackNames) -> RackNames:
    """System names with the ratings that the site file states."""
    stated = {
        "system.rated_charge_power_w": file.site.rated_charge_power_w,
        "system.rated_discharge_power_w": file.site.rated_discharge_power_w,
        "system.grid_voltage_v": file.site.grid_voltage_v,
    }
    return names | {name: value for name, value in stated.items() if value is not None}
