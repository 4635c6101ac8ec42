"""HistoryRead of raw data (OPC 10000-11, 6.5.3), over the store; HistoryUpdate is refused for every item."""

import asyncio
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
from asyncua import ua

from information_model.points.row import Kind
from server.opcua import wire
from server.opcua.address_space.computed import Computed, Place
from server.opcua.address_space.index_range import IndexRange, RangeError, RangeSyntaxError, parse
from server.opcua.address_space.model import SITE_INDEX
from server.opcua.history.encoding import data_values, history_data
from server.opcua.history.pages import HistoryError, Range, range_of, read_page
from server.opcua.limits import Limits
from server.opcua.services.service_table import RequestContext, ServiceTable
from server.opcua.session import Session
from server.opcua.wire import Pieces
from server.store.chunk import Samples
from server.store.history import History, HistoryUnavailableError

log = logging.getLogger("gridbms.opcua")

Codes = ua.StatusCodes
_Ids = ua.ObjectIds
PAGE_VALUES, PAGE_BYTES = 50_000, 1_000_000
"""What one answer holds of one node."""
_STORAGE = "history.continuation"

HISTORY_CAPABILITIES: tuple[tuple[int, ua.Variant], ...] = (
    (11193, ua.Variant(True, ua.VariantType.Boolean)),  # AccessHistoryDataCapability
    (11242, ua.Variant(False, ua.VariantType.Boolean)),  # AccessHistoryEventsCapability
    (11273, ua.Variant(PAGE_VALUES, ua.VariantType.UInt32)),  # MaxReturnDataValues
    (11274, ua.Variant(0, ua.VariantType.UInt32)),  # MaxReturnEventValues
    *((number, ua.Variant(False, ua.VariantType.Boolean)) for number in (11196, 11197, 11198, 11199, 11200)),
    *((number, ua.Variant(False, ua.VariantType.Boolean)) for number in (11281, 11282, 11283, 11502, 11275, 19091)),
)
"""HistoryServerCapabilities (OPC 10000-11, 5.4.2): what is offered, and that nothing can be changed."""


@dataclass
class Continuations:
    """Ranges that go on, by the secret that fetches them; they belong to one session."""

    rest: dict[bytes, Range] = field(default_factory=dict)


class HistoryServices:
    """Handlers of HistoryRead and HistoryUpdate."""

    def __init__(self, computed: Computed, history: History, limits: Limits) -> None:
        self._computed, self._history, self._limits = computed, history, limits
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="history")

    def register(self, services: ServiceTable) -> None:
        """Enter the handlers into the table of services."""
        services.register(_Ids.HistoryReadRequest_Encoding_DefaultBinary, self.read)
        services.register(_Ids.HistoryUpdateRequest_Encoding_DefaultBinary, self.update)

    async def read(self, session: Session, params: ua.HistoryReadParameters, context: RequestContext) -> Pieces:
        """HistoryRead."""
        details, handle = params.HistoryReadDetails, context.request_handle
        if params.ReleaseContinuationPoints:
            results = [self._release(session, node.ContinuationPoint) for node in params.NodesToRead]
            return _response(handle, results)
        fault = _service_fault(details, int(params.TimestampsToReturn))
        if fault:
            return (wire.response_head(_Ids.ServiceFault_Encoding_DefaultBinary, handle, fault),)
        results = []
        for node in params.NodesToRead:
            try:
                results.append(await self._node(session, details, node))
            except HistoryError as error:
                results.append(_result(error.code))
            except HistoryUnavailableError as error:
                log.warning("history of %s cannot be read: %s", node.NodeId.to_string(), error)
                results.append(_result(Codes.BadDataUnavailable))
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

    def _release(self, session: Session, point: bytes | None) -> Pieces:
        known = _continuations(session).rest.pop(point or b"", None)
        return _result(Codes.Good if known is not None else Codes.BadContinuationPointInvalid)

    async def _node(self, session: Session, details: ua.ReadRawModifiedDetails, node: ua.HistoryReadValueId) -> Pieces:
        place = self._find(session, node)
        point, kept = str(place.id.Identifier), _continuations(session)
        if node.ContinuationPoint:
            held = kept.rest.get(node.ContinuationPoint)
            if held is None or held.point != point:
                raise HistoryError(Codes.BadContinuationPointInvalid)
            wanted = held
            del kept.rest[node.ContinuationPoint]
        else:
            index_range = parse(node.IndexRange)
            shape = self._computed.dimensions(place) or ()
            if index_range is not None:
                index_range.apply(np.broadcast_to(0.0, shape))  # RangeError before anything is read
            wanted = replace(range_of(details, point, self._page(place)), index_range=index_range, shape=shape)
        try:
            page = await asyncio.get_running_loop().run_in_executor(self._pool, read_page, self._history, wanted)
        except BaseException:
            if node.ContinuationPoint:
                kept.rest[node.ContinuationPoint] = wanted
            raise
        continuation = b""
        if page.rest is not None:
            if len(kept.rest) >= self._limits.history_continuation_points:
                raise HistoryError(Codes.BadNoContinuationPoints)
            continuation = secrets.token_bytes(16)
            kept.rest[continuation] = page.rest
        samples, shape = page.samples, wanted.shape
        if wanted.index_range is not None:
            samples, shape = _slice(samples, shape, wanted.index_range)
        code = Codes.Good if len(samples.time) else Codes.GoodNoData
        return _result(code, continuation, history_data(data_values(place.node.built_in, samples, shape)))

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


def _slice(samples: Samples, shape: tuple[int, ...], index_range: IndexRange) -> tuple[Samples, tuple[int, ...]]:
    part = index_range.apply(np.arange(int(np.prod(shape))).reshape(shape))
    return Samples(samples.time, samples.value[:, part.reshape(-1)], samples.status), part.shape


def _result(code: int, continuation: bytes = b"", data: Pieces = (b"\x00\x00\x00",)) -> Pieces:
    point = len(continuation).to_bytes(4, "little") + continuation if continuation else wire.NULL_STRING
    return (code.to_bytes(4, "little") + point, *data)


def _response(handle: int, results: list[Pieces]) -> Pieces:
    head = wire.response_head(_Ids.HistoryReadResponse_Encoding_DefaultBinary, handle)
    return (head, len(results).to_bytes(4, "little"), *chain.from_iterable(results), wire.NULL_STRING)
