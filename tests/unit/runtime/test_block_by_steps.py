"""A reader of a block sees the old content or the new one, whole, whatever the writer does in between."""

from collections.abc import ItemsView, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from server.runtime import block
from server.runtime.block import Layout, Reader, Unavailable, Writer
from server.runtime.layout import STOPPED

LAYOUT = Layout([("a", "f8", 1000), ("b", "u4", 100)])


def publish(writer: Writer, value: int) -> None:
    columns = writer.begin()
    columns["a"][:] = value
    columns["b"][:] = value
    writer.publish(value, value * 10, value * 100, time_epoch=3, log_sequence=value + 7)


def arrays() -> dict[str, NDArray[Any]]:
    return {"a": np.zeros(1000), "b": np.zeros(100, np.uint32)}


class PublishingBetweenColumns(dict[str, NDArray[Any]]):
    """Publishes `count` images between the first and the second column of the first copy."""

    def __init__(self, columns: dict[str, NDArray[Any]], writer: Writer, count: int) -> None:
        super().__init__(columns)
        self.writer, self.count = writer, count

    def items(self) -> ItemsView[str, NDArray[Any]]:  # type: ignore[override]  # a generator serves as well here
        return self._items()  # type: ignore[return-value]  # see above

    def _items(self) -> Iterator[tuple[str, NDArray[Any]]]:
        for name, column in list(super().items()):
            yield name, column
            count, self.count = self.count, 0
            for _ in range(count):
                publish(self.writer, self.writer.sequence + 1)


@pytest.mark.parametrize(("images", "retries"), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (9, 1)])
def test_a_reader_overtaken_in_its_copy_repeats_it_exactly_when_its_slot_was_reused(
    tmp_path: Path, images: int, retries: int
) -> None:
    writer = Writer(tmp_path / "image", LAYOUT, epoch=1)
    publish(writer, 1)
    reader = Reader(tmp_path / "image", LAYOUT)
    into = PublishingBetweenColumns(arrays(), writer, images)
    stamp = reader.read(into)
    assert reader.retries == retries
    assert set(into["a"]) == {float(stamp.sequence)}
    assert set(into["b"]) == {stamp.sequence}
    assert stamp.sequence == (1 + images if retries else 1)


@pytest.mark.parametrize("step", range(1, 7))
def test_a_writer_that_dies_at_any_step_leaves_the_old_or_the_new_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    class DeathError(Exception):
        pass

    writer = Writer(tmp_path / "image", LAYOUT, epoch=1)
    for value in range(1, 6):
        publish(writer, value)
    reader, into = Reader(tmp_path / "image", LAYOUT), arrays()
    steps = 0

    def one_step() -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            raise DeathError

    monkeypatch.setattr(block, "fence", one_step)
    died = False
    try:
        columns = writer.begin()
        for name in ("a", "b"):
            one_step()
            columns[name][: len(columns[name]) // 2] = 6
            one_step()
            columns[name][:] = 6
        writer.publish(6, 60, 600)
    except DeathError:
        died = True
    stamp = reader.read(into)
    assert died
    assert stamp.sequence == 5
    assert set(into["a"]) == {5.0}
    assert set(into["b"]) == {5}


def test_the_stamp_carries_cycle_times_epoch_and_log_number(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "image", LAYOUT, epoch=17)
    writer.begin()
    writer.publish(cycle=5, mono_ns=6, utc_ns=-7, time_epoch=8, log_sequence=9)
    reader = Reader(tmp_path / "image", LAYOUT)
    assert reader.read({}) == (1, 5, 6, -7, 8, 9)
    assert reader.epoch == 17


def test_a_file_takes_the_name_only_with_its_first_content(tmp_path: Path) -> None:
    path = tmp_path / "image"
    old = Writer(path, LAYOUT, epoch=1)
    publish(old, 1)
    reader, into = Reader(path, LAYOUT), arrays()
    new = Writer(path, LAYOUT, epoch=2)
    reader.read(into)
    assert (reader.epoch, into["a"][0]) == (1, 1.0)
    publish(new, 41)
    reader.read(into)
    assert (reader.epoch, into["a"][0]) == (2, 41.0)
    assert [p.name for p in tmp_path.iterdir()] == ["image"]


def test_what_a_writer_killed_before_its_first_image_left_is_removed_by_the_next(tmp_path: Path) -> None:
    Writer(tmp_path / "image", LAYOUT, epoch=1)
    (tmp_path / "image.999999.part").write_bytes(b"left")
    publish(Writer(tmp_path / "image", LAYOUT, epoch=2), 1)
    assert [p.name for p in tmp_path.iterdir()] == ["image"]


def test_a_reader_follows_a_successor_that_died_before_it_marked_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "image"
    old = Writer(path, LAYOUT, epoch=1)
    publish(old, 1)
    reader, into = Reader(path, LAYOUT), arrays()
    reader.read(into)
    path.unlink()  # so the successor finds nothing to mark
    publish(Writer(path, LAYOUT, epoch=2), 8)
    reader.read(into)
    assert (reader.epoch, into["a"][0]) == (2, 8.0)


def test_a_removed_file_is_made_again_within_a_second_and_readers_old_and_new_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    writer = Writer(run / "image", LAYOUT, epoch=1)
    publish(writer, 1)
    publish(writer, 2)
    attached, into = Reader(run / "image", LAYOUT), arrays()
    attached.read(into)
    assert writer.check_name(0)
    (run / "image").unlink()
    run.rmdir()
    assert writer.path_lost()
    assert writer.check_name(999_999_999)  # looked at once a second only
    assert not (run / "image").exists()
    assert writer.check_name(1_000_000_000)
    assert Reader(run / "image", LAYOUT).read(into).sequence == 2
    assert set(into["a"]) == {2.0}
    publish(writer, 3)
    assert attached.read(into).sequence == 3
    assert set(into["a"]) == {3.0}


def test_a_superseded_writer_does_not_take_the_name_back(tmp_path: Path) -> None:
    old = Writer(tmp_path / "image", LAYOUT, epoch=1)
    publish(old, 1)
    publish(Writer(tmp_path / "image", LAYOUT, epoch=2), 5)
    assert not old.check_name(0)
    reader = Reader(tmp_path / "image", LAYOUT)
    reader.read({})
    assert reader.epoch == 2


def test_a_reader_is_told_why_there_is_nothing_to_read(tmp_path: Path) -> None:
    path = tmp_path / "image"
    reader = Reader(path, LAYOUT)
    with pytest.raises(Unavailable, match="No such file"):
        reader.read({})
    path.write_bytes(b"x" * 100)
    with pytest.raises(Unavailable, match="too short"):
        reader.read({})
    path.write_bytes(b"x" * 5000)
    with pytest.raises(Unavailable, match="not a block"):
        reader.read({})
    writer = Writer(path, Layout([("a", "f8", 1000)]), epoch=1)
    writer.begin()
    writer.publish(1, 1, 1)
    with pytest.raises(Unavailable, match="layout of another configuration"):
        reader.read({})
    content = bytearray(path.read_bytes())
    content[8] = 2
    path.write_bytes(content)
    with pytest.raises(Unavailable, match="block version 2, this program reads version 1"):
        reader.read({})


def test_a_stopped_writer_is_told_from_a_silent_one(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "image", LAYOUT, epoch=1)
    publish(writer, 1)
    reader = Reader(tmp_path / "image", LAYOUT)
    reader.read({})
    writer.close()
    with pytest.raises(Unavailable, match="stopped"):
        reader.read({})
    assert STOPPED == 2**64 - 1


def test_a_full_file_system_is_an_error_at_start_with_the_size_needed(tmp_path: Path) -> None:
    layout = Layout([("a", "f8", 2**45)])
    with pytest.raises(OSError, match=f"block image needs {layout.size} bytes"):
        Writer(tmp_path / "image", layout, epoch=1)
    assert list(tmp_path.iterdir()) == []


def test_equal_columns_give_one_hash_and_any_difference_another() -> None:
    base = Layout([("a", "f8", 3), ("b", "u4", 2)])
    assert Layout([("a", "<f8", 3), ("b", "uint32", 2)]).hash == base.hash
    others = [
        Layout([("a", "f8", 3), ("b", "u4", 2)], slots=5),
        Layout([("b", "u4", 2), ("a", "f8", 3)]),
        Layout([("a", "f4", 3), ("b", "u4", 2)]),
        Layout([("a", "f8", 3), ("c", "u4", 2)]),
        Layout([("a", "f8", 4), ("b", "u4", 2)]),
    ]
    assert len({base.hash, *(other.hash for other in others)}) == 6


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ([("a", "f8", 1), ("a", "f8", 1)], "used twice"),
        ([("", "f8", 1)], "empty"),
        ([("a", "O", 1)], "not a number"),
        ([("a", "f8", -1)], "negative"),
    ],
)
def test_a_layout_that_cannot_be_shared_is_refused(columns: list[tuple[str, str, int]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Layout(columns)


def test_columns_of_a_site_without_such_points_may_be_empty(tmp_path: Path) -> None:
    layout = Layout([("a", "f8", 0), ("b", "u1", 1)])
    writer = Writer(tmp_path / "image", layout, epoch=1)
    writer.begin()["b"][:] = 4
    writer.publish(1, 1, 1)
    into: dict[str, NDArray[Any]] = {"a": np.zeros(0), "b": np.zeros(1, np.uint8)}
    Reader(tmp_path / "image", layout).read(into)
    assert into["b"][0] == 4
