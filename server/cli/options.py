"""Options that several commands share."""

from pathlib import Path

import typer

DATA = typer.Option(Path(".demo"), "--data", help="Data directory.")
"""By default that of the demonstration plant in the folder where the command is given."""
