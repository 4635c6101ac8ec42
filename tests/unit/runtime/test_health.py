"""Every process shows its health in a block of its own; counters keep their names and places."""

import os
from pathlib import Path

import pytest

from server.runtime.block import Unavailable
from server.runtime.health import COUNTERS, COUNTERS_LENGTH, HealthReader, HealthWriter


def test_a_reader_sees_who_writes_and_the_counters_by_name(tmp_path: Path) -> None:
    writer = HealthWriter(tmp_path, "opcua")
    writer.write({"sessions": 3, "monitored_items": 10_000}, mono_ns=5, utc_ns=6)
    writer.write({"sessions": 2}, mono_ns=7, utc_ns=8)
    health = HealthReader(tmp_path, "opcua").read()
    assert (health.role, health.pid, health.beat, health.mono_ns) == ("opcua", os.getpid(), 2, 7)
    assert health.counters["sessions"] == 2
    assert health.counters["monitored_items"] == 10_000
    assert health.counters["subscriptions"] == 0
    assert health.cpu_s > 0
    assert health.rss_bytes > 1_000_000


def test_processes_of_one_kind_have_blocks_of_their_own(tmp_path: Path) -> None:
    for name, frames in (("field-can0", 1), ("field-can1", 2)):
        HealthWriter(tmp_path, name).write({"frames": frames}, 0, 0)
    assert HealthReader(tmp_path, "field-can0").read().counters["frames"] == 1
    assert HealthReader(tmp_path, "field-can1").read().counters["frames"] == 2


def test_a_process_that_never_wrote_or_has_stopped_is_unavailable(tmp_path: Path) -> None:
    reader = HealthReader(tmp_path, "archive")
    with pytest.raises(Unavailable):
        reader.read()
    writer = HealthWriter(tmp_path, "archive")
    writer.write({}, 0, 0)
    assert reader.read().beat == 1
    writer.close()
    with pytest.raises(Unavailable, match="stopped"):
        reader.read()


def test_an_unknown_counter_or_role_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="this role has durable, errno"):
        HealthWriter(tmp_path, "mirror").write({"sessions": 1}, 0, 0)
    with pytest.raises(ValueError, match="must be one of opcua"):
        HealthWriter(tmp_path, "printer")
    with pytest.raises(ValueError, match="must be one of"):
        HealthReader(tmp_path, "field-../x")


def test_the_table_fits_the_block_and_names_each_counter_once() -> None:
    for names in COUNTERS.values():
        assert len(names) == len(set(names)) <= COUNTERS_LENGTH
