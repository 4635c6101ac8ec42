"""Raw history in pages: which values a request asks for, the next page of them, and where it goes on.

OPC 10000-11, 6.5.3: forward, backward, from one time a number of values, bounds, values of one time over several pages.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from asyncua import ua

from server.opcua.address_space.index_range import IndexRange
from server.store.chunk import Samples, joined
from server.store.history import FIRST, LAST, History

Codes = ua.StatusCodes
TIME_NS = 1_000
"""Requests name times to the microsecond: a sample is at a time when it lies in that microsecond."""
_MARGIN_NS = 1_000_000_000
_TIME_LOW = datetime(1970, 1, 1, tzinfo=UTC)


class HistoryError(Exception):
    """The read of one node is refused with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(hex(code))
        self.code = code


@dataclass(frozen=True)
class Range:
    """What is still to be read of a node: from `start_ns` towards `end_ns`, at most `left` values, `page` in one answer.

    `end_ns` FIRST or LAST: no end. `given` samples at `at_ns` itself (None: nothing yet) are in earlier pages.
    """

    point: str
    start_ns: int
    end_ns: int
    backward: bool
    page: int
    left: int | None = None
    start_bound: bool = False
    end_bound: bool = False
    index_range: IndexRange | None = None
    shape: tuple[int, ...] = ()
    at_ns: int | None = None
    given: int = 0


@dataclass(frozen=True)
class Page:
    """One answer: samples, bounds among them, and what is left."""

    samples: Samples
    rest: Range | None


def _nanoseconds(time: datetime | None) -> int | None:
    """UTC ns of a time; None where it is not given (null, or before 1970: there is no history)."""
    if time is None or time.year <= 1601:
        return None
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    delta = time - _TIME_LOW
    ns = (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1_000
    return max(FIRST + _MARGIN_NS, min(LAST - _MARGIN_NS, ns))


def range_of(details: ua.ReadRawModifiedDetails, point: str, page: int) -> Range:
    """The range that is asked for: two of start, end and number of values are needed (OPC 10000-11, 6.5.3.2)."""
    start, end = _nanoseconds(details.StartTime), _nanoseconds(details.EndTime)
    number, bounds = int(details.NumValuesPerNode), bool(details.ReturnBounds)
    if (start is None) + (end is None) + (number == 0) > 1:
        raise HistoryError(Codes.BadInvalidTimestampArgument)
    size = min(page, number) if number else page
    if start is not None and end is not None:
        if start == end:
            return Range(point, start, start + TIME_NS, False, size)
        return Range(point, start, end, end < start, size, None, bounds, bounds)
    # With one time only, the number of values ends the range: there is a bound at the given time and none at the other.
    if start is not None:
        return Range(point, start, LAST, False, size, number, bounds)
    assert end is not None
    return Range(point, end, FIRST, True, size, number, bounds)


def read_page(history: History, wanted: Range) -> Page:
    """The next page of a range. Runs in a worker thread. Raises HistoryUnavailableError.

    Bounds count as values: the one at the start comes with the first page, the one at the end when there is room.
    """
    size = wanted.page if wanted.left is None else min(wanted.page, wanted.left)
    before = []
    if wanted.start_bound and wanted.at_ns is None:
        before = _bound(history, wanted, wanted.start_ns, outside_after=wanted.backward, inside=True)
    samples, more = _take(history, wanted, size - len(before))
    count = len(samples.time) + len(before)
    left = None if wanted.left is None else wanted.left - count
    if (more and left != 0) or (wanted.end_bound and not more and count >= size):
        return Page(_join([*before, samples], wanted.shape), _rest(wanted, samples, left))
    after = []
    if wanted.end_bound and not more:
        after = _bound(history, wanted, wanted.end_ns, outside_after=not wanted.backward, inside=False)
    return Page(_join([*before, samples, *after], wanted.shape), None)


def _take(history: History, wanted: Range, room: int) -> tuple[Samples, bool]:
    """At most `room` samples of the range behind those given already; True where there are more."""
    opening = wanted.at_ns is None
    if wanted.backward:
        start = wanted.start_ns + TIME_NS - 1 if wanted.at_ns is None else wanted.at_ns
        end = wanted.end_ns if wanted.end_ns == FIRST else wanted.end_ns + TIME_NS - 1
        pieces = history.backward(wanted.point, start, end, mark=opening)
    else:
        start = wanted.start_ns if wanted.at_ns is None else wanted.at_ns
        pieces = history.forward(wanted.point, start, wanted.end_ns, mark=opening)
    found, count = [], 0
    for piece in pieces:
        found.append(piece)
        count += len(piece.time)
        if count > room + wanted.given:
            break
    samples = _join(found, wanted.shape)
    again = min(wanted.given, int((samples.time == start).sum()))
    return samples.take(slice(again, again + room)), len(samples.time) > again + room


def _rest(wanted: Range, samples: Samples, left: int | None) -> Range:
    """The next page begins at the last time that was given, behind as many samples of it as were given."""
    if not len(samples.time):
        at = wanted.at_ns
        if at is None:
            at = wanted.start_ns + TIME_NS - 1 if wanted.backward else wanted.start_ns
        return replace(wanted, left=left, at_ns=at)
    last = int(samples.time[-1])
    given = int((samples.time == last).sum())
    given += wanted.given if last == wanted.at_ns else 0
    return replace(wanted, left=left, at_ns=last, given=given)


def _bound(history: History, wanted: Range, at_ns: int, *, outside_after: bool, inside: bool) -> list[Samples]:
    """The value at a bound: the sample there, else the nearest outside the range, else a value that says there is none.

    `inside`: the range holds what lies exactly at the bound, and it is not given twice.
    """
    exact = next(iter(history.forward(wanted.point, at_ns, at_ns + TIME_NS)), None)
    if exact is not None:
        return [] if inside else [exact.take(slice(1))]
    found = history.after(wanted.point, at_ns + TIME_NS - 1) if outside_after else history.before(wanted.point, at_ns)
    if found is None:
        value = np.full((1, int(np.prod(wanted.shape))) if wanted.shape else 1, np.nan)
        found = Samples(np.array([at_ns], np.int64), value, np.array([Codes.BadBoundNotFound], np.uint32))
    return [found]


def _join(pieces: list[Samples], shape: tuple[int, ...]) -> Samples:
    if pieces:
        return joined(pieces)
    width = (0, int(np.prod(shape))) if shape else 0
    return Samples(np.zeros(0, np.int64), np.zeros(width), np.zeros(0, np.uint32))
