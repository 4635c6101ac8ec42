"""The buses of a field process as their adapters want them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from adapters.api import BusSpec, SourceSpec
from adapters.errors import AdapterConfigurationError
from adapters.registry import bus_identity, create_adapter
from information_model.device_map import DeviceMap
from information_model.validation import Problem
from server.config.inputs import InputPlan, PlannedSource
from server.config.model import Bus
from server.config.site import Draft, Site

FRAME_ADAPTERS = ("can", "replay")
"""Adapters of the program that decode frames."""


def resolved_options(site: Site, run: Path, bus: str) -> dict[str, object]:
    """Options of a bus with `{run}` and `{site}` replaced by the run directory and the folder of the site file."""
    return _resolved(site.file.buses[bus], site.path, run)


def _resolved(bus: Bus, site_file: Path, run: Path) -> dict[str, object]:
    folder = str(site_file.resolve().parent)
    return {
        key: value.replace("{run}", str(run)).replace("{site}", folder) if isinstance(value, str) else value
        for key, value in bus.options.items()
    }


def sources_of(plan: InputPlan, bus: str) -> tuple[PlannedSource, ...]:
    """The sources of one bus, in the order of the plan."""
    return tuple(planned for planned in plan.sources if planned.rack.bus == bus)


def bus_spec(site: Site, run: Path, plan: InputPlan, bus: str) -> BusSpec:
    """One bus of a plan."""
    sources = tuple(
        SourceSpec(planned.rack.element, planned.rack.node, planned.rack.map, planned.first_slot)
        for planned in sources_of(plan, bus)
    )
    return BusSpec(bus, site.file.buses[bus].adapter, resolved_options(site, run, bus), sources)


def absent_captures(site: Site) -> dict[str, Path]:
    """Captures that are not there now, by bus. No mistake: such a bus waits until it can be read."""
    found = {}
    for name, bus in site.file.buses.items():
        if bus.adapter == "replay" and "{run}" not in str(bus.options["file"]):
            capture = Path(str(resolved_options(site, Path("/run"), name)["file"]))
            if not capture.is_file():
                found[name] = capture
    return found


def check_buses(draft: Draft, run: Path = Path("/run")) -> list[Problem]:
    """Every mistake that adapters find in options, maps and databases; nothing is opened. Wrong buses are left out."""
    specs = [_draft_spec(draft, run, name, bus) for name, bus in draft.sections.buses.items() if bus is not None]
    refusals = [(spec, error) for spec in specs if (error := _refusal(spec)) is not None]
    twice = _same_buses(spec for spec in specs if spec.name not in draft.sections.unclear_buses)
    if not refusals and not draft.mistakes:
        return twice
    # An adapter that has refused an option has not looked at its maps, and a map may have lost all its racks.
    found, misfits = _misfits(draft.maps)
    for spec, error in refusals:
        for cause in (error, _colliding_nodes(spec)):
            if cause is not None and cause.where not in misfits:
                found += _rows(cause, spec.name, unclear=spec.name in draft.sections.unclear_buses)
    return list(dict.fromkeys([*found, *twice]))


def _same_buses(specs: Iterable[BusSpec]) -> list[Problem]:
    """Buses that are one bus under two names: a rack could then be two, and be commanded twice."""
    found: list[Problem] = []
    owners: dict[tuple[str, str], str] = {}
    for spec in specs:
        identity = bus_identity(spec)
        if identity is not None and (owner := owners.setdefault((spec.adapter, identity), spec.name)) != spec.name:
            remedy = (
                f"Buses {owner} and {spec.name} are the same: name one bus in the rows of both, and remove the other."
            )
            found.append(Problem(f"buses.{spec.name}.options", identity, "a bus that no other table names", remedy))
    return found


def _draft_spec(draft: Draft, run: Path, name: str, bus: Bus) -> BusSpec:
    """A bus with those of its sources that are known, their frame ids too."""
    racks = [
        (rack.element, rack.node, rack.map)
        for rack in draft.racks
        if rack.bus == name and rack.node is not None and rack.map is not None and rack.map.node_offset >= 0
    ]
    first = accumulate((device.slot_count for _, _, device in racks), initial=0)
    sources = tuple(SourceSpec(*rack, first_slot) for rack, first_slot in zip(racks, first, strict=False))
    return BusSpec(name, bus.adapter, _resolved(bus, draft.path, run), sources)


def _refusal(spec: BusSpec) -> AdapterConfigurationError | None:
    try:
        create_adapter(spec)
    except AdapterConfigurationError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever a plug-in raises is one more mistake, not the end of the check
        expected = "an adapter that can be made from these options and maps"
        row = Problem("adapter", repr(spec.adapter), expected, f"It failed with {error!r}.")
        return AdapterConfigurationError(f"bus {spec.name}", [row])
    return None


def _misfits(maps: Mapping[str, DeviceMap]) -> tuple[list[Problem], set[str]]:
    """What in the maps does not fit their databases, and how adapters call the maps of which this is said."""
    from adapters.can.database import bind  # only a wrong file needs it here

    found: list[Problem] = []
    misfits: set[str] = set()
    for name, device in maps.items():
        if not device.dbc:  # has been told
            misfits.add(f"device map {device.name}")
            continue
        try:
            bind(device)
        except AdapterConfigurationError as error:
            found += [replace(row, key=f"map {name}: {row.key}") for row in error.problems]
            misfits.add(error.where)
    return found, misfits


def _colliding_nodes(spec: BusSpec) -> AdapterConfigurationError | None:
    """What an adapter has to say about the nodes of its racks, whatever else has kept it from saying so."""
    from adapters.can.tables import DecodeTables  # only a wrong file needs it here

    if spec.adapter in FRAME_ADAPTERS:
        try:
            DecodeTables(spec.sources)
        except AdapterConfigurationError as error:
            return error
    return None


def _rows(error: AdapterConfigurationError, bus: str, *, unclear: bool) -> list[Problem]:
    """The rows of a refusal under keys of the site file; without its options where those are `unclear`."""
    found = []
    for row in error.problems:
        is_option = row.key.startswith("options.")
        if is_option and unclear:
            continue
        separator = "." if is_option or row.key == "adapter" else ": "
        found.append(replace(row, key=f"buses.{bus}{separator}{row.key}"))
    return found
