"""`gridbms certs`: which client certificates are trusted. Trust takes effect without restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from server.cli.options import DATA
from server.exit_codes import ExitCode

if TYPE_CHECKING:
    from server.pki.trust_store import Listed, TrustFolder

app = typer.Typer(help="Client certificates: list, trust, reject.", no_args_is_help=True)


def _store(data: Path) -> TrustFolder:
    # The other commands start faster without X.509.
    from server.pki.trust_store import TrustFolder

    return TrustFolder(data / "pki")


def _move(step: Callable[[str], Listed], thumbprint: str) -> None:
    from server.pki.trust_store import CertificateNotFoundError

    try:
        typer.echo(_line(step(thumbprint)))
    except CertificateNotFoundError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.CONFIGURATION) from None


def _line(listed: Listed) -> str:
    uris = ", ".join(listed.application_uris)
    return f"{listed.state:9}  {listed.thumbprint}  {listed.common_name}  {uris}  until {listed.not_after}"


@app.command("list")
def list_certificates(data: Path = DATA) -> None:
    """List trusted, issuer and rejected certificates."""
    for listed in _store(data).list():
        typer.echo(_line(listed))


@app.command("trust")
def trust(thumbprint: str = typer.Argument(help="Thumbprint or its beginning."), data: Path = DATA) -> None:
    """Trust a certificate that was rejected."""
    _move(_store(data).trust, thumbprint)


@app.command("reject")
def reject(thumbprint: str = typer.Argument(help="Thumbprint or its beginning."), data: Path = DATA) -> None:
    """Withdraw the trust in a certificate; its sessions end."""
    _move(_store(data).reject, thumbprint)
