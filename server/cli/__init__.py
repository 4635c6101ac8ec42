"""The command line. What a command refuses is one clear line and an exit code of `server.exit_codes`."""

import sys

import typer

from adapters.errors import AdapterError
from information_model.validation import InvalidConfiguration
from server import __version__
from server.cli import certs, check, points, replay, run, simulate, users
from server.exit_codes import ExitCode
from server.pki.files import UnsafeFileError
from server.runtime.rundir import DataDirectoryLockedError, RunDirectoryError
from server.runtime.versions import WrongVersionError
from server.users import UsersError

REFUSALS = (
    AdapterError,
    DataDirectoryLockedError,
    RunDirectoryError,
    UnsafeFileError,
    UsersError,
    WrongVersionError,
    OSError,
)
"""What a command cannot mend: files, folders and captures that are not what they should be. Their text says it all."""

app = typer.Typer(
    help="Battery management server for grid storage, served over OPC UA.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(run.demo)
app.command("run")(run.run)
app.command("simulate")(simulate.simulate)
app.command("replay")(replay.replay)
app.command("check")(check.check)
app.command("points")(points.points)
app.add_typer(users.app, name="users")
app.add_typer(certs.app, name="certs")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gridbms {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of all commands."""


def main() -> None:
    """The command that was given; `server.__main__` is the entry point."""
    try:
        app()
    except InvalidConfiguration as error:
        print(error, file=sys.stderr)
        sys.exit(ExitCode.CONFIGURATION)
    except REFUSALS as error:
        print(f"gridbms: {error}", file=sys.stderr)
        sys.exit(ExitCode.CANNOT_START)
