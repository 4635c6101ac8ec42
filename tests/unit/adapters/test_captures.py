"""Captures: what candump and GVRET lines mean, and what becomes of damaged ones."""

import gzip
from pathlib import Path

import pytest

from adapters.can.frame import ERROR, EXTENDED, REMOTE, Frames
from adapters.replay.captures import CaptureError, CaptureReport, read_capture


def read(path: Path, width: int = 8) -> tuple[list[tuple[int, int, bytes]], CaptureReport]:
    """Rows (time ns, id, payload) of a capture, and the report."""
    report = CaptureReport()
    rows = [row for block in read_capture(path, report, width) for row in _rows(block)]
    return rows, report


def _rows(block: Frames) -> list[tuple[int, int, bytes]]:
    payloads = [row[:length].tobytes() for row, length in zip(block.data, block.length, strict=True)]
    return list(zip(block.mono_ns.tolist(), block.ids.tolist(), payloads, strict=True))


def test_candump_lines_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    path.write_text(
        "(1700000000.000001) can0 102#0996D6FF\n"
        "(1700000000.010001) can0 00000102#01 R\n"
        "(1700000000.5) vcan0 7FF#\n"
        "\n"
        "(1700000001.000001) can0 6F2#R8\n"
        "(1700000001.000001) can0 20000004#0004000000000000\n"
        "(1700000001.000001) can0 123##1" + "AB" * 12 + "\n"
    )
    rows, report = read(path, 64)
    assert rows == [
        (0, 0x102, bytes.fromhex("0996D6FF")),
        (10_000_000, 0x102 | EXTENDED, b"\x01"),
        (499_999_000, 0x7FF, b""),
        (1_000_000_000, 0x6F2 | REMOTE, b""),
        (1_000_000_000, 4 | ERROR, bytes.fromhex("0004000000000000")),
        (1_000_000_000, 0x123, b"\xab" * 12),
    ]
    assert (report.frames, report.malformed) == (6, 0)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("direction", [False, True])
def test_gvret_lines_with_and_without_a_direction_plain_and_packed(
    tmp_path: Path, direction: bool, packed: bool
) -> None:
    column, cell = ("Dir,", "Rx,") if direction else ("", "")
    text = (
        f"Time Stamp,ID,Extended,{column}Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
        f"166064000,00000102,false,{cell}0,6,09,96,D6,FF,D6,FF,00,00,\n"
        f"166074500,18FF0102,true,{cell}0,2,01,02,\n"
    )
    path = tmp_path / ("bus.csv.gz" if packed else "bus.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    rows, report = read(path)
    assert rows == [
        (0, 0x102, bytes.fromhex("0996D6FFD6FF")),
        (10_500_000, 0x18FF0102 | EXTENDED, b"\x01\x02"),
    ]
    assert (report.lines, report.frames, report.malformed) == (3, 2, 0)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("a.log", "(1.0) can0 102#01\n", "(1.0) can0 102#0\n"),
        ("a.log", "(1.0) can0 102#01\n", "(1.0) can0 900#01\n"),
        ("a.log", "(1.0) can0 102#01\n", "(1.0) can0 102#010203040506070809\n"),
        ("a.log", "(1.0) can0 102#01\n", "(x) can0 102#01\n"),
        ("a.log", "(1.0) can0 102#01\n", "(1.0) can0 102#\u0663\u0663\n"),
        ("a.log", "(1.0) can0 102#01\n", "\x00\xff garbage\n"),
        ("a.log", "(1.0) can0 102#01\n", "x" * 5000 + "\n"),
        ("a.csv", "1,102,false,0,1,01,\n", "1,102,false,0,2,01\n"),
        ("a.csv", "1,102,false,0,1,01,\n", "1,102,false,0,99,01,\n"),
        ("a.csv", "1,102,false,0,1,01,\n", "1,902,false,0,1,01,\n"),
        ("a.csv", "1,102,false,0,1,01,\n", "1,102,false,0,1,1FF,\n"),
        ("a.csv", "1,102,false,0,1,01,\n", "-1,102,false,0,1,01,\n"),
        ("a.csv", "1,102,false,0,1,01,\n", "99999999999999999999,102,false,0,1,01,\n"),
        ("a.csv", "1,102,false,0,1,01,\n", "1,102\n"),
        ("a.csv", "1,102,false,0,1,01,\n", "Time Stamp,ID,LEN,D1\n"),
    ],
)
def test_a_malformed_line_is_counted_with_its_number_and_the_rest_is_read(
    tmp_path: Path, name: str, good: str, bad: str
) -> None:
    path = tmp_path / name
    path.write_text(good + bad + good, encoding="utf-8")
    rows, report = read(path)
    assert [row[2] for row in rows] == [b"\x01", b"\x01"]
    assert report.malformed == 1
    assert report.examples[0].startswith("line 2: ")


def test_a_truncated_archive_gives_what_came_before(tmp_path: Path) -> None:
    text = "".join(f"({n}.0) can0 102#{n % 256:02X}\n" for n in range(20_000))
    path = tmp_path / "cut.log.gz"
    path.write_bytes(gzip.compress(text.encode())[:-2000])
    rows, report = read(path)
    assert 1000 < len(rows) < 20_000
    assert report.malformed == 1
    assert "the rest cannot be read" in report.examples[0]


def test_the_list_of_malformed_lines_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.log"
    path.write_text("nonsense\n" * 1000)
    rows, report = read(path)
    assert (rows, report.malformed, len(report.examples)) == ([], 1000, 10)


def test_steps_of_the_clock_are_closed_up_across_blocks_and_small_ones_are_kept(tmp_path: Path) -> None:
    times = [100.0, 100.5, 100.4, 50.0, 50.1, 99999.0, 99999.25]
    path = tmp_path / "steps.log"
    path.write_text("".join(f"({time:.6f}) can0 102#00\n" for time in times) * 600)
    rows, report = read(path)
    found = [round(row[0] / 1e9, 6) for row in rows[:8]]
    assert found == [0.0, 0.5, 0.4, 0.4, 0.5, 0.5, 0.75, 0.75]
    assert report.time_steps == 3 * 600 - 1
    assert rows[-1][0] == pytest.approx(600 * 0.75e9)


@pytest.mark.parametrize("name", ["bus.blf", "absent.log", "absent.csv.gz"])
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(CaptureError, match=name):
        read(tmp_path / name)
