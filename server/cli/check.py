"""`gridbms check`: the whole site file at once, without starting anything."""

from pathlib import Path

import typer

from information_model.alarms import TABLE as ALARMS
from information_model.commands import TABLE as COMMANDS
from information_model.points.row import Level
from information_model.validation import InvalidConfiguration
from server.config.site import Site, build_site, read_draft
from server.field.buses import absent_captures, check_buses
from server.field.plant import check_plant


def check(site: Path = typer.Argument(help="Site file (TOML).")) -> None:
    """Check a site file and say what follows from it."""
    print(report(checked_site(site)))


def checked_site(path: Path) -> Site:
    """Site of a file that its adapters and the plant can use; raises InvalidConfiguration with all mistakes at once."""
    draft = read_draft(path)
    mistakes = [*draft.mistakes, *check_buses(draft), *check_plant(draft)]
    if mistakes:
        raise InvalidConfiguration(str(path), mistakes)
    return build_site(draft)


def report(site: Site) -> str:
    """What the site has, what it lacks, and which thresholds the site file overrides."""
    topology, catalogue = site.topology, site.catalogue
    cells = int(topology.cell_start[-1])
    lines = [
        f"{site.path}: good",
        f"site {site.id}: {topology.count(Level.ARRAY)} arrays, {topology.count(Level.RACK)} racks, {cells} cells",
        f"points: {sum(1 for _ in catalogue.points())}, alarms: {len(catalogue.alarms)} kinds",
    ]
    for plan in site.inputs:
        lines.append(f"field process {plan.process}: buses {', '.join(plan.buses)}; {len(plan.sources)} racks")
    absent = sorted(
        {
            f"{level.name.lower()}:{name}"
            for command in COMMANDS
            for level, names in command.permissives.items()
            for name in names
            if not catalogue.has(level, f"Permissives.{name}")
        }
    )
    if absent:
        lines.append(f"permissives without an input here, not required: {', '.join(absent)}")
    present = {alarm.name for alarm in catalogue.alarms}
    silent = sorted({alarm.name for alarm in ALARMS} - present)
    if silent:
        lines.append(f"alarms whose source nothing produces here: {', '.join(silent)}")
    for scope, values in site.file.thresholds.items():
        for name, value in values.items():
            lines.append(f"threshold {scope}.{name} = {value:g} (site file wins over the table)")
    if site.file.opcua.security_none:
        lines.append("warning: opcua.security_none offers sessions without encryption")
    for bus, capture in absent_captures(site).items():
        lines.append(f"warning: bus {bus} has nothing to replay, its racks stay bad: there is no file {capture}")
    return "\n".join(lines)
