"""HistoryRead of raw data (OPC 10000-11, 6.5.3), over the store; HistoryUpdate is refused for every item."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from asyncua import ua

from information_model.points.row import Kind
from server.opcua import wire
from server.opcua.address_space.computed import Computed, Place
from server.opcua.address_space.index_range import IndexRange, RangeError, RangeSyntaxError, parse
from server.opcua.address_space.model import SITE_INDEX
from server.opcua.history_encoding import bound_not_found, data_values, history_data
from server.opcua.limits import Limits
from server.opcua.service_table import RequestContext, ServiceTable
from server.opcua.session import Session
from server.store.chunk import Samples
from server.store.history import FIRST, LAST, History

Codes = ua.StatusCodes
_Ids = ua.ObjectIds
PAGE_VALUES, PAGE_BYTES = 50_000, 1_000_000
"""What one answer holds of one node."""
_STORAGE = "history.continuation"
_TIME_LOW = datetime(1970, 1, 1, tzinfo=UTC)

HISTORY_CAPABILITIES: tuple[tuple[int, ua.Variant], ...] = (
    (11193, ua.Variant(True, ua.VariantType.Boolean)),  # AccessHistoryDataCapability
    (11242, ua.Variant(False, ua.VariantType.Boolean)),  # AccessHistoryEventsCapability
    (11273, ua.Variant(PAGE_VALUES, ua.VariantType.UInt32)),  # MaxReturnDataValues
    (11274, ua.Variant(0, ua.VariantType.UInt32)),  # MaxReturnEventValues
    *((number, ua.Variant(False, ua.VariantType.Boolean)) for number in (11196, 11197, 11198, 11199, 11200)),
    *((number, ua.Variant(False, ua.VariantType.Boolean)) for number in (11281, 11282, 11283, 11502, 11275, 19091)),
)
"""HistoryServerCapabilities (OPC 10000-11, 5.4.2): what is offered, and that nothing can be changed."""


class HistoryError(Exception):
    """The read of one node is refused with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(hex(code))
        self.code = code


@dataclass(frozen=True)
class Range:
    """What is still to be read of a node: from `start_ns` towards `end_ns`, at most `left` values, `page` in one answer."""

    point: str
    start_ns: int
    end_ns: int
    backward: bool
    page: int
    left: int | None = None
    start_bound: bool = False
    end_bound: bool = False
    index_range: IndexRange | None = None
    built_in: int = 11
    shape: tuple[int, ...] = ()


@dataclass
class Continuations:
    """Ranges that go on, by the secret that fetches them; they belong to one session."""

    rest: dict[bytes, Range] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """One answer: encoded bounds around samples, and what is left."""

    before: tuple[bytes, ...]
    samples: Samples
    after: tuple[bytes, ...]
    rest: Range | None


class HistoryServices:
    """Handlers of HistoryRead and HistoryUpdate."""

    def __init__(self, computed: Computed, history: History, limits: Limits) -> None:
        self._computed, self._history, self._limits = computed, history, limits
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="history")

    def register(self, services: ServiceTable) -> None:
        """Enter the handlers into the table of services."""
        services.register(_Ids.HistoryReadRequest_Encoding_DefaultBinary, self.read)
        services.register(_Ids.HistoryUpdateRequest_Encoding_DefaultBinary, self.update)

    async def read(self, session: Session, params: ua.HistoryReadParameters, context: RequestContext) -> bytes:
        """HistoryRead."""
        details, handle = params.HistoryReadDetails, context.request_handle
        if params.ReleaseContinuationPoints:
            results = [self._release(session, node.ContinuationPoint) for node in params.NodesToRead]
            return _response(handle, results)
        fault = _service_fault(details, int(params.TimestampsToReturn))
        if fault:
            return wire.response_head(_Ids.ServiceFault_Encoding_DefaultBinary, handle, fault)
        results = []
        for node in params.NodesToRead:
            try:
                results.append(await self._node(session, details, node))
            except HistoryError as error:
                results.append(_result(error.code))
            except RangeSyntaxError:
                results.append(_result(Codes.BadIndexRangeInvalid))
            except RangeError:
                results.append(_result(Codes.BadIndexRangeNoData))
            await asyncio.sleep(0)
        return _response(handle, results)

    async def update(
        self, session: Session, params: ua.HistoryUpdateParameters, context: RequestContext
    ) -> ua.HistoryUpdateResponse:
        """HistoryUpdate: what was measured is not changed."""
        response = ua.HistoryUpdateResponse()
        for _ in params.HistoryUpdateDetails:
            result = ua.HistoryUpdateResult()
            result.StatusCode = ua.StatusCode(ua.UInt32(Codes.BadHistoryOperationUnsupported))
            response.Results.append(result)
        return response

    def _release(self, session: Session, point: bytes | None) -> bytes:
        known = _continuations(session).rest.pop(point or b"", None)
        return _result(Codes.Good if known is not None else Codes.BadContinuationPointInvalid)

    async def _node(self, session: Session, details: ua.ReadRawModifiedDetails, node: ua.HistoryReadValueId) -> bytes:
        place = self._find(session, node)
        kept = _continuations(session)
        if node.ContinuationPoint:
            wanted = kept.rest.pop(node.ContinuationPoint, None)
            if wanted is None or wanted.point != str(place.id.Identifier):
                raise HistoryError(Codes.BadContinuationPointInvalid)
        else:
            index_range = parse(node.IndexRange)
            shape = self._computed.dimensions(place) or ()
            wanted = replace(
                _range_of(details, str(place.id.Identifier), self._page(place)),
                index_range=index_range,
                built_in=place.node.built_in,
                shape=shape,
            )
            if len(kept.rest) >= self._limits.history_continuation_points:
                raise HistoryError(Codes.BadNoContinuationPoints)
        shape = wanted.shape
        if wanted.index_range is not None and not shape:
            raise RangeError
        loop = asyncio.get_running_loop()
        page = await loop.run_in_executor(self._pool, read_page, self._history, wanted)
        continuation = b""
        if page.rest is not None:
            continuation = secrets.token_bytes(16)
            kept.rest[continuation] = page.rest
        samples = page.samples
        if wanted.index_range is not None:
            samples, shape = _slice(samples, shape, wanted.index_range)
        count = len(page.before) + len(samples.time) + len(page.after)
        body = data_values(place.node.built_in, samples, shape)
        values = count.to_bytes(4, "little") + b"".join(page.before) + body[4:] + b"".join(page.after)
        return _result(Codes.Good if count else Codes.GoodNoData, continuation, history_data(values))

    def _find(self, session: Session, node: ua.HistoryReadValueId) -> Place:
        if not session.roles:
            raise HistoryError(Codes.BadUserAccessDenied)
        place = self._computed.find(node.NodeId)
        if place is None:
            missing = node.NodeId.NamespaceIndex == SITE_INDEX
            raise HistoryError(Codes.BadNodeIdUnknown if missing else Codes.BadHistoryOperationUnsupported)
        if not place.node.historized or not self._history.keeps(str(place.id.Identifier)):
            raise HistoryError(Codes.BadHistoryOperationUnsupported)
        encoding = node.DataEncoding
        if encoding is not None and encoding.Name not in (None, "", "Default Binary"):
            raise HistoryError(Codes.BadDataEncodingUnsupported)
        return place

    def _page(self, place: Place) -> int:
        row = place.node.row
        if row is None or row.point.kind is Kind.SCALAR:
            return PAGE_VALUES
        shape = self._computed.dimensions(place) or (1,)
        return max(1, PAGE_BYTES // (8 * int(np.prod(shape))))


def _continuations(session: Session) -> Continuations:
    kept = session.storage.setdefault(_STORAGE, Continuations())
    assert isinstance(kept, Continuations)
    return kept


def _service_fault(details: object, times: int) -> int:
    if details is None:
        return Codes.BadHistoryOperationInvalid
    if not isinstance(details, ua.ReadRawModifiedDetails) or details.IsReadModified:
        return Codes.BadHistoryOperationUnsupported
    if times == ua.TimestampsToReturn.Server:
        return Codes.BadTimestampNotSupported
    if times not in (ua.TimestampsToReturn.Source, ua.TimestampsToReturn.Both):
        return Codes.BadTimestampsToReturnInvalid
    return 0


def _nanoseconds(time: datetime | None) -> int | None:
    """UTC ns of a time; None where it is not given (null, or before 1970: there is no history)."""
    if time is None or time.year <= 1601:
        return None
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    delta = time - _TIME_LOW
    ns = (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1_000
    return max(FIRST + 1, min(LAST - 1, ns))


def _range_of(details: ua.ReadRawModifiedDetails, point: str, page: int) -> Range:
    """The range that is asked for: two of start, end and number of values are needed (OPC 10000-11, 6.5.3.2)."""
    start, end = _nanoseconds(details.StartTime), _nanoseconds(details.EndTime)
    number, bounds = int(details.NumValuesPerNode), bool(details.ReturnBounds)
    if (start is None) + (end is None) + (number == 0) > 1:
        raise HistoryError(Codes.BadInvalidTimestampArgument)
    size = min(page, number) if number else page
    if start is not None and end is not None:
        if start == end:
            return Range(point, start, start + 1, False, size)
        return Range(point, start, end, end < start, size, None, bounds, bounds)
    # With one time only, the number of values ends the range: there is a bound at the given time and none at the other.
    if start is not None:
        return Range(point, start, LAST, False, size, number, bounds)
    assert end is not None
    return Range(point, end, FIRST, True, size, number, bounds)


def read_page(history: History, wanted: Range) -> Page:
    """The next page of a range. Runs in a worker thread."""
    size = wanted.page if wanted.left is None else min(wanted.page, wanted.left)
    before = _bound(history, wanted, wanted.start_ns, outside_after=wanted.backward) if wanted.start_bound else ()
    room = max(0, size - len(before))
    read = history.backward if wanted.backward else history.forward
    pieces, count = [], 0
    for piece in read(wanted.point, wanted.start_ns, wanted.end_ns):
        pieces.append(piece)
        count += len(piece.time)
        if count > room:
            break
    found = _join(pieces)
    more = len(found.time) > room
    samples = Samples(found.time[:room], found.value[:room], found.status[:room])
    left = None if wanted.left is None else wanted.left - len(samples.time) - len(before)
    if more and (left is None or left > 0):
        following = wanted.start_ns
        if len(samples.time):
            following = int(samples.time[-1]) + (-1 if wanted.backward else 1)
        return Page(before, samples, (), replace(wanted, start_ns=following, left=left, start_bound=False))
    after: tuple[bytes, ...] = ()
    if wanted.end_bound:
        after = _bound(history, wanted, wanted.end_ns, outside_after=not wanted.backward)
    return Page(before, samples, after, None)


def _bound(history: History, wanted: Range, at_ns: int, *, outside_after: bool) -> tuple[bytes, ...]:
    """The value at a bound: the sample there, else the nearest outside the range, else a value that says there is none.

    A sample exactly at the start is part of the range and not given twice.
    """
    exact = next(iter(history.forward(wanted.point, at_ns, at_ns + 1)), None)
    if exact is not None and at_ns == wanted.start_ns:
        return ()
    found = exact
    if found is None:
        found = (history.after if outside_after else history.before)(wanted.point, at_ns)
    if found is None or not len(found.time):
        return (bound_not_found(at_ns, Codes.BadBoundNotFound),)
    return (data_values(wanted.built_in, found, wanted.shape)[4:],)


def _join(pieces: list[Samples]) -> Samples:
    if not pieces:
        return Samples(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint32))
    if len(pieces) == 1:
        return pieces[0]
    width = max((piece.value.shape[1] for piece in pieces if piece.value.ndim == 2), default=0)
    values = [_widened(piece.value, width) for piece in pieces]
    return Samples(
        np.concatenate([piece.time for piece in pieces]),
        np.concatenate(values),
        np.concatenate([piece.status for piece in pieces]),
    )


def _widened(values: np.ndarray, width: int) -> np.ndarray:
    """The sample that stands for a damaged chunk has one value, whatever the point."""
    if width and values.ndim == 1:
        return np.full((len(values), width), np.nan)
    return values


def _slice(samples: Samples, shape: tuple[int, ...], index_range: IndexRange) -> tuple[Samples, tuple[int, ...]]:
    parts = [index_range.apply(value.reshape(shape)) for value in samples.value]
    if not parts:
        return samples, shape
    flat = np.stack([part.reshape(-1) for part in parts])
    return Samples(samples.time, flat, samples.status), parts[0].shape


def _result(code: int, continuation: bytes = b"", data: bytes = b"\x00\x00\x00") -> bytes:
    point = len(continuation).to_bytes(4, "little") + continuation if continuation else wire.NULL_STRING
    return code.to_bytes(4, "little") + point + data


def _response(handle: int, results: list[bytes]) -> bytes:
    return (
        wire.response_head(_Ids.HistoryReadResponse_Encoding_DefaultBinary, handle)
        + wire.array(results)
        + wire.NULL_STRING
    )
