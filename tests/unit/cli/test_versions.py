"""A data directory of another release is refused before anything starts; a damaged one is not taken for such."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from server.cli.versions import check_run_versions, check_versions
from server.runtime.segment import header, name_of
from server.runtime.state import encode_state, write_state
from server.runtime.versions import WrongVersionError
from server.store.database import open_for_writing


def state(path: Path) -> None:
    content = bytearray(encode_state(b"{}", 1, 1))
    content[8] = 2
    path.write_bytes(content)


def segment(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(header(1, 4 << 20).replace(b"GBELOG01", b"GBELOG02"))


def database(path: Path) -> None:
    connection = open_for_writing(path, path.stem, synchronous="NORMAL")
    connection.execute("PRAGMA user_version=2")
    connection.close()


def tail(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"GBTAIL\x02\x00" + bytes(100))


NEWER: dict[str, Callable[[Path], None]] = {
    "state.bin": state,
    "state.bin.old": state,
    "log/" + name_of(1): segment,
    "archive.db": database,
    "journal.db": database,
    "tail/1s-00000000000000000001.tail": tail,
}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", NEWER)
def test_a_file_of_a_newer_version_is_refused_with_what_to_do_and_stays_as_it_is(tmp_path, name) -> None:
    NEWER[name](tmp_path / name)
    before = files(tmp_path)
    with pytest.raises(WrongVersionError) as refused:
        check_versions(tmp_path)
    said = str(refused.value)
    assert said.startswith(
        f"{tmp_path / name}: written by version 2 of the format, this program reads 1; use the newer"
    )
    assert ("or move it away" in said) == name.startswith("state.bin")
    assert files(tmp_path) == before


def test_all_of_them_are_named_at_once(tmp_path) -> None:
    for name, make in NEWER.items():
        make(tmp_path / name)
    with pytest.raises(WrongVersionError) as refused:
        check_versions(tmp_path)
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == [str(tmp_path / n) for n in NEWER]


def test_a_database_whose_newer_version_stands_in_its_log_only_is_refused(tmp_path) -> None:
    open_for_writing(tmp_path / "archive.db", "archive", synchronous="NORMAL").close()
    writer = sqlite3.connect(tmp_path / "archive.db", isolation_level=None)
    writer.execute("PRAGMA user_version=3")
    with pytest.raises(WrongVersionError, match=r"archive.db: written by version 3"):
        check_versions(tmp_path)
    writer.close()


def test_a_log_that_a_newer_program_left_in_the_run_directory_is_refused(tmp_path) -> None:
    check_run_versions(tmp_path)
    segment(tmp_path / "log" / name_of(1))
    with pytest.raises(WrongVersionError, match="written by version 2"):
        check_run_versions(tmp_path)


def test_a_new_data_directory_and_one_of_this_version_are_accepted(tmp_path) -> None:
    check_versions(tmp_path)
    write_state(tmp_path, b"{}", 1, 1)
    write_state(tmp_path, b"{}", 2, 1)
    for kind in ("archive", "journal"):
        open_for_writing(tmp_path / f"{kind}.db", kind, synchronous="NORMAL").close()
    before = files(tmp_path)
    check_versions(tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"GB", b"\xff" * 9000, b"GBSTATE1\x01\x00\x00\x80" + bytes(50), b"GBELOGxx"])
def test_a_damaged_file_is_not_taken_for_one_of_another_version(tmp_path, content) -> None:
    for name in NEWER:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    check_versions(tmp_path)
