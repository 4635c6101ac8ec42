"""Chunks, tails and databases of older releases are read by this program."""

import shutil
import sqlite3
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from server.store.chunk import Chunk, DamagedChunkError, check_sum
from server.store.database import open_for_reading, open_for_writing
from server.store.tail import TailReader
from tests.data.formats import make
from tests.unit.archive.archive_kit import CELLS, VOLTAGE, Archive, S

SAMPLES = Path(__file__).parents[2] / "data" / "formats"
TIME_NS = 1_700_000_000_000_000_000


def test_a_chunk_of_version_1_is_read() -> None:
    blob = (SAMPLES / "chunk-1.bin").read_bytes()
    chunk = Chunk(blob)
    assert chunk.series == [7, 8, 9]
    scalar, counter, matrix = (chunk.read(series) for series in chunk.series)
    assert scalar is not None
    assert counter is not None
    assert matrix is not None
    assert (scalar.time - TIME_NS).tolist() == [0, 1_000_000_000, 2_000_000_000]
    assert scalar.value[[0, 2]].tolist() == [1.5, -2.25]
    assert np.isnan(scalar.value[1])
    assert scalar.status.tolist() == [0, 0x80310000, 0x40900000]
    assert counter.value.tolist() == [0.1, 1e300, 7.0]
    assert counter.status.tolist() == [0, 0, 0]
    assert matrix.value.tolist() == [[3.3, 3.4], [3.5, 3.6]]
    assert (matrix.time - TIME_NS).tolist() == [0, 1_000_000_000]
    assert check_sum(3, 1, TIME_NS, TIME_NS + 2_000_000_000, blob) == 0x507763FD


def test_the_head_of_a_chunk_stands_where_the_documentation_says() -> None:
    blob = (SAMPLES / "chunk-1.bin").read_bytes()
    assert blob[:8] == b"GBCHUNK\x01"
    assert np.frombuffer(blob, "<u4", 2, 8).tolist() == [3, 2]
    assert np.frombuffer(blob, "<u4", 3, 16).tolist() == [7, 3, 0]
    assert np.frombuffer(blob, "<f8", 1, 28).tolist() == [0.001]
    assert blob[36] == 11
    assert np.frombuffer(blob, "<u4", 1, 16 + 3 * 36).tolist() == [3]


def test_a_chunk_of_a_newer_version_is_refused() -> None:
    blob = bytearray((SAMPLES / "chunk-1.bin").read_bytes())
    blob[7] = 2
    with pytest.raises(DamagedChunkError, match="version 1"):
        Chunk(bytes(blob))


def test_a_tail_of_version_1_is_read(tmp_path) -> None:
    shutil.copy(SAMPLES / "tail-1.bin", tmp_path / "1s-1.tail")
    reader = TailReader(tmp_path / "1s-1.tail")
    first, second = reader.moments()
    assert [group.name for group in reader.groups] == ["ESS.ARR01.R001/1s", "ESS.ARR01.R001/10s"]
    assert reader.groups[0].scalars == [("ESS.ARR01.R001.Measurements.DcVoltage", 0.1, 11)]
    assert (first.epoch, second.epoch) == (1, 2)
    assert first.parts[0].scalars.tolist() == [(0, 26.4, 0, TIME_NS)]
    assert second.parts[0].scalars.tolist() == [(0, 26.5, 0x80310000, TIME_NS + 1_000_000_000)]
    (matrix,) = second.parts[1].matrices
    assert (matrix.index, matrix.status, matrix.time) == (0, 0, TIME_NS + 500_000_000)
    assert matrix.value.tolist() == [3.25, 3.5]
    assert reader.damaged == 0


def test_a_tail_of_a_newer_version_is_refused(tmp_path) -> None:
    content = bytearray((SAMPLES / "tail-1.bin").read_bytes())
    content[6] = 2
    (tmp_path / "1s-1.tail").write_bytes(content)
    with pytest.raises(ValueError, match="no tail of version 1"):
        list(TailReader(tmp_path / "1s-1.tail").moments())


def test_every_shorter_tail_gives_the_moments_that_are_whole(tmp_path) -> None:
    content = (SAMPLES / "tail-1.bin").read_bytes()
    path, counts = tmp_path / "1s-1.tail", []
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        reader = TailReader(path)
        counts.append(len(list(reader.moments())))
        assert reader.damaged == 0
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 2)


def restored(name: str, path: Path) -> Path:
    """The database of a sample, as a file."""
    database = sqlite3.connect(path)
    database.executescript((SAMPLES / name).read_text())
    database.close()
    return path


def test_an_archive_of_version_1_is_read_and_gone_on_with(tmp_path) -> None:
    archive = Archive(tmp_path, start=False)
    restored("archive-1.sql", archive.data / "archive.db")
    expected = [(0, 26.4, 0), (S, 26.5, 0), (2 * S, 26.6, 0x80310000)]
    assert archive.read(VOLTAGE) == expected
    assert archive.read(CELLS) == [(0, [3.3, 3.301, 3.302, 3.303, 3.304, 3.305, 3.306, 3.307], 0)]
    assert archive.read(make.POSITION) == [(0, 0.0, 0), (S, 1.0, 0), (2 * S, 2.0, 0)]
    archive.start()
    assert archive.writer.newest()[make.POSITION].value == 2.0
    archive.put(VOLTAGE, 26.7, make.BASE + 3 * S)
    archive.image(make.BASE + 3 * S + 1)
    archive.stop()
    assert archive.read(VOLTAGE) == [*expected, (3 * S, 26.7, 0)]


def test_a_journal_of_version_1_is_read_and_gone_on_with(tmp_path) -> None:
    path = restored("journal-1.sql", tmp_path / "journal.db")
    open_for_writing(path, "journal", synchronous="FULL").close()
    database = open_for_reading(path)
    rows = database.execute("SELECT number, kind, version, utc_ns, mono_ns, epoch, element FROM journal").fetchall()
    assert rows == [
        (1, 1, 1, 100, 10, 2, "ESS"),
        (2, 3, 1, 200, 20, 2, "ESS.ARR01.R001"),
        (3, 7, 1, 300, 30, 2, "ESS.ARR01.R001.M02"),
        (4, 9, 1, 400, 40, 2, ""),
    ]
    for number, payload, found in database.execute("SELECT number, payload, check_sum FROM journal"):
        assert found == crc32(payload.encode(), number)
    (entry,) = database.execute("SELECT * FROM audit").fetchall()
    assert entry[:2] == (4, 400)
    assert '"event":"ActivateSession"' in entry[2]
    database.close()


@pytest.mark.parametrize("kind", ["archive", "journal"])
def test_a_new_database_has_the_schema_of_the_frozen_one(tmp_path, kind) -> None:
    new = open_for_writing(tmp_path / "new.db", kind, synchronous="FULL")
    old = sqlite3.connect(restored(f"{kind}-1.sql", tmp_path / "old.db"))
    schemas = [
        database.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
        for database in (new, old)
    ]
    assert schemas[0] == schemas[1]
    new.close()
    old.close()
