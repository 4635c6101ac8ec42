"""Values of constant points that follow from the site file: identification, nameplate, configuration."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from information_model.catalogue import Constant
from information_model.enumerations import BatteryType
from information_model.points.row import Level
from information_model.topology import Topology
from server.config.model import Identity, RackType, SiteFile, numbers
from server.config.names import Names
from server.config.racks import Rack

Constants = dict[tuple[str, str], Constant]
"""(element id, path of the point) -> value."""

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


def site_constants(file: SiteFile, topology: Topology, racks: Sequence[Rack], names: Mapping[str, Names]) -> Constants:
    """Constants of the system, the arrays, the racks and the modules."""
    found = identification("ESS", file.site, {})
    found |= group_constants("ESS", "system", names["ESS"], len(racks))
    found["ESS", "Server.SiteId"] = file.site.id
    for array, element in zip(file.arrays, topology.of_level(Level.ARRAY), strict=True):
        found |= identification(element.name, array, {})
        count = len(topology.children[element.index])
        found |= group_constants(element.name, "array", names[element.name], count)
    rows = (
        (array.number, number, row) for array in file.arrays for row in array.racks for number in numbers(row.numbers)
    )
    for (array_number, number, row), rack in zip(rows, racks, strict=True):
        serial = row.serial_number.replace("{array}", f"{array_number:02}").replace("{rack}", f"{number:03}")
        identity = row.model_copy(update={"serial_number": serial})
        defaults = {"manufacturer": rack.kind.manufacturer, "model": rack.kind.model}
        found |= identification(rack.element, identity, defaults)
        found |= rack_constants(rack.element, rack.kind)
        for module in topology.children[topology.by_name[rack.element].index]:
            found[topology.elements[module].name, "Configuration.CellCount"] = rack.kind.cells_per_module
    return found


def identification(element: str, identity: Identity, defaults: Mapping[str, str]) -> Constants:
    """Constants of the group Identification; dates become UTC nanoseconds, an empty text gives no point."""
    found: Constants = {}
    for point, key in IDENTITY_POINTS.items():
        text = getattr(identity, key) or defaults.get(key, "")
        if text:
            found[element, f"Identification.{point}"] = _date(text) if key.endswith("_date") else text
    return found


def _date(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def rack_constants(element: str, kind: RackType) -> Constants:
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


def group_constants(element: str, scope: str, names: Names, rack_count: int) -> Constants:
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
