"""Every kind of event record comes back; what this program cannot read is told, never guessed."""

import msgspec
import pytest

from server.runtime.records import (
    TABLE,
    AlarmRecord,
    AnchorRecord,
    CommandRecord,
    NoteRecord,
    Payload,
    RecordKind,
    RecordTooLargeError,
    SettingRecord,
    UnknownRecord,
    decode,
    encode,
    version_of,
)
from server.runtime.segment import Record


def record(kind: int, payload: bytes, version: int = 1) -> Record:
    return Record(5, kind, version, 0, 0, 0, 0, 0, payload)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (
            RecordKind.ALARM,
            AlarmRecord("ESS.ARR01.R001", "CellOverVoltage", 3, "Conditions.CellOverVoltageTrip", True, value=3.7),
        ),
        (
            RecordKind.COMMAND,
            CommandRecord("a-1", 4, "Connect", "ESS.ARR01.R001", {"n": 1.5}, "operator", ["Operator"]),
        ),
        (RecordKind.SETTING, SettingRecord("ESS.Configuration.X", 1.0, None, "engineer")),
        (RecordKind.ANCHOR, AnchorRecord("ESS.ARR01.R001", "rest", 51.0, 49.5, 0.8)),
        (RecordKind.NOTE, NoteRecord("operator", "naïve text, ✓", "ESS")),
    ],
)
def test_a_record_comes_back_equal(kind: RecordKind, content: Payload) -> None:
    assert decode(record(kind, encode(kind, content))) == content


def test_every_kind_has_a_structure_and_a_version() -> None:
    assert set(TABLE) == set(RecordKind)
    assert {version_of(kind) for kind in RecordKind} == {1}


def test_fields_that_were_not_written_take_their_defaults() -> None:
    content = b'{"element":"E","alarm":"A","level":1,"condition":"C","active":true}'
    assert decode(record(3, content)) == AlarmRecord("E", "A", 1, "C", True)


@pytest.mark.parametrize(
    ("kind", "version", "payload", "text"),
    [
        (99, 1, b"{}", "kind 99 is unknown"),
        (7, 2, b"{}", "NOTE of version 2"),
        (7, 1, b'{"user":1}', "NOTE cannot be read"),
        (7, 1, b"\xff", "NOTE cannot be read"),
    ],
)
def test_an_unreadable_record_is_named_with_the_reason(kind: int, version: int, payload: bytes, text: str) -> None:
    with pytest.raises(UnknownRecord, match=f"record 5: .*{text}"):
        decode(record(kind, payload, version))


def test_long_texts_are_cut_so_that_the_record_fits() -> None:
    content = encode(RecordKind.NOTE, NoteRecord("operator", "x" * 10_000))
    assert len(content) <= 4096
    back = decode(record(7, content))
    assert isinstance(back, NoteRecord)
    assert back.text == "x" * 199 + "…"
    assert back.user == "operator"


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(RecordTooLargeError, match=r"COMMAND: .* at most 4096"):
        encode(RecordKind.COMMAND, CommandRecord("a", 1, "Connect", "ESS", {"x": "y" * 5000}))


def test_the_structure_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="record ALARM takes AlarmRecord, given NoteRecord"):
        encode(RecordKind.ALARM, NoteRecord("u", "t"))


def test_the_payload_is_plain_json_for_other_programs() -> None:
    assert msgspec.json.decode(encode(RecordKind.NOTE, NoteRecord("u", "t"))) == {
        "user": "u",
        "text": "t",
        "element": "",
    }
