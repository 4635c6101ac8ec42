"""Lanes against a plain queue per item: whatever is sampled, switched and taken, the notifications are the same."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from server.opcua.publishing.lane import Lane
from server.opcua.publishing.queue_lane import make_lane
from server.opcua.publishing.row import DISABLED, REPORTING, SAMPLING, Row

SLOTS, DEPTH = 6, 4
OVERFLOW = 0x480
START = 133_000_000_000_000_000
Reported = tuple[int, float | None, int, int]


@dataclass
class Image:
    value: Any = field(default_factory=lambda: np.zeros(SLOTS))
    status: Any = field(default_factory=lambda: np.zeros(SLOTS, "u4"))
    ticks: Any = field(default_factory=lambda: np.full(SLOTS, START, "i8"))


@dataclass
class PlainItem:
    """The rules of OPC 10000-4, 7.22.2 and 5.13.1.5, written down for one item."""

    handle: int
    slot: int
    deadband: float
    trigger: int
    mode: int
    size: int
    oldest: bool
    last: tuple[float, int, int] | None = None
    queue: deque[tuple[float, int, int]] = field(default_factory=deque)

    def sample(self, value: float, status: int, ticks: int) -> None:
        if self.mode == DISABLED or not self.changed(value, status, ticks):
            return
        self.last = (value, status, ticks)
        lost = len(self.queue) == self.size
        if lost:
            self.queue.popleft() if self.oldest else self.queue.pop()
        self.queue.append((value, status, ticks))
        if lost and self.size > 1:
            at = 0 if self.oldest else -1
            number, code, time = self.queue[at]
            self.queue[at] = (number, code | OVERFLOW, time)

    def changed(self, value: float, status: int, ticks: int) -> bool:
        if self.last is None or status != self.last[1]:
            return True
        old = self.last[0]
        if math.isnan(value) or math.isnan(old):
            moved = math.isnan(value) != math.isnan(old)
        else:
            moved = value != old and not abs(value - old) <= self.deadband
        if self.trigger == 0:
            return False
        return moved or (self.trigger == 2 and self.deadband == 0 and ticks != self.last[2])

    def set_mode(self, mode: int) -> None:
        if mode == DISABLED:
            self.queue.clear()
        elif self.mode == DISABLED:
            self.last = None
        self.mode = mode


def decode(count: int, data: bytes) -> list[Reported]:
    """The notifications as asyncua's decoder reads them."""
    buffer, found = Buffer(data), []
    for _ in range(count):
        item = struct_from_binary(ua.MonitoredItemNotification, buffer)
        status = 0 if item.Value.StatusCode is None else item.Value.StatusCode.value
        time = item.Value.SourceTimestamp
        ticks = 0 if time is None else ua.uatypes.datetime_to_win_epoch(time)
        found.append((int(item.ClientHandle), item.Value.Value.Value, status, ticks))
    assert len(buffer) == 0
    return found


numbers = st.sampled_from([0.0, 0.25, 1.0, 1.5, 3.0, -2.0, math.nan, math.inf])
codes = st.sampled_from([0, 0, 0, 0x4090_0000, 0x8031_0000])
items = st.tuples(
    st.integers(0, SLOTS - 1),
    st.sampled_from([0.0, 0.0, 0.5, 1.0]),
    st.integers(0, 2),
    st.sampled_from([DISABLED, SAMPLING, REPORTING, REPORTING]),
    st.integers(2, DEPTH),
    st.booleans(),
)
steps = st.one_of(
    st.tuples(st.just("image"), st.lists(st.tuples(numbers, codes), min_size=SLOTS, max_size=SLOTS)),
    st.tuples(st.just("move"), st.integers(0, SLOTS - 1), numbers),
    st.tuples(st.just("take"), st.integers(1, 12)),
    st.tuples(st.just("mode"), st.integers(0, 50), st.sampled_from([DISABLED, SAMPLING, REPORTING])),
    st.tuples(st.just("add"), items),
    st.tuples(st.just("remove"), st.integers(0, 50)),
)


class Pair:
    """A lane and the plain items that it stands for."""

    def __init__(self, built_in: int, depth: int) -> None:
        self.lane: Lane = make_lane(built_in, source_time=True, server_time=False, depth=depth)
        self.single = depth == 1
        self.image = Image()
        self.rows: list[PlainItem | None] = []
        self.time = START
        self.handles = 0

    def add(self, given: tuple[int, float, int, int, int, bool]) -> None:
        slot, deadband, trigger, mode, size, oldest = given
        self.handles += 1
        size = 1 if self.single else size
        self.lane.add([Row(slot, self.handles, deadband, trigger, mode, size, oldest)])
        self.rows.append(PlainItem(self.handles, slot, deadband, trigger, mode, size, oldest))

    def living(self) -> list[tuple[int, PlainItem]]:
        return [(row, item) for row, item in enumerate(self.rows) if item is not None]

    def sample(self) -> None:
        old = self.lane.order()
        if old is not None:
            self.lane.reorder(old)
            self.rows = [self.rows[row] for row in old.tolist()]
        self.lane.sample(self.image)
        for _, item in self.living():
            columns = (self.image.value, self.image.status, self.image.ticks)
            value, status, ticks = (column[item.slot].item() for column in columns)
            item.sample(value, status, ticks)

    def take(self, limit: int) -> None:
        waiting = {item.handle: item.queue for _, item in self.living() if item.mode == REPORTING}
        expected = min(limit, sum(map(len, waiting.values())))
        count, data = self.lane.take(limit)
        assert count == expected
        for handle, value, status, ticks in decode(count, data):
            number, code, time = waiting[handle].popleft()
            assert (status, ticks) == (code, time)
            if code >= 0x8000_0000:
                assert value is None
            else:
                assert value == number or (math.isnan(value) and math.isnan(number))

    def step(self, name: str, *given: Any) -> None:
        if name == "add":
            self.add(given[0])
        elif name == "take":
            self.take(given[0])
        elif name in ("image", "move"):
            self.time += 10
            if name == "image":
                self.image.value[:], self.image.status[:] = (list(column) for column in zip(*given[0], strict=True))
            else:
                self.image.value[given[0]] = given[1]
            self.image.ticks[:] = self.time
            self.sample()
        elif self.living():
            row, item = self.living()[given[0] % len(self.living())]
            if name == "mode":
                self.lane.set_mode(np.array([row]), given[1])
                item.set_mode(given[1])
            else:
                self.lane.remove(np.array([row]))
                self.rows[row] = None


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from([10, 11]),
    st.sampled_from([1, DEPTH]),
    st.lists(items, min_size=1, max_size=8),
    st.lists(steps, max_size=40),
)
def test_a_lane_reports_what_a_queue_per_item_would(
    built_in: int, depth: int, given_items: list[Any], given_steps: list[Any]
) -> None:
    pair = Pair(built_in, depth)
    for one in given_items:
        pair.add(one)
    pair.sample()
    for step in given_steps:
        pair.step(*step)
    pair.take(1_000)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(items, min_size=1, max_size=6), st.lists(steps, max_size=20), st.integers(1, DEPTH), st.booleans())
def test_an_item_that_moves_to_another_lane_keeps_its_newest_values(
    given_items: list[Any], given_steps: list[Any], size: int, oldest: bool
) -> None:
    pair = Pair(11, DEPTH)
    for one in given_items:
        pair.add(one)
    pair.sample()
    for step in given_steps:
        if step[0] != "take":
            pair.step(*step)
    for index, item in pair.living():
        before = list(item.queue)
        row = pair.lane.export(index)
        row.size, row.oldest = size, oldest
        lane = make_lane(11, source_time=True, server_time=False, depth=1 if size == 1 else DEPTH)
        lane.add([row])
        kept = lane.entries(0)
        assert len(kept) == min(len(before), size)
        if kept:
            assert repr(kept[-1].value) == repr(before[-1][0])
            marked = [entry.status & OVERFLOW == OVERFLOW for entry in kept]
            if len(before) > size:
                assert marked[0 if oldest else -1] is (size > 1)
        lane.sample(pair.image)
        # What was reported last is remembered: the same image is no news, unless the item waits for its first value.
        fresh = item.last is None and item.mode != DISABLED
        assert len(lane.entries(0)) == min(len(kept) + fresh, max(size, 1))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from([1, 3, 5, 6, 7, 10, 11]),
    st.lists(st.tuples(st.floats(width=64), codes, st.integers(0, 1)), min_size=1, max_size=12),
    st.booleans(),
    st.booleans(),
)
def test_any_number_of_the_image_travels_in_any_type(
    built_in: int, rows: list[tuple[float, int, int]], source: bool, server: bool
) -> None:
    lane = make_lane(built_in, source_time=source, server_time=server, depth=1)
    lane.add([Row(index, index) for index in range(len(rows))])
    value, status, ticks = zip(*rows, strict=True)
    image = Image(np.array(value), np.array(status, "u4"), np.array(ticks, "i8") * START)
    lane.sample(image, 10)
    count, data = lane.take(100)
    assert count == len(rows)
    found = {handle: (number, code) for handle, number, code, _ in decode(count, data)}
    for index, (number, code, _) in enumerate(rows):
        got, status_code = found[index]
        if code >= 0x8000_0000 or (math.isnan(number) and built_in not in (10, 11)):
            assert got is None
            assert status_code >= 0x8000_0000
        elif built_in == 11:
            assert got == number or math.isnan(number)
        elif built_in not in (1, 10) and abs(number) < 200 and number >= 0:
            assert got == int(number)
