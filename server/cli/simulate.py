"""`gridbms simulate`: plant and core without faces, in simulated time; the result is an archive."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import typer

from information_model.validation import InvalidConfiguration, Problem
from server.cli.check import checked_site
from server.config.examples import demo_site
from server.config.site import Site
from server.logs import configure
from server.pki.files import make_private_folder
from server.runtime.block import Layout
from server.runtime.rundir import lock, needed_space, remove_run, require_space, run_directory

PROGRESS_S = 2.0
CONNECT_AFTER_S = 5.0
BACKLOG = 500


def simulate(
    site: Path = typer.Argument(
        default_factory=demo_site,
        show_default="the demonstration plant",
        help="Site file (TOML) with a simulated plant.",
    ),
    data: Path = typer.Option(..., "--data", help="Data directory for archive and journal; must be new."),
    hours: float = typer.Option(24.0, "--hours", min=0.001, help="Simulated time."),
    step: float = typer.Option(0.5, "--step", min=0.05, max=0.9, help="Simulated time between two cycles, in seconds."),
    start: datetime | None = typer.Option(
        None, "--start", help="UTC at which the simulated time begins; now if absent."
    ),
    connect: bool = typer.Option(True, help="Connect the racks at the beginning."),
) -> None:
    """Simulate a site and write what happened into an archive."""
    from server.cli.versions import check_versions  # the other commands start faster without it

    configure("simulate")
    found = checked_site(site)
    if found.file.simulator is None:
        problem = Problem("simulator", "nothing", "a table [simulator]", "Add the table to the site file.")
        raise InvalidConfiguration(str(site), [problem])
    if (data / "archive.db").exists():
        problem = Problem(
            "--data", str(data), "a new data directory", "An archive is never mixed with a simulated one."
        )
        raise InvalidConfiguration("command line", [problem])
    make_private_folder(data)
    begin = datetime.now(UTC) if start is None else start.replace(tzinfo=UTC)
    with lock(data):
        check_versions(data)
        run = run_directory(data)
        try:
            require_space(run, needed_space(Layout(found.catalogue.columns()).size))
            play(found, run, data, int(begin.timestamp()) * 1_000_000_000, hours * 3600, step, connect=connect)
        finally:
            remove_run(run)


def play(site: Site, run: Path, data: Path, start_ns: int, seconds: float, step_s: float, *, connect: bool) -> None:
    """Run the world to its end, or to Ctrl-C; both leave a whole archive."""
    from server.simulation.world import World  # the other commands start faster without it

    world = World(site, run, data, start_utc_ns=start_ns, step_s=step_s)
    began = shown = time.monotonic()
    asked = not connect
    try:
        while (status := world.status()).simulated_s < seconds:
            world.step()
            if not asked and status.simulated_s >= CONNECT_AFTER_S:
                asked = True
                print(f"connect: {world.command('Connect').message}")
            while world.behind > BACKLOG:
                time.sleep(0.01)  # the archive's thread has no event to wait for; it is behind by many moments
            if time.monotonic() - shown >= PROGRESS_S:
                shown = time.monotonic()
                speed = status.simulated_s / (shown - began)
                left = (seconds - status.simulated_s) / max(speed, 1e-9)
                print(
                    f"{status.simulated_s / 3600:7.2f} h of {seconds / 3600:g} h, {speed:.0f} x real time, "
                    f"{left / 60:.1f} min left; SOC {status.state_of_charge:.1f} %, {status.power_w / 1000:.0f} kW, "
                    f"{status.closed_racks} racks closed, {status.warnings} warnings, {status.trips} trips",
                    flush=True,
                )
    except KeyboardInterrupt:
        print("stopped early", file=sys.stderr)
    finally:
        status, samples = world.status(), world.samples_written
        world.close()
    took = time.monotonic() - began
    print(
        f"simulated {status.simulated_s / 3600:.2f} h in {took / 60:.1f} min; {samples} values in {data / 'archive.db'}"
    )
