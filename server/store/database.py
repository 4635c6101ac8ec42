"""Opening the databases: schema by numbered migrations, read-only access, and what is done with a damaged file."""

import logging
import os
import sqlite3
import time
from importlib.resources import files
from pathlib import Path

from server.runtime.versions import WrongVersionError as WrongVersionError
from server.runtime.versions import another_version

log = logging.getLogger("gridbms.store")

ARCHIVE, JOURNAL = "archive.db", "journal.db"
VERSION = 1
CHECK_LIMIT_BYTES = 1 << 30
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def open_for_writing(path: Path, kind: str, *, synchronous: str) -> sqlite3.Connection:
    """The database of `kind` ("archive", "journal"), made where it is absent.

    A damaged file is renamed aside and a new one begun: history is worth less than a program that runs. Raises
    WrongVersionError for a file of another version, sqlite3.Error for one that is out of reach.
    """
    if path.exists() and not _sound(path):
        set_aside(path)
    connection = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
    os.chmod(path, 0o600)
    connection.execute("PRAGMA page_size=8192")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA journal_size_limit=67108864")
    _migrate(connection, path, kind)
    return connection


def _migrate(connection: sqlite3.Connection, path: Path, kind: str) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise WrongVersionError(another_version(path, found, VERSION))
    for number in range(found + 1, VERSION + 1):
        script = files("server.store").joinpath("migrations", f"{kind}-{number:04}.sql").read_text()
        connection.executescript(f"BEGIN; {script} PRAGMA user_version={number}; COMMIT;")


def databases_of_another_version(data: Path) -> list[str]:
    """What to tell of databases that a newer program has written; nothing is changed.

    One that is damaged or out of reach is for `open_for_writing`.
    """
    told = []
    for path in (data / ARCHIVE, data / JOURNAL):
        if not path.exists():
            continue
        # A read-only connection makes the companions of the write-ahead log; without them nothing is in them.
        alone = not path.with_name(path.name + "-wal").exists()
        try:
            connection = sqlite3.connect(_uri(path, "mode=ro&immutable=1" if alone else "mode=ro"), uri=True)
            try:
                found = connection.execute("PRAGMA user_version").fetchone()[0]
            finally:
                connection.close()
        except sqlite3.Error:
            continue
        if found > VERSION:
            told.append(another_version(path, found, VERSION))
    return told


def _uri(path: Path, parameters: str) -> str:
    """A path in which `?`, `#` and `%` are names like others."""
    return f"{path.absolute().as_uri()}?{parameters}"


def is_damage(error: sqlite3.Error) -> bool:
    """True where the file itself is broken; a database that is busy, full or out of reach is not."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE


def damaged_files(data: Path) -> int:
    """Damaged files that were kept aside in a data directory and that nobody has taken away yet."""
    return sum(1 for _ in data.glob("*.db.damaged-*Z")) + sum(1 for _ in data.glob("tail/*.damaged"))


def _sound(path: Path) -> bool:
    """A quick look: SQLite finds broken structure; damaged values are found by our own check sums when they are read."""
    try:
        connection = sqlite3.connect(_uri(path, "mode=ro"), uri=True)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if path.stat().st_size <= CHECK_LIMIT_BYTES:
                return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return False
    return True


def set_aside(path: Path) -> Path:
    """Rename a damaged database with its companions; it is never deleted."""
    stamp, target = time.time(), path
    while target.exists():
        target = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(stamp))}")
        stamp += 1
    # The companions first: the file that stands for the damage appears last.
    for suffix in ("-shm", "-wal", ""):
        source = path.with_name(path.name + suffix)
        if source.exists():
            os.replace(source, target.with_name(target.name + suffix))
    log.error("%s is damaged: kept as %s, a new one is begun", path, target)
    return target


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A read-only connection; FileNotFoundError where the database does not exist yet."""
    if not path.exists():
        raise FileNotFoundError(path)
    connection = sqlite3.connect(
        _uri(path, "mode=ro"), uri=True, isolation_level=None, timeout=2, check_same_thread=False
    )
    connection.execute("PRAGMA query_only=1")
    return connection
