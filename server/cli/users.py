"""`gridbms users`: who may connect. A change takes effect on a running server within two seconds."""

import sys
from pathlib import Path

import typer

from information_model.roles import Origin, parse_role
from server.cli.options import DATA
from server.exit_codes import ExitCode
from server.pki.files import make_private_folder
from server.users import UserDirectory, UsersError

app = typer.Typer(help="Users: add, list, remove.", no_args_is_help=True)


def _fail(error: Exception) -> None:
    typer.echo(str(error), err=True)
    raise typer.Exit(ExitCode.CONFIGURATION)


@app.command("add")
def add(
    name: str = typer.Argument(help="User name."),
    role: list[str] = typer.Option(..., "--role", help="Observer, Operator, Engineer, SecurityAdmin; repeatable."),
    origin: str = typer.Option("remote", "--origin", help="remote or station: where the user commands from."),
    data: Path = DATA,
) -> None:
    """Add a user, or give an existing one a new password and roles. The password is asked for, or read from a pipe."""
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    try:
        roles = [parse_role(text) for text in role]
        make_private_folder(data)
        UserDirectory(data).add(name, password, roles, Origin(origin))
    except (UsersError, ValueError) as error:
        _fail(error)
    typer.echo(f"user {name}: {', '.join(r.value for r in roles)}, origin {origin}")


def _existing(data: Path) -> UserDirectory:
    if not data.is_dir():
        _fail(UsersError(f"{data}: no data directory; name that of the program with --data"))
    return UserDirectory(data)


@app.command("list")
def list_users(data: Path = DATA) -> None:
    """List the users with their roles."""
    try:
        for user in _existing(data).list():
            roles = ", ".join(sorted(role.value for role in user.roles))
            typer.echo(f"{user.name}\t{roles}\t{user.origin.value}")
    except UsersError as error:
        _fail(error)


@app.command("remove")
def remove(name: str, data: Path = DATA) -> None:
    """Remove a user; open sessions of the user end."""
    try:
        _existing(data).remove(name)
    except (UsersError, KeyError) as error:
        _fail(error)
    typer.echo(f"user {name} removed")
