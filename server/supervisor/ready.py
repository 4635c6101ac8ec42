"""`ready.json` in the data directory: written when every face serves, removed at stop. No secrets.

Keys: `version`, `opcua.endpoint`, `pids` (role -> pid, the supervisor among them); a face that is off is absent.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from server import __version__

NAME = "ready.json"


def serving_path(run: Path, face: str) -> Path:
    """Where a face tells the supervisor its endpoint."""
    return run / f"serving-{face}.json"


def tell_serving(run: Path, face: str, facts: Mapping[str, object]) -> None:
    """A face serves: its endpoint, as it will stand in ready.json."""
    _write(serving_path(run, face), facts)


def served_port(run: Path, face: str) -> int:
    """Port that a face has served on since the program started; 0 where it has not yet."""
    try:
        return int(json.loads(serving_path(run, face).read_text())["port"])
    except (FileNotFoundError, KeyError, ValueError):
        return 0


def write_ready(data: Path, run: Path, faces: list[str], pids: Mapping[str, int]) -> dict[str, object]:
    """Write ready.json and return what stands in it."""
    content: dict[str, object] = {"version": __version__}
    for face in faces:
        content[face] = json.loads(serving_path(run, face).read_text())
    content["pids"] = dict(pids)
    _write(data / NAME, content)
    return content


def remove_ready(data: Path) -> None:
    """The program no longer serves."""
    (data / NAME).unlink(missing_ok=True)


def _write(path: Path, content: Mapping[str, object]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(part, path)
