"""Opening the databases: made where absent, refused when newer, aside when damaged, and read beside the writer."""

import sqlite3
import subprocess
import sys

import pytest

from server.store.database import WrongVersionError, damaged_files, open_for_reading, open_for_writing


def chunks(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT count(*) FROM chunk").fetchone()[0]


def add(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO chunk VALUES(1,1,1,1,1,1,x'00')")


def test_a_new_database_is_private_versioned_and_strict(tmp_path) -> None:
    path = tmp_path / "archive.db"
    connection = open_for_writing(path, "archive", synchronous="FULL")
    assert path.stat().st_mode & 0o777 == 0o600
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO chunk VALUES('x',1,1,1,1,1,x'00')")


def test_the_schemas_belong_to_the_store_and_need_nothing_of_the_archive(tmp_path) -> None:
    code = (
        "import sys; from pathlib import Path; from server.store.database import open_for_writing\n"
        "for kind in ('archive', 'journal'): open_for_writing(Path(sys.argv[1]) / kind, kind, synchronous='FULL')\n"
        "print([name for name in sys.modules if name.startswith('server.archive')])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_database_that_nobody_has_open_can_be_read(tmp_path) -> None:
    path = tmp_path / "archive.db"
    writer = open_for_writing(path, "archive", synchronous="NORMAL")
    add(writer)
    writer.close()
    assert not (tmp_path / "archive.db-shm").exists()
    reader = open_for_reading(path)
    assert chunks(reader) == 1
    with pytest.raises(sqlite3.OperationalError):
        add(reader)
    reader.close()


def test_a_database_whose_writer_was_killed_is_read_with_its_last_commit(tmp_path) -> None:
    path = tmp_path / "archive.db"
    code = (
        "import os, signal, sys; from pathlib import Path; from server.store.database import open_for_writing\n"
        "c = open_for_writing(Path(sys.argv[1]), 'archive', synchronous='NORMAL')\n"
        "c.execute(\"INSERT INTO chunk VALUES(1,1,1,1,1,1,x'00')\"); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=20)
    (tmp_path / "archive.db-shm").unlink()
    reader = open_for_reading(path)
    assert chunks(reader) == 1
    reader.close()


def test_a_reader_sees_one_state_while_the_writer_goes_on(tmp_path) -> None:
    writer = open_for_writing(tmp_path / "archive.db", "archive", synchronous="NORMAL")
    reader = open_for_reading(tmp_path / "archive.db")
    reader.execute("BEGIN")
    assert chunks(reader) == 0
    add(writer)
    assert chunks(reader) == 0
    reader.execute("COMMIT")
    assert chunks(reader) == 1


def test_a_database_of_a_newer_version_is_refused_with_what_to_do(tmp_path) -> None:
    path = tmp_path / "archive.db"
    writer = open_for_writing(path, "archive", synchronous="NORMAL")
    writer.execute("PRAGMA user_version=2")
    writer.close()
    with pytest.raises(WrongVersionError, match=r"version 2 .* reads 1; use the newer program"):
        open_for_writing(path, "archive", synchronous="NORMAL")
    assert damaged_files(tmp_path) == 0


@pytest.mark.parametrize("folder", ["plant #1", "which?", "100%41"])
def test_a_folder_may_have_any_name(tmp_path, folder) -> None:
    path = tmp_path / folder / "archive.db"
    path.parent.mkdir()
    for _ in range(2):
        writer = open_for_writing(path, "archive", synchronous="NORMAL")
        add(writer)
        writer.close()
    reader = open_for_reading(path)
    assert chunks(reader) == 2
    reader.close()


def test_a_database_that_is_only_out_of_reach_is_never_taken_for_damaged(tmp_path) -> None:
    path = tmp_path / "archive.db"
    path.mkdir()
    with pytest.raises(sqlite3.OperationalError):
        open_for_writing(path, "archive", synchronous="NORMAL")
    assert path.is_dir()


@pytest.mark.parametrize("at", [0, 100, 8192 + 3])
def test_a_damaged_database_is_renamed_with_its_companions_and_a_new_one_begun(tmp_path, at, caplog) -> None:
    path = tmp_path / "archive.db"
    writer = open_for_writing(path, "archive", synchronous="NORMAL")
    for _ in range(500):
        add(writer)
    writer.close()
    content = bytearray(path.read_bytes())
    content[at : at + 16] = b"\xff" * 16
    path.write_bytes(content)
    (tmp_path / "archive.db-wal").write_bytes(b"")
    again = open_for_writing(path, "archive", synchronous="NORMAL")
    assert chunks(again) == 0
    assert damaged_files(tmp_path) == 1
    (kept,) = tmp_path.glob("archive.db.damaged-*Z")
    assert kept.read_bytes() == bytes(content)
    assert str(kept) in caplog.text


def test_two_damaged_databases_in_one_second_are_both_kept(tmp_path) -> None:
    for i in range(3):
        (tmp_path / "journal.db").write_bytes(b"%d" % i * 9000)
        open_for_writing(tmp_path / "journal.db", "journal", synchronous="FULL").close()
    assert damaged_files(tmp_path) == 3
