"""Attribute service set (OPC 10000-4, 5.11): Read and Write. HistoryRead has a room of its own."""

from asyncua import ua

from information_model.roles import Role
from server.opcua import wire
from server.opcua.address_space.computed import Computed, Place
from server.opcua.address_space.index_range import IndexRange, RangeError, RangeSyntaxError, parse
from server.opcua.address_space.model import SITE_INDEX
from server.opcua.address_space.stored import Stored
from server.opcua.address_space.values import Values
from server.opcua.image import ImageView
from server.opcua.services.service_table import RequestContext, ServiceTable
from server.opcua.services.view_services import Pace
from server.opcua.session import Session

Codes = ua.StatusCodes
_A = ua.AttributeIds
_Ids = ua.ObjectIds
_SOURCE, _SERVER, _BOTH, _NEITHER = range(4)
_DEFAULT_BINARY = ("", "Default Binary")


class AttributeServices:
    """Reads any node; a write is always refused with the code that says why."""

    def __init__(self, computed: Computed, stored: Stored, values: Values, image: ImageView) -> None:
        self._computed, self._stored, self._values, self._image = computed, stored, values, image

    def register(self, services: ServiceTable) -> None:
        """Enter the handlers into the table of services."""
        services.register(_Ids.ReadRequest_Encoding_DefaultBinary, self.read)
        services.register(_Ids.WriteRequest_Encoding_DefaultBinary, self.write)

    async def read(self, session: Session, params: ua.ReadParameters, context: RequestContext) -> bytes:
        """Read."""
        handle, times = context.request_handle, int(params.TimestampsToReturn)
        if not params.MaxAge >= 0:
            return wire.response_head(_Ids.ServiceFault_Encoding_DefaultBinary, handle, Codes.BadMaxAgeInvalid)
        if not _SOURCE <= times <= _NEITHER:
            code = Codes.BadTimestampsToReturnInvalid
            return wire.response_head(_Ids.ServiceFault_Encoding_DefaultBinary, handle, code)
        self._image.refresh()
        pace, results = Pace(), []
        for item in params.NodesToRead:
            results.append(self.data_value(session.roles, item, times))
            await pace.breathe()
        head = wire.response_head(_Ids.ReadResponse_Encoding_DefaultBinary, handle)
        return head + wire.array(results) + wire.NULL_STRING

    def data_value(self, roles: frozenset[Role], item: ua.ReadValueId, times: int) -> bytes:
        """Encoded DataValue of one node and attribute."""
        server = wire.now_ticks() if times in (_SERVER, _BOTH) else 0
        try:
            index_range = parse(item.IndexRange)
        except RangeSyntaxError:
            return wire.data_value(b"", Codes.BadIndexRangeInvalid, 0, server)
        code = _encoding_code(item)
        if code:
            return wire.data_value(b"", code, 0, server)
        if index_range is not None and item.AttributeId != _A.Value:
            return wire.data_value(b"", Codes.BadIndexRangeNoData, 0, server)
        try:
            if item.NodeId.NamespaceIndex == SITE_INDEX:
                return self._computed_value(roles, item, index_range, times, server)
            return self._stored_value(item, index_range, server)
        except RangeError:
            return wire.data_value(b"", Codes.BadIndexRangeNoData, 0, server)

    def _computed_value(
        self, roles: frozenset[Role], item: ua.ReadValueId, index_range: IndexRange | None, times: int, server: int
    ) -> bytes:
        place = self._computed.find(item.NodeId)
        if place is None:
            return wire.data_value(b"", Codes.BadNodeIdUnknown, 0, server)
        if item.AttributeId != _A.Value:
            variant = self._computed.attribute(place, item.AttributeId, roles)
            if variant is None:
                return wire.data_value(b"", Codes.BadAttributeIdInvalid, 0, server)
            return wire.data_value(variant, 0, 0, server)
        if place.node.node_class is not ua.NodeClass.Variable:
            return wire.data_value(b"", Codes.BadAttributeIdInvalid, 0, server)
        if not roles:
            return wire.data_value(b"", Codes.BadUserAccessDenied, 0, server)
        value = self._values.read(place.node, place.element, index_range)
        source = value.ticks if times in (_SOURCE, _BOTH) else 0
        return wire.data_value(value.variant, value.status, source, server)

    def _stored_value(self, item: ua.ReadValueId, index_range: IndexRange | None, server: int) -> bytes:
        if not self._stored.exists(item.NodeId):
            return wire.data_value(b"", Codes.BadNodeIdUnknown, 0, server)
        if not 1 <= item.AttributeId <= 27:
            return wire.data_value(b"", Codes.BadAttributeIdInvalid, 0, server)
        return self._stored.data_value(item.NodeId, item.AttributeId, index_range, server)

    async def write(self, session: Session, params: ua.WriteParameters, context: RequestContext) -> ua.WriteResponse:
        """Write: node, attribute and access level are judged in the order of OPC 10000-4, 5.11.4."""
        pace = Pace()
        response = ua.WriteResponse()
        for item in params.NodesToWrite:
            response.Results.append(ua.StatusCode(ua.UInt32(self._refusal(item))))
            await pace.breathe()
        return response

    def _refusal(self, item: ua.WriteValue) -> int:
        place: Place | None = None
        if item.NodeId.NamespaceIndex == SITE_INDEX:
            place = self._computed.find(item.NodeId)
            known = place is not None
        else:
            known = self._stored.exists(item.NodeId)
        if not known:
            return Codes.BadNodeIdUnknown
        if not 1 <= item.AttributeId <= 27:
            return Codes.BadAttributeIdInvalid
        if place is not None:
            is_value = item.AttributeId == _A.Value and place.node.node_class is ua.NodeClass.Variable
            if not is_value and self._computed.attribute(place, item.AttributeId, frozenset()) is None:
                return Codes.BadAttributeIdInvalid
            return Codes.BadNotWritable
        status = self._stored.attribute(item.NodeId, item.AttributeId).StatusCode
        if status is not None and status.value == Codes.BadAttributeIdInvalid:
            return Codes.BadAttributeIdInvalid
        return Codes.BadNotWritable


def _encoding_code(item: ua.ReadValueId) -> int:
    """DataEncoding belongs to values of structures; only the default binary one is known (OPC 10000-4, 5.11.2)."""
    encoding = item.DataEncoding
    name = "" if encoding is None or encoding.Name is None else encoding.Name
    if not name:
        return 0
    if item.AttributeId != _A.Value:
        return Codes.BadDataEncodingInvalid
    return 0 if name in _DEFAULT_BINARY and encoding.NamespaceIndex == 0 else Codes.BadDataEncodingUnsupported
