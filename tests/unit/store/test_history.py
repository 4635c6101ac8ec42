"""What a reader of history sees: every sample once, in order of time, also while the archive writes."""

import threading

import numpy as np
import pytest

from server.store.history import FIRST, LAST, History
from tests.unit.archive.archive_kit import BASE, CELLS, MS, RACK, VOLTAGE, Archive, S
from tests.unit.core.field_kit import make_site


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path)


def fill(archive: Archive, first: int, count: int, step: int = 1) -> None:
    for i in range(first, first + count * step, step):
        archive.put(VOLTAGE, i % 100, BASE + i * S)
        archive.image(BASE + i * S + 10 * MS)


def times(pieces) -> list[int]:
    return [int(time - BASE) // S for piece in pieces for time in piece.time]


def test_nothing_is_there_before_the_archive_has_begun(tmp_path) -> None:
    archive = Archive(tmp_path, start=False)
    assert archive.read(VOLTAGE) == []
    history = History(archive.data, archive.site.catalogue)
    assert history.before(VOLTAGE, BASE) is None
    assert history.after(VOLTAGE, BASE) is None


def test_ranges_include_their_start_and_exclude_their_end(archive) -> None:
    fill(archive, 0, 40, step=20)
    fill(archive, 800, 3)
    archive.stop()
    history = History(archive.data, archive.site.catalogue)
    at = [*range(0, 800, 20), 800, 801, 802]
    for low, high in [(0, 20), (10, 50), (299, 301), (300, 600), (0, 2000), (802, 803), (803, 900)]:
        assert times(history.forward(VOLTAGE, BASE + low * S, BASE + high * S)) == [t for t in at if low <= t < high]
        expected = [t for t in reversed(at) if low < t <= high]
        assert times(history.backward(VOLTAGE, BASE + high * S, BASE + low * S)) == expected
    assert times(history.forward(VOLTAGE, FIRST, LAST)) == at
    assert times(history.backward(VOLTAGE, LAST - 1, FIRST)) == at[::-1]


def test_the_neighbours_of_a_time_are_found_in_chunks_and_tail(archive) -> None:
    fill(archive, 0, 1)
    fill(archive, 3000, 1)
    archive.stop()
    history = History(archive.data, archive.site.catalogue)
    for time, before, after in [(0, None, 3000), (1, 0, 3000), (3000, 0, None), (9000, 3000, None), (-5, None, 0)]:
        found = history.before(VOLTAGE, BASE + time * S), history.after(VOLTAGE, BASE + time * S)
        assert [None if one is None else int(one.time[0] - BASE) // S for one in found] == [before, after]


def test_a_reader_that_lives_on_sees_what_is_appended_and_what_becomes_a_chunk(archive) -> None:
    history = History(archive.data, archive.site.catalogue)
    seen = 0
    stop = threading.Event()
    wrong: list[list[int]] = []

    def read() -> None:
        nonlocal seen
        while not stop.is_set():
            found = times(history.forward(VOLTAGE, FIRST, LAST))
            if found != list(range(len(found))) or len(found) < seen:
                wrong.append(found)
            seen = len(found)

    reader = threading.Thread(target=read)
    reader.start()
    fill(archive, 0, 1500)
    archive.stop()
    stop.set()
    reader.join(20)
    assert wrong == []
    assert times(history.forward(VOLTAGE, FIRST, LAST)) == list(range(1500))
    assert times(history.backward(VOLTAGE, LAST - 1, FIRST)) == list(range(1499, -1, -1))


def test_a_matrix_that_had_another_size_is_bad_not_a_wrong_number_and_new_ones_follow(tmp_path) -> None:
    (tmp_path / "small").mkdir()
    old = Archive(tmp_path, make_site(tmp_path / "small", cells=3))
    old.put_cells([3.0] * 6, BASE + S)
    old.image(BASE + 10 * S)
    old.stop()
    new = Archive(tmp_path, make_site(tmp_path, cells=4))
    new.put_cells([3.5] * 8, BASE + 11 * S)
    new.image(BASE + 20 * S)
    new.stop()
    found = new.read(CELLS)
    assert [(time, status) for time, _, status in found] == [(S, 0x809E_0000), (11 * S, 0)]
    assert found[1][1] == [3.5] * 8
    assert np.isnan(found[0][1]).all()


def test_points_that_are_not_kept_are_known(archive) -> None:
    archive.stop()
    history = History(archive.data, archive.site.catalogue)
    assert history.keeps(VOLTAGE)
    assert history.keeps(CELLS)
    assert not history.keeps(f"{RACK}.M02.CellData.CellVoltages")
    assert not history.keeps(f"{RACK}.Nameplate.RatedCapacity")
    assert not history.keeps("ESS.ARR99.R001.Measurements.DcVoltage")
