"""The buses of a field process as their adapters want them."""

from dataclasses import replace
from pathlib import Path

from adapters.api import BusSpec, SourceSpec
from adapters.errors import AdapterConfigurationError
from adapters.registry import create_adapter
from information_model.validation import Problem
from server.config.inputs import InputPlan, PlannedSource
from server.config.site import Site


def resolved_options(site: Site, run: Path, bus: str) -> dict[str, object]:
    """Options of a bus with `{run}` and `{site}` replaced by the run directory and the folder of the site file."""
    folder = str(site.path.resolve().parent)
    return {
        key: value.replace("{run}", str(run)).replace("{site}", folder) if isinstance(value, str) else value
        for key, value in site.file.buses[bus].options.items()
    }


def sources_of(plan: InputPlan, bus: str) -> tuple[PlannedSource, ...]:
    """The sources of one bus, in the order of the plan."""
    return tuple(planned for planned in plan.sources if planned.source.bus == bus)


def bus_spec(site: Site, run: Path, plan: InputPlan, bus: str) -> BusSpec:
    """One bus of a plan."""
    sources = tuple(
        SourceSpec(planned.source.element, planned.source.node, planned.source.map, planned.first_slot)
        for planned in sources_of(plan, bus)
    )
    return BusSpec(bus, site.file.buses[bus].adapter, resolved_options(site, run, bus), sources)


def check_buses(site: Site, run: Path = Path("/run")) -> list[Problem]:
    """Every mistake that the adapters of the site find in their options, maps and databases; nothing is opened."""
    found: list[Problem] = []
    for plan in site.inputs:
        for bus in plan.buses:
            try:
                create_adapter(bus_spec(site, run, plan, bus))
            except AdapterConfigurationError as error:
                found += [replace(row, key=f"buses.{bus}: {row.key}") for row in error.problems]
    return found
