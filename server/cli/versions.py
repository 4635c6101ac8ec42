"""Whether this release can read what lies in a data directory: judged before anything starts, all of it at once."""

from pathlib import Path

from server.runtime.logpage import log_folder
from server.runtime.segment import segments_of_another_version
from server.runtime.state import states_of_another_version
from server.runtime.versions import WrongVersionError, another_version, head_of
from server.store import tail
from server.store.database import databases_of_another_version
from server.store.tail_index import TAIL_FOLDER


def check_versions(data: Path) -> None:
    """Refuse a data directory of another release. Nothing in it is changed. What is damaged is for its reader to say.

    `users.toml` and the site file are read before a start anyway and name their versions themselves.

    Raises:
        WrongVersionError: names every file that a newer program has written, and what to do.
    """
    told = [
        *states_of_another_version(data),
        *segments_of_another_version(log_folder(data)),
        *databases_of_another_version(data),
        *_tails_of_another_version(data),
    ]
    if told:
        raise WrongVersionError("\n".join(told))


def check_run_versions(run: Path) -> None:
    """The same for the event log that a program which was killed has left in the run directory."""
    if told := segments_of_another_version(log_folder(run)):
        raise WrongVersionError("\n".join(told))


def _tails_of_another_version(data: Path) -> list[str]:
    told = []
    for path in sorted((data / TAIL_FOLDER).glob("*.tail")):
        head = head_of(path, tail.HEAD_BYTES)
        version = int.from_bytes(head[len(tail.MAGIC) :], "little")
        if head.startswith(tail.MAGIC) and version > tail.VERSION:
            told.append(another_version(path, version, tail.VERSION))
    return told
