"""`ready.json` in the data directory: there while every face serves, removed at stop. No secrets.

Keys: `version`, `opcua.endpoint`, `pids` (process -> pid, the supervisor among them); a face that is off is absent, and
so is a process that is being replaced.
"""

import contextlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from server import __version__
from server.runtime.serving import serving_path, write_whole

log = logging.getLogger("gridbms.supervisor")

NAME = "ready.json"


class ReadyFile:
    """Keeps ready.json true: `tell` in each turn, it writes where something has changed."""

    def __init__(self, data: Path, run: Path, faces: Sequence[str]) -> None:
        self._path, self._run, self._faces = data / NAME, run, tuple(faces)
        self._told: dict[str, int] | None = None  # an earlier program that was killed may have left its file
        self._failing = False

    def tell(self, pids: Mapping[str, int]) -> None:
        """The file says that these processes serve; none: there is no file.

        A disk that refuses is no reason to stop a plant: the file that would lie goes, and each turn tries again.
        """
        if self._told == pids:
            return
        try:
            if pids:
                write_whole(self._path, content(self._run, self._faces, pids))
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            if not self._failing:
                log.error("%s does not say how it stands: %s; trying on", self._path, error)
            self._told, self._failing = None, True
            return
        if self._failing:
            log.warning("%s is right again", self._path)
        self._told, self._failing = dict(pids), False


def content(run: Path, faces: Sequence[str], pids: Mapping[str, int]) -> dict[str, object]:
    """What ready.json says; each face has told its part in the run directory. Raises OSError where one has not."""
    served = {face: json.loads(serving_path(run, face).read_text()) for face in faces}
    return {"version": __version__, **served, "pids": dict(pids)}
