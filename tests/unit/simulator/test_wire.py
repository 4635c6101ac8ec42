"""Records on the simulated bus: frozen, and refused when they are not whole."""

from pathlib import Path

import numpy as np
import pytest

from adapters.simulator.layout import EXTENDED
from adapters.simulator.wire import Columns, RecordStream, WireError, check_hello, hello, pack, socket_address

SAMPLE = Path(__file__).parents[2] / "data" / "formats" / "plant-record-1.bin"


def frames(*idents: int) -> Columns:
    count = len(idents)
    data = np.arange(8 * count, dtype=np.uint8).reshape(count, 8)
    return Columns(np.array(idents, np.uint32), data, np.full(count, 8, np.uint8), np.arange(count) + 10**9)


def test_the_frozen_sample_is_what_this_program_writes_and_reads() -> None:
    sample = SAMPLE.read_bytes()
    written = frames(EXTENDED | 0x18F00101, 0x123)
    assert sample == hello() + pack(written)
    read = RecordStream().feed(sample)
    for column, expected in zip(read, written, strict=True):
        assert column.tolist() == expected.tolist()


def test_records_may_arrive_in_pieces_of_any_size() -> None:
    content = hello() + pack(frames(*range(100)))
    for size in (1, 7, 24, 25, 1000):
        stream = RecordStream()
        idents = [
            ident for at in range(0, len(content), size) for ident in stream.feed(content[at : at + size]).ids.tolist()
        ]
        assert idents == list(range(100))


@pytest.mark.parametrize(("place", "value"), [(5, 0), (5, 1), (5, 3), (4, 9), (6, 1), (7, 1)], ids=str)
def test_a_byte_that_no_record_has_ends_the_connection(place: int, value: int) -> None:
    record = bytearray(pack(frames(1)))
    record[place] = value
    stream = RecordStream()
    stream.feed(hello())
    with pytest.raises(WireError):
        stream.feed(bytes(record))


def test_random_bytes_raise_nothing_but_the_wire_error() -> None:
    rng = np.random.default_rng(3)
    for size in rng.integers(24, 500, 300).tolist():
        with pytest.raises(WireError):
            RecordStream().feed(rng.integers(0, 256, size, np.uint8).tobytes())


def test_another_version_is_named() -> None:
    with pytest.raises(WireError, match="version 7"):
        check_hello(hello()[:-1] + b"\x07")


def test_a_path_longer_than_a_socket_address_is_reached_through_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with socket_address(folder / "bus.sock") as address:
        assert len(address) < 108
        Path(address).write_text("here")
    assert (folder / "bus.sock").read_text() == "here"
    with socket_address(Path("/run/short.sock")) as address:
        assert address == "/run/short.sock"
