"""What the documents name is there: files, folders, links, commands."""

import re
from pathlib import Path

import pytest

from server.cli import app

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "certs" / "README.md"])
FOLDERS = "server|information_model|adapters|estimators|tests|docs|examples|certs"
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w./<>-]+)`")
INSTALLED = {"server/examples"}
"""Folders that only an installed program has."""
LINKED = re.compile(r"\]\(([\w./-]+)(?:#[\w-]+)?\)")


def is_there(name: str, folder: Path) -> bool:
    """A path, or a pattern in which `<...>` stands for any part of a name. Some are meant from the document's folder."""
    pattern = re.sub(r"<\w+>", "*", name).rstrip("/")
    return any(any(place.glob(pattern)) for place in (ROOT, folder, ROOT / "server"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_that_a_document_names_exists(path: Path) -> None:
    text = path.read_text()
    assert [name for name in NAMED.findall(text) if name not in INSTALLED and not is_there(name, path.parent)] == []
    assert [name for name in LINKED.findall(text) if not (path.parent / name).exists()] == []


def test_the_readme_lists_every_command() -> None:
    listed = set(re.findall(r"^\| `gridbms (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    commands = {command.name for command in app.registered_commands}
    assert listed == commands | {group.name for group in app.registered_groups}
