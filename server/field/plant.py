"""The simulated plant of a site: which racks it has and on which sockets it serves them."""

from dataclasses import replace
from pathlib import Path

from adapters.simulator.control import SOCKET_NAME
from adapters.simulator.description import PlantDescription, RackDescription
from adapters.simulator.faults import Fault, load_faults
from adapters.simulator.process import run_plant
from information_model.validation import InvalidConfiguration, Problem
from server.config.model import SimulatorSection
from server.config.site import Site
from server.field.buses import resolved_options
from server.runtime.parent import Beat

INTERFACE = "gridbms-plant"
FOLDER = "plant"
BUS_OPTIONS = ("interface", "channel", "wait_s")


def simulated_buses(site: Site) -> tuple[str, ...]:
    """Buses of the site that the simulated plant serves."""
    return tuple(name for name, bus in site.file.buses.items() if bus.options.get("interface") == INTERFACE)


def plant_description(site: Site) -> PlantDescription:
    """The racks on simulated buses, run as the section `simulator` says. InvalidConfiguration where there is none."""
    section = site.file.simulator or SimulatorSection()
    buses = simulated_buses(site)
    shapes = site.topology.shapes
    racks = tuple(
        RackDescription(
            element=rack.element,
            bus=rack.bus,
            node=rack.node,
            shape=shapes[rack.ordinal],
            capacity_ah=rack.kind.rated_capacity_ah,
            max_charge_a=rack.kind.max_charge_current_a,
            max_discharge_a=rack.kind.max_discharge_current_a,
            chemistry=rack.kind.chemistry,
        )
        for rack in site.racks
        if rack.bus in buses
    )
    try:
        return PlantDescription(
            racks=racks,
            seed=section.seed,
            profile=section.profile,
            start_soc=section.start_soc,
            ambient_degc=section.ambient_degc,
            connected=section.connected,
            name=site.id,
        )
    except ValueError as error:
        row = Problem("simulator", str(error), "racks that can be simulated", "Correct racks and buses.")
        raise InvalidConfiguration(str(site.path), [row]) from error


def plant_sockets(site: Site, run: Path) -> dict[str, Path]:
    """Bus -> socket that its adapter connects to (option `channel`)."""
    return {name: Path(str(resolved_options(site, run, name)["channel"])) for name in simulated_buses(site)}


def check_plant(site: Site) -> list[Problem]:
    """Every mistake of the simulated plant and its buses; nothing is opened."""
    found = []
    for name in simulated_buses(site):
        options = site.file.buses[name].options
        key = f"buses.{name}.options"
        for option in sorted(options.keys() - set(BUS_OPTIONS)):
            row = Problem(f"{key}.{option}", repr(options[option]), f"one of {', '.join(BUS_OPTIONS)}", "Remove it.")
            found.append(row)
        if not isinstance(options.get("channel"), str):
            given = repr(options.get("channel"))
            found.append(Problem(f"{key}.channel", given, "the path of a socket", "For example {run}/plant/bus.sock."))
        if not isinstance(options.get("wait_s", 0), int | float):
            found.append(Problem(f"{key}.wait_s", repr(options["wait_s"]), "seconds", "For example 5.0."))
    if site.file.simulator is not None:
        try:
            plant_faults(site)
        except InvalidConfiguration as error:
            found += [replace(row, key=f"simulator.faults ({error.where}): {row.key}") for row in error.problems]
    return found


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
