"""Chunks and tails of older releases are read by this program."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from server.store.chunk import Chunk, DamagedChunkError, check_sum
from server.store.tail import TailReader

SAMPLES = Path(__file__).parents[2] / "data" / "formats"
TIME_NS = 1_700_000_000_000_000_000


def test_a_chunk_of_version_1_is_read() -> None:
    blob = (SAMPLES / "chunk-v1.bin").read_bytes()
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
    blob = (SAMPLES / "chunk-v1.bin").read_bytes()
    assert blob[:8] == b"GBCHUNK\x01"
    assert np.frombuffer(blob, "<u4", 2, 8).tolist() == [3, 2]
    assert np.frombuffer(blob, "<u4", 3, 16).tolist() == [7, 3, 0]
    assert np.frombuffer(blob, "<f8", 1, 28).tolist() == [0.001]
    assert blob[36] == 11
    assert np.frombuffer(blob, "<u4", 1, 16 + 3 * 36).tolist() == [3]


def test_a_chunk_of_a_newer_version_is_refused() -> None:
    blob = bytearray((SAMPLES / "chunk-v1.bin").read_bytes())
    blob[7] = 2
    with pytest.raises(DamagedChunkError, match="version 1"):
        Chunk(bytes(blob))


def test_a_tail_of_version_1_is_read(tmp_path) -> None:
    shutil.copy(SAMPLES / "tail-v1.bin", tmp_path / "1s-1.tail")
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
    content = bytearray((SAMPLES / "tail-v1.bin").read_bytes())
    content[6] = 2
    (tmp_path / "1s-1.tail").write_bytes(content)
    with pytest.raises(ValueError, match="no tail of version 1"):
        list(TailReader(tmp_path / "1s-1.tail").moments())


def test_every_shorter_tail_gives_the_moments_that_are_whole(tmp_path) -> None:
    content = (SAMPLES / "tail-v1.bin").read_bytes()
    path, counts = tmp_path / "1s-1.tail", []
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        reader = TailReader(path)
        counts.append(len(list(reader.moments())))
        assert reader.damaged == 0
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 2)
