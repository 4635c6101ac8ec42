"""`gridbms points`: the point list of a site."""

from enum import Enum
from pathlib import Path

import typer

from information_model.exports import as_csv, as_markdown
from server.config.examples import demo_site
from server.config.site import load_site


class Format(Enum):
    """Form of the list."""

    CSV = "csv"
    MARKDOWN = "md"


def points(
    site: Path = typer.Argument(
        default_factory=demo_site, show_default="the demonstration plant", help="Site file (TOML)."
    ),
    form: Format = typer.Option(Format.CSV, "--format", help="csv or md."),
) -> None:
    """Print every point of a site: id, type, unit, range, history and references."""
    found = load_site(site)
    write = as_csv if form is Format.CSV else as_markdown
    typer.echo(write(found.catalogue, found.names, found.id), nl=False)
