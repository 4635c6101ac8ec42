"""Files of another release: told from damaged ones before anything starts, and never written over.

Every binary format begins with a magic and a version; what follows may be different in another version, so that its
check sums mean nothing here.
"""

from pathlib import Path


class WrongVersionError(Exception):
    """A file was written by another version of the program; the text says which file and what to do."""


def another_version(path: Path, found: int, read: int, otherwise: str = "") -> str:
    """What to tell of a file of version `found` where this program reads `read`; `otherwise` is one more way out."""
    return (
        f"{path}: written by version {found} of the format, this program reads {read}; "
        f"use the newer program, or another data directory{otherwise}"
    )


def head_of(path: Path, size: int) -> bytes:
    """The first bytes of a file; empty where it is gone or cannot be read, which is for its reader to say."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(size) or b""
    except OSError:
        return b""
