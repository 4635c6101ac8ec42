"""Made the frozen samples beside it; they are never made again, because they stand for files of older releases.

Run from the root of the checkout: `python -m tests.data.formats.make`. A sample is named `<format>-<version>` and one
that exists is not overwritten: a new version of a format gets a sample of its own. Databases are kept as the SQL that
makes them again: what is ours of their format is the schema and what the rows say. Site file and device map were
written by hand, the body of the retained state and the records of the simulated bus by programs of their time.
"""

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from information_model.roles import Origin, Role
from server.archive.journal import JournalWriter
from server.runtime.block import Layout, Writer
from server.runtime.eventlog import Log
from server.runtime.logpage import log_folder
from server.runtime.messages import Answer, Request, frame
from server.runtime.mirror import Mirror
from server.runtime.records import AlarmRecord, AuditRecord, NoteRecord, Payload, RecordKind, StartRecord, encode
from server.runtime.segment import PAGE, name_of
from server.runtime.state import encode_state
from server.store.chunk import Column, encode_chunk
from server.store.database import ARCHIVE, JOURNAL
from server.store.tail import SCALAR, MatrixSample, Part, SeriesOfGroup, TailWriter, encode_part
from server.users import User, hash_password, render_users
from tests.unit.archive.archive_kit import BASE, MS, VOLTAGE, Archive, S

HERE = Path(__file__).parent

COLUMNS = [("value", "f8", 3), ("status", "u4", 3), ("cell_flag", "u1", 5)]
EVENTS: list[tuple[RecordKind, Payload]] = [
    (RecordKind.CORE_STARTED, StartRecord("0.1.0", "c0ffee", "beef", unclean=True)),
    (
        RecordKind.ALARM,
        AlarmRecord(
            "ESS.ARR01.R001", "CellOverVoltage", 3, "CellOverVoltageTrip", True, False, True, 3.71, 900, 1, 1012, "över"
        ),
    ),
    (RecordKind.NOTE, NoteRecord("operator", "module exchanged", "ESS.ARR01.R001.M02")),
]
AUDIT: tuple[RecordKind, Payload] = (RecordKind.AUDIT, AuditRecord("opcua", "ActivateSession", "operator"))
REQUEST = Request("opcua-12-1", "command", "ESS.ARR01.R001", "Connect", {"n": 1.5}, "operator", ["Operator"])
ANSWER = Answer("opcua-12-1", "refused", "permissive", "not now", ["NoTripActive"], 42, durable=False)
STATE = (b'{"latches":["ESS.ARR01.R001.CellOverVoltage"]}', 1234, 1_700_000_000_000_000_000)
CHUNK_TIME_NS = 1_700_000_000_000_000_000 + np.array([0, 1_000_000_000, 2_000_000_000])
CHUNK = [
    Column(
        7, 0.001, 11, np.array([1.5, np.nan, -2.25]), np.array([0, 0x80310000, 0x40900000], np.uint32), CHUNK_TIME_NS
    ),
    Column(8, 0.0, 11, np.array([0.1, 1e300, 7.0]), np.zeros(3, np.uint32), CHUNK_TIME_NS),
    Column(9, 0.001, 10, np.array([[3.3, 3.4], [3.5, 3.6]]), np.zeros(2, np.uint32), CHUNK_TIME_NS[:2]),
]
PASSWORD = "correct horse"
POSITION = "ESS.ARR01.R001.Contactors.Positive.Position"
TAIL_GROUPS = [
    SeriesOfGroup("ESS.ARR01.R001/1s", "1s", [("ESS.ARR01.R001.Measurements.DcVoltage", 0.1, 11)], []),
    SeriesOfGroup("ESS.ARR01.R001/10s", "10s", [], [("ESS.ARR01.R001.CellData.CellVoltages", 0.001, 10)]),
]


def block(folder: Path) -> bytes:
    writer = Writer(folder / "block", Layout(COLUMNS), epoch=77)
    for cycle in range(1, 6):
        columns = writer.begin()
        columns["value"][:] = [cycle, cycle / 2, -cycle]
        columns["status"][:] = [0, 0x40000000, 0x80000000]
        columns["cell_flag"][:] = cycle
        writer.publish(cycle, 1000 + cycle, 2000 + cycle, time_epoch=2, log_sequence=90 + cycle)
    return (folder / "block").read_bytes()


def segment(folder: Path, events: Sequence[tuple[RecordKind, Payload]] = tuple(EVENTS)) -> bytes:
    run, data = folder / "run", folder / "data"
    run.mkdir()
    data.mkdir()
    log = Log(run, data, segment_size=4 * PAGE)
    copy = Mirror(run, data)
    for number, (kind, content) in enumerate(events, start=1):
        log.append(kind, encode(kind, content), number * 10, number * 100, time_epoch=2)
        copy.step()
    return (log_folder(data) / name_of(1)).read_bytes()


def journal(folder: Path) -> bytes:
    segment(folder, [*EVENTS, AUDIT])
    writer = JournalWriter(folder / "run", folder / "data")
    writer.close()
    return _sql(folder / "data" / JOURNAL)


def archive(folder: Path) -> bytes:
    kept = Archive(folder)
    for second, (volts, status) in enumerate([(26.4, 0), (26.5, 0), (26.6, 0x80310000)]):
        kept.put(VOLTAGE, volts, BASE + second * S, status)
        kept.put(POSITION, second, BASE + second * S)
        kept.put_cells([3.3, 3.301, 3.302, 3.303, 3.304, 3.305, 3.306, 3.307], BASE + second * S)
        kept.image(BASE + second * S + 10 * MS)
    kept.close_spans()
    kept.stop()
    return _sql(kept.data / ARCHIVE)


def _sql(path: Path) -> bytes:
    database = sqlite3.connect(path)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        return "\n".join([*database.iterdump(), f"PRAGMA user_version={version};\n"]).encode()
    finally:
        database.close()


def users(folder: Path) -> bytes:
    people = (
        User(
            "Zoë",
            frozenset({Role.OPERATOR, Role.ENGINEER}),
            Origin.STATION,
            hash_password(PASSWORD),
            frozenset({"AB" * 20}),
        ),
        User("observer", frozenset({Role.OBSERVER}), Origin.REMOTE, hash_password(PASSWORD)),
    )
    return render_users(people).encode()


def tail(folder: Path) -> bytes:
    writer = TailWriter(folder / "tail", TAIL_GROUPS)
    first = Part(np.array([(0, 26.4, 0, 1_700_000_000_000_000_000)], SCALAR))
    second = Part(np.array([(0, 26.5, 0x80310000, 1_700_000_001_000_000_000)], SCALAR))
    matrix = MatrixSample(0, 0, 1_700_000_000_500_000_000, np.array([3.25, 3.5], np.float32))
    writer.append(1, {0: encode_part(first)})
    writer.append(2, {0: encode_part(second), 1: encode_part(Part(np.zeros(0, SCALAR), (matrix,)))})
    writer.close()
    return (folder / "tail").read_bytes()


SAMPLES: dict[str, Callable[[Path], bytes]] = {
    "block-1.bin": block,
    "log-segment-1.seg": segment,
    "link-request-1.bin": lambda folder: frame(REQUEST),
    "link-answer-1.bin": lambda folder: frame(ANSWER),
    "state-1.bin": lambda folder: encode_state(*STATE),
    "chunk-1.bin": lambda folder: encode_chunk(CHUNK, 1_000_000),
    "tail-1.bin": tail,
    "archive-1.sql": archive,
    "journal-1.sql": journal,
    "users-1.toml": users,
}


def main() -> int:
    for name, make in SAMPLES.items():
        path = HERE / name
        if path.exists():
            print(f"{path}: exists, not overwritten")
            continue
        folder = Path(tempfile.mkdtemp())
        try:
            path.write_bytes(make(folder))
        finally:
            shutil.rmtree(folder)
        print(f"{path}: {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
