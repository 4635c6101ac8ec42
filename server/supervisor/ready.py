"""`ready.json` in the data directory: written when every face serves, removed at stop. No secrets.

Keys: `version`, `opcua.endpoint`, `pids` (process -> pid, the supervisor among them); a face that is off is absent.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from server import __version__
from server.runtime.serving import serving_path, write_whole

NAME = "ready.json"


def write_ready(data: Path, run: Path, faces: list[str], pids: Mapping[str, int]) -> dict[str, object]:
    """Write ready.json and return what stands in it."""
    content: dict[str, object] = {"version": __version__}
    for face in faces:
        content[face] = json.loads(serving_path(run, face).read_text())
    content["pids"] = dict(pids)
    write_whole(data / NAME, content)
    return content


def remove_ready(data: Path) -> None:
    """The program no longer serves."""
    (data / NAME).unlink(missing_ok=True)
