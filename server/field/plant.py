"""The simulated plant of a site: which racks it has and on which sockets it serves them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adapters.simulator.control import SOCKET_NAME
from adapters.simulator.description import PlantDescription, RackDescription
from adapters.simulator.faults import Fault, FaultFile, load_faults, mistakes
from adapters.simulator.process import run_plant
from information_model.validation import InvalidConfiguration, Problem, closest, read_toml, validate
from server.config.model import Bus, SimulatorSection
from server.config.racks import Rack, known_racks
from server.config.site import Draft, Site
from server.field.buses import resolved_options
from server.runtime.parent import Beat

INTERFACE = "gridbms-plant"
FOLDER = "plant"
BUS_OPTIONS = ("interface", "channel", "wait_s")


def simulated_buses(site: Site) -> tuple[str, ...]:
    """Buses of the site that the simulated plant serves."""
    return tuple(name for name, bus in site.file.buses.items() if _is_simulated(bus))


def _is_simulated(bus: Bus) -> bool:
    return bus.options.get("interface") == INTERFACE


def plant_description(site: Site) -> PlantDescription:
    """The racks on simulated buses, run as the section `simulator` says. InvalidConfiguration where there is none."""
    section = site.file.simulator or SimulatorSection()
    buses = simulated_buses(site)
    racks = [_described(rack) for rack in site.racks if rack.bus in buses]
    try:
        return _plant(racks, section, site.id)
    except ValueError as error:
        raise InvalidConfiguration(str(site.path), [_not_simulated(error)]) from error


def _described(rack: Rack) -> RackDescription:
    return RackDescription(
        element=rack.element,
        bus=rack.bus,
        node=rack.node,
        shape=rack.kind.shape,
        capacity_ah=rack.kind.rated_capacity_ah,
        max_charge_a=rack.kind.max_charge_current_a,
        max_discharge_a=rack.kind.max_discharge_current_a,
        chemistry=rack.kind.chemistry,
    )


def _plant(racks: Iterable[RackDescription], section: SimulatorSection, name: str = "") -> PlantDescription:
    return PlantDescription(
        racks=tuple(racks),
        seed=section.seed,
        profile=section.profile,
        start_soc=section.start_soc,
        ambient_degc=section.ambient_degc,
        connected=section.connected,
        name=name,
    )


def _not_simulated(error: ValueError) -> Problem:
    return Problem("simulator", str(error), "racks that can be simulated", "Correct racks and buses.")


def plant_sockets(site: Site, run: Path) -> dict[str, Path]:
    """Bus -> socket that its adapter connects to (option `channel`)."""
    return {name: Path(str(resolved_options(site, run, name)["channel"])) for name in simulated_buses(site)}


def check_plant(draft: Draft) -> list[Problem]:
    """Every mistake of the simulated plant and its buses; nothing is opened. What is wrong otherwise is left out."""
    buses = {name: bus for name, bus in draft.sections.buses.items() if bus is not None and _is_simulated(bus)}
    found = [row for name, bus in buses.items() for row in _wrong_options(f"buses.{name}.options", bus.options)]
    section = draft.sections.simulator
    if section is None:
        return found
    sound: list[RackDescription] = []
    for rack in known_racks(draft.racks):
        if rack.bus in buses:
            try:
                sound += _plant([_described(rack)], section).racks
            except ValueError as error:
                found.append(_not_simulated(error))
    if not sound and not found and draft.knows_all_racks:
        try:
            _plant([], section)
        except ValueError as error:
            found.append(_not_simulated(error))
    if section.faults:
        found += _wrong_faults(draft.path.parent / section.faults, sound, section, draft.knows_all_racks)
    return found


def _wrong_options(key: str, options: Mapping[str, object]) -> list[Problem]:
    found = []
    for option in sorted(options.keys() - set(BUS_OPTIONS)):
        remedy = closest(option, BUS_OPTIONS, "Remove it.")
        found.append(Problem(f"{key}.{option}", repr(options[option]), f"one of {', '.join(BUS_OPTIONS)}", remedy))
    if not isinstance(options.get("channel"), str):
        given = repr(options.get("channel"))
        found.append(Problem(f"{key}.channel", given, "the path of a socket", "For example {run}/plant/bus.sock."))
    wait_s = options.get("wait_s", 0)
    if isinstance(wait_s, bool) or not isinstance(wait_s, int | float):
        found.append(Problem(f"{key}.wait_s", repr(wait_s), "seconds", "For example 5.0."))
    return found


def _wrong_faults(
    path: Path, racks: Sequence[RackDescription], section: SimulatorSection, all_racks: bool
) -> list[Problem]:
    """Mistakes of a file of faults; a rack that it names may be one that is wrong in the site file."""
    try:
        file = validate(FaultFile, read_toml(path), str(path))
    except InvalidConfiguration as error:
        return [replace(row, key=f"simulator.faults ({error.where}): {row.key}") for row in error.problems]
    if not racks:
        return []
    plant = _plant(racks, section)
    return [
        replace(row, key=f"simulator.faults ({path}): fault[{number}].{row.key}")
        for number, fault in enumerate(file.fault, 1)
        for row in mistakes(fault, plant)
        if all_racks or row.key != "rack"
    ]


def plant_faults(site: Site) -> tuple[Fault, ...]:
    """The scripted faults that the site file names. InvalidConfiguration with every mistake."""
    section = site.file.simulator
    if section is None or not section.faults:
        return ()
    return load_faults(site.path.parent / section.faults, plant_description(site))


def control_path(run: Path) -> Path:
    """Socket of `adapters.simulator.control.FaultClient`."""
    return run / FOLDER / SOCKET_NAME


def run_site_plant(site: Site, run: Path, beat: Beat) -> None:
    """The process `plant`: until SIGTERM. Sockets lie in the folder `plant` of the run directory."""
    (run / FOLDER).mkdir(mode=0o700, exist_ok=True)
    run_plant(
        plant_description(site), plant_sockets(site, run), beat, control=control_path(run), faults=plant_faults(site)
    )
