"""ready.json says who serves now: whole or not at all, never what was true before, and a disk that fails stops no plant."""

import json
import logging
from pathlib import Path

import pytest

from server.runtime.serving import tell_serving
from server.supervisor.ready import ReadyFile, content

PIDS = {"supervisor": 1, "core": 7, "opcua": 8, "archive": 9}


def said(folder: Path) -> dict | None:
    """Processes in the file; None where there is no file."""
    path = folder / "ready.json"
    return json.loads(path.read_text())["pids"] if path.exists() else None


@pytest.fixture
def file(tmp_path) -> ReadyFile:
    tell_serving(tmp_path, "opcua", {"endpoint": "opc.tcp://127.0.0.1:41234", "port": 41234})
    return ReadyFile(tmp_path, tmp_path, ["opcua"])


def test_it_holds_version_endpoint_and_processes_and_appears_whole(tmp_path, file) -> None:
    file.tell(PIDS)
    found = json.loads((tmp_path / "ready.json").read_text())
    assert found == content(tmp_path, ["opcua"], PIDS)
    assert set(found) == {"version", "opcua", "pids"}
    assert found["opcua"]["port"] == 41234
    assert found["pids"] == PIDS
    assert not list(tmp_path.glob("*.part"))


def test_a_process_that_is_being_replaced_is_not_named(tmp_path, file) -> None:
    file.tell(PIDS)
    left = {role: pid for role, pid in PIDS.items() if role != "archive"}
    file.tell(left)
    assert said(tmp_path) == left
    file.tell(left | {"archive": 10})
    assert said(tmp_path) == PIDS | {"archive": 10}


def test_there_is_no_file_while_nobody_serves(tmp_path, file) -> None:
    file.tell(PIDS)
    file.tell({})
    assert said(tmp_path) is None


def test_the_file_of_a_program_that_was_killed_goes_at_the_next_start(tmp_path, file) -> None:
    (tmp_path / "ready.json").write_text('{"pids": {"core": 99999}}')
    file.tell({})
    assert said(tmp_path) is None


def test_it_is_written_when_something_has_changed_and_only_then(tmp_path, file) -> None:
    file.tell(PIDS)
    before = (tmp_path / "ready.json").stat().st_ino
    file.tell(dict(PIDS))
    assert (tmp_path / "ready.json").stat().st_ino == before


def test_a_disk_that_refuses_is_told_once_and_the_file_that_would_lie_goes(tmp_path, file, caplog) -> None:
    file.tell(PIDS)
    in_the_way = tmp_path / "ready.part"
    in_the_way.mkdir()
    with caplog.at_level(logging.WARNING, "gridbms.supervisor"):
        for _ in range(3):
            file.tell(PIDS | {"archive": 10})
            assert said(tmp_path) is None
        in_the_way.rmdir()
        file.tell(PIDS | {"archive": 10})
    assert said(tmp_path) == PIDS | {"archive": 10}
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert str(tmp_path / "ready.json") in caplog.text
