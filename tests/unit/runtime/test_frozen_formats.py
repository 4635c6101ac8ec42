"""Files of older releases are read by this program; a change of a format needs a version and a migration."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from server.runtime.block import Layout, Reader
from server.runtime.eventlog import recover
from server.runtime.logpage import log_folder
from server.runtime.messages import Answer, Request, decode_answer, decode_request, frame, split
from server.runtime.records import AlarmRecord, NoteRecord, StartRecord, decode
from server.runtime.segment import Record, name_of
from server.runtime.state import RetainedState, decode_state, encode_state
from server.runtime.tail import Tail
from tests.data.formats import make

SAMPLES = Path(__file__).parents[2] / "data" / "formats"


def test_a_block_of_version_1_is_read(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "block-1.bin", tmp_path / "block")
    layout = Layout([("value", "f8", 3), ("status", "u4", 3), ("cell_flag", "u1", 5)])
    reader = Reader(tmp_path / "block", layout)
    into: dict[str, NDArray[Any]] = {n: np.zeros(c, d) for n, d, c in layout.columns}
    assert reader.read(into) == (5, 5, 1005, 2005, 2, 95)
    assert reader.epoch == 77
    assert into["value"].tolist() == [5.0, 2.5, -5.0]
    assert into["status"].tolist() == [0, 0x40000000, 0x80000000]
    assert into["cell_flag"].tolist() == [5] * 5


def test_the_header_page_of_a_block_has_its_bytes_where_the_documentation_says() -> None:
    content = (SAMPLES / "block-1.bin").read_bytes()
    assert content[:8] == b"GBBLOCK1"
    words = np.frombuffer(content, "<u8", 512)
    assert np.frombuffer(content, "<u4", 2, 8).tolist() == [1, 4]
    assert int(words[2]) == len(content) == 4096 + 4 * 4096
    assert (int(words[5]), int(words[7])) == (77, 4096)
    assert (int(words[16]), int(words[24])) == (5, 0)
    slot = 4096 + (5 % 4) * 4096
    assert np.frombuffer(content, "<i8", 6, slot).tolist() == [5, 5, 1005, 2005, 2, 95]
    assert np.frombuffer(content, "<f8", 3, slot + 128).tolist() == [5.0, 2.5, -5.0]
    assert np.frombuffer(content, "<u4", 1, slot + 192 + 4)[0] == 0x40000000


def test_a_log_segment_of_version_1_is_recovered_and_read(tmp_path: Path) -> None:
    run, data = tmp_path / "run", tmp_path / "data"
    run.mkdir()
    log_folder(data).mkdir(parents=True)
    shutil.copy(SAMPLES / "log-segment-1.seg", log_folder(data) / name_of(1))
    assert recover(run, data) == (4, [], 300)
    records = Tail(run, data).poll()
    assert [decode(record) for record in records] == [
        StartRecord("0.1.0", "c0ffee", "beef", unclean=True),
        AlarmRecord(
            element="ESS.ARR01.R001",
            alarm="CellOverVoltage",
            level=3,
            condition="CellOverVoltageTrip",
            active=True,
            acked=False,
            latched=True,
            value=3.71,
            severity=900,
            count=1,
            location=1012,
            text="över",
        ),
        NoteRecord("operator", "module exchanged", "ESS.ARR01.R001.M02"),
    ]
    assert records[1] == Record(2, 3, 1, 0, 2, 20, 200, 1, records[1].payload)


def test_link_messages_of_version_1_are_read_and_written_alike() -> None:
    request = (SAMPLES / "link-request-1.bin").read_bytes()
    answer = (SAMPLES / "link-answer-1.bin").read_bytes()
    assert decode_request(split(bytearray(request))[0]) == Request(
        id="opcua-12-1",
        kind="command",
        target="ESS.ARR01.R001",
        command="Connect",
        arguments={"n": 1.5},
        user="operator",
        roles=["Operator"],
    )
    assert decode_answer(split(bytearray(answer))[0]) == Answer(
        "opcua-12-1", "refused", "permissive", "not now", ["NoTripActive"], 42, durable=False
    )
    assert frame(make.REQUEST) == request
    assert frame(make.ANSWER) == answer


def test_a_state_of_version_1_is_read_and_written_alike() -> None:
    content = (SAMPLES / "state-1.bin").read_bytes()
    body = b'{"latches":["ESS.ARR01.R001.CellOverVoltage"]}'
    assert decode_state(content) == RetainedState(body, 1234, 1_700_000_000_000_000_000)
    assert encode_state(body, 1234, 1_700_000_000_000_000_000) == content


def test_samples_are_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in SAMPLES.iterdir() if path.is_file()}
    assert make.main() == 0
    assert {path.name: path.read_bytes() for path in SAMPLES.iterdir() if path.is_file()} == before
