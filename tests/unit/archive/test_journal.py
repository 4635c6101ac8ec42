"""Journal and audit: every durable record of the event log, once, whatever fails in between."""

import sqlite3

import pytest

from server.archive.journal import JournalWriter
from server.runtime.eventlog import Log
from server.runtime.logpage import log_folder
from server.runtime.mirror import Mirror
from server.runtime.records import AuditRecord, NoteRecord, RecordKind, encode
from server.runtime.segment import PAGE, segments
from server.runtime.state import write_state
from server.store.database import WrongVersionError


class Kit:
    """A real log with its mirror, and the journal behind it."""

    def __init__(self, folder) -> None:
        self.run, self.data = folder / "run", folder / "data"
        self.run.mkdir()
        self.data.mkdir()
        self.begin()
        self.journal = JournalWriter(self.run, self.data)

    def begin(self) -> None:
        self.log = Log(self.run, self.data, segment_size=4 * PAGE)
        self.mirror = Mirror(self.run, self.data)

    def note(self, count: int, durable: bool = True) -> None:
        for _ in range(count):
            content = NoteRecord("operator", f"text {self.log.next}", "ESS.ARR01")
            self.log.append(RecordKind.NOTE, encode(RecordKind.NOTE, content), 1, self.log.next)
            self.log.prepare()
            if durable:
                self.mirror.step()

    def rows(self, query: str = "SELECT number, utc_ns, element, payload FROM journal ORDER BY number") -> list[tuple]:
        with sqlite3.connect(self.data / "journal.db") as database:
            return database.execute(query).fetchall()

    def numbers(self) -> list[int]:
        return [row[0] for row in self.rows()]

    def copy(self) -> None:
        while self.journal.copy():
            pass


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


def test_durable_records_are_copied_and_others_wait(kit) -> None:
    kit.note(3)
    kit.note(2, durable=False)
    kit.copy()
    assert kit.rows()[0] == (1, 1, "ESS.ARR01", '{"user":"operator","text":"text 1","element":"ESS.ARR01"}')
    assert kit.numbers() == [1, 2, 3]
    kit.mirror.step()
    kit.copy()
    assert kit.numbers() == [1, 2, 3, 4, 5]
    assert kit.journal.number == 5


def test_audit_entries_have_a_view_of_their_own(kit) -> None:
    kit.log.append(RecordKind.AUDIT, encode(RecordKind.AUDIT, AuditRecord("opcua", "ActivateSession", "eve")), 1, 77)
    kit.note(1)
    kit.copy()
    assert [(number, utc) for number, utc, _ in kit.rows("SELECT * FROM audit")] == [(1, 77)]


def test_a_record_of_an_unknown_kind_is_kept_as_it_is(kit) -> None:
    kit.log.append(200, b"\xff{", 1, 1)
    kit.note(1)
    kit.copy()
    assert kit.rows()[0] == (1, 1, "", "�{")
    kit.journal.scrub()
    assert kit.journal.damaged == 0


def test_a_failed_commit_leaves_no_record_out(kit, monkeypatch) -> None:
    kit.note(5)
    kit.copy()
    kit.note(5)
    with sqlite3.connect(kit.data / "journal.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        kit.journal._database.execute("PRAGMA busy_timeout=10")
        with pytest.raises(sqlite3.OperationalError):
            kit.journal.copy()
        other.execute("ROLLBACK")
    kit.note(2)
    kit.copy()
    assert kit.numbers() == list(range(1, 13))


def test_a_restart_goes_on_behind_the_last_record(kit) -> None:
    kit.note(4)
    kit.copy()
    kit.journal.close()
    kit.note(4)
    kit.journal = JournalWriter(kit.run, kit.data)
    kit.copy()
    assert kit.numbers() == list(range(1, 9))


def test_records_that_are_gone_are_told_and_counted(kit, caplog) -> None:
    kit.note(400)
    folder = log_folder(kit.data)
    firsts = segments(folder)
    assert len(firsts) == 4
    for path in log_folder(kit.run).glob("*.seg"):
        if int(path.stem) < firsts[-2]:
            path.unlink(missing_ok=True)
    (folder / f"{firsts[1]:020}.seg").unlink()
    kit.copy()
    assert kit.numbers() == [*range(1, firsts[1]), *range(firsts[2], 401)]
    assert kit.journal.damaged == 1
    assert f"records {firsts[1]} to {firsts[2] - 1}" in caplog.text


def test_a_log_that_counts_anew_gets_a_journal_of_its_own(kit, caplog) -> None:
    kit.note(10)
    kit.copy()
    kit.journal.close()
    kit.log.close()
    for path in [*log_folder(kit.data).iterdir(), *log_folder(kit.run).glob("*")]:
        path.unlink()
    kit.begin()
    kit.note(3)
    kit.journal = JournalWriter(kit.run, kit.data)
    kit.copy()
    assert kit.numbers() == [1, 2, 3]
    assert kit.journal.damaged == 1
    assert len(list(kit.data.glob("journal.db.damaged-*Z"))) == 1


def test_segments_are_released_only_as_far_as_journal_and_older_state_allow(kit) -> None:
    kit.note(400)
    before = segments(log_folder(kit.data))
    kit.copy()
    assert segments(log_folder(kit.data)) == before
    write_state(kit.data, b"{}", before[1] - 1, 1)
    write_state(kit.data, b"{}", 400, 2)
    kit.journal.close()
    kit.journal = JournalWriter(kit.run, kit.data)
    kit.note(1)
    kit.copy()
    assert segments(log_folder(kit.data))[0] == before[1]
    assert kit.numbers() == list(range(1, 402))


def test_a_damaged_row_is_found_and_counted_once(kit) -> None:
    kit.note(5)
    kit.copy()
    with sqlite3.connect(kit.data / "journal.db") as database:
        database.execute("UPDATE journal SET payload='{}' WHERE number=3")
    kit.journal.scrub()
    kit.journal.scrub()
    assert kit.journal.damaged == 1


def test_a_damaged_journal_is_kept_aside_and_copied_anew_as_far_as_the_log_reaches(kit) -> None:
    kit.note(5)
    kit.copy()
    kit.journal.close()
    (kit.data / "journal.db").write_bytes(b"x" * 5000)
    kit.journal = JournalWriter(kit.run, kit.data)
    kit.copy()
    assert kit.numbers() == [1, 2, 3, 4, 5]


def test_a_journal_of_a_newer_version_is_refused_with_what_to_do(kit) -> None:
    kit.journal.close()
    with sqlite3.connect(kit.data / "journal.db") as database:
        database.execute("PRAGMA user_version=9")
    with pytest.raises(WrongVersionError, match=r"version 9.*this program reads 1.*newer program"):
        JournalWriter(kit.run, kit.data)
