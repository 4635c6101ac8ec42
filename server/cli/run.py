"""`gridbms run` and `gridbms demo`: the whole program, until Ctrl-C."""

import contextlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import typer

from information_model.catalogue import Catalogue
from information_model.points.row import Level
from information_model.roles import Role
from server.cli.check import checked_site
from server.cli.options import DATA
from server.config.examples import demo_site
from server.config.site import Site
from server.exit_codes import ExitCode
from server.logs import configure
from server.pki.files import make_private_folder
from server.runtime.block import Layout, Reader, Unavailable
from server.runtime.rundir import lock, needed_space, require_space, run_directory
from server.supervisor.command_line import StartOptions
from server.supervisor.supervisor import Supervisor, clear_run
from server.users import UserDirectory

DEMO_USERS = (
    ("observer", Role.OBSERVER),
    ("operator", Role.OPERATOR),
    ("engineer", Role.ENGINEER),
    ("admin", Role.SECURITY_ADMIN),
)
STATUS_PERIOD_S = 1.0
PORT = typer.Option(None, "--opcua-port", min=0, max=65535, help="Port of the OPC UA face; 0 picks a free one.")
HOST = typer.Option(None, "--opcua-host", help="Address that the OPC UA face listens on.")
RUN = typer.Option(None, "--run", help="Run directory on a tmpfs; found by itself where not given.")


def run(
    site: Path = typer.Argument(help="Site file (TOML)."),
    data: Path = typer.Option(..., "--data", help="Data directory; made where it does not exist."),
    opcua_port: int | None = PORT,
    opcua_host: str | None = HOST,
    run_dir: Path | None = RUN,
) -> None:
    """Run a site until it is told to stop."""
    found = checked_site(site)
    raise typer.Exit(start(found, site, data, run_dir, opcua_port, opcua_host, print_endpoint))


def demo(
    data: Path = DATA,
    site: Path = typer.Option(
        ...,
        "--site",
        default_factory=demo_site,
        show_default="the demonstration plant",
        help="Site file (TOML) with a simulated plant.",
    ),
    opcua_port: int | None = PORT,
    opcua_host: str | None = HOST,
    run_dir: Path | None = RUN,
) -> None:
    """Run the demonstration plant: simulated racks on a simulated bus, all faces, four users."""
    found = checked_site(site)
    raise typer.Exit(start(found, site, data, run_dir, opcua_port, opcua_host, print_endpoint, demo_users))


def demo_users(data: Path) -> None:
    """Make the demo's users where there are none; the password is that of GRIDBMS_DEMO_PASSWORD, or a new one.

    It is printed at once: nobody could find it out if the start failed afterwards.
    """
    given = os.environ.get("GRIDBMS_DEMO_PASSWORD")
    directory = UserDirectory(data)
    password = "(as printed at the first start)"  # noqa: S105 - no password
    if given is not None or not directory.list():
        password = given or secrets.token_urlsafe(9)
        for name, role in DEMO_USERS:
            directory.add(name, password, [role])
    print(f"users     {', '.join(name for name, _ in DEMO_USERS)}")
    print(f"password  {password}", flush=True)


def print_endpoint(content: dict[str, object]) -> None:
    """Say where clients find the faces."""
    face = content.get("opcua")
    endpoint = f"OPC UA    {face['endpoint']}\n" if isinstance(face, dict) else ""
    tell(f"{endpoint}Ctrl-C stops\n")


def tell(text: str) -> None:
    """Write to standard output. A terminal that was closed stops no plant: what nobody reads then goes nowhere."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def start(
    site: Site,
    site_file: Path,
    data: Path,
    run_dir: Path | None,
    port: int | None,
    host: str | None,
    announce: Callable[[dict[str, object]], None],
    prepare: Callable[[Path], object] = lambda data: UserDirectory(data).list(),
) -> int:
    """Check the directories, then supervise until the end. Returns the exit code; raises what `server.cli` refuses with.

    `prepare` gets the data directory once it is ours; by default it reads the users, because a face could not.
    """
    from server.cli.versions import check_run_versions, check_versions  # the other commands start faster without it

    configure("supervisor")
    make_private_folder(data)
    with lock(data):
        check_versions(data)
        run = run_directory(data, run_dir)
        check_run_versions(run)  # outside of what clears the run directory: records may be there that no disk has
        try:
            try:
                require_space(run, needed_space(Layout(site.catalogue.columns()).size))
                options = StartOptions(
                    site_file.resolve(), run, data.resolve(), port, host, simulate=site.file.simulator is not None
                )
                prepare(data)
                supervisor = Supervisor(site, options, announce, StatusLine(site, run).turn)
            except Exception:
                clear_run(run)
                raise
            return supervisor.run()
        except KeyboardInterrupt:  # while it runs, the supervisor takes signals itself: nothing runs yet, or no more
            clear_run(run)
            return ExitCode.STOPPED


class StatusLine:
    """One line about the plant, renewed in place on a terminal; nothing where the output is no terminal."""

    def __init__(self, site: Site, run: Path) -> None:
        self._catalogue: Catalogue = site.catalogue
        columns = {name: length for name, _, length in site.catalogue.columns()}
        self._reader = Reader(run / "image", Layout(site.catalogue.columns()))
        self._value = np.zeros(columns["value"])
        self._due = 0.0
        self._terminal = sys.stdout.isatty()

    def turn(self) -> None:
        """Renew the line once a second."""
        now = time.monotonic()
        if not self._terminal or now < self._due:
            return
        self._due = now + STATUS_PERIOD_S
        with contextlib.suppress(Unavailable):
            self._reader.read({"value": self._value})
            width = shutil.get_terminal_size().columns
            # The cursor goes back to the start: a line of the log then replaces the status instead of following it.
            tell("\r" + self.text()[: width - 1].ljust(width - 1) + "\r")

    def text(self) -> str:
        """The line."""
        parts = []
        for label, path, scale, digits, unit in (
            ("SOC", "Measurements.StateOfCharge", 1, 1, "%"),
            ("power", "Measurements.DcActivePower", 1e-3, 1, "kW"),
            ("racks closed", "State.ConnectedRackCount", 1, 0, ""),
            ("warnings", "Alarms.ActiveWarningCount", 1, 0, ""),
            ("limits", "Alarms.ActiveLimitCount", 1, 0, ""),
            ("trips", "Alarms.ActiveTripCount", 1, 0, ""),
        ):
            if self._catalogue.has(Level.SYSTEM, path):
                value = self._value[self._catalogue.slots(Level.SYSTEM, path)][0] * scale
                parts.append(f"{label} {value:.{digits}f} {unit}".rstrip())
        return "  ".join(parts)
