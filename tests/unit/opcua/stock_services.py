"""Read and Browse of stored nodes by asyncua's own code: enough for tests of the channel to look at namespace 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncua import ua

from server.opcua.services.service_table import RequestContext, ServiceTable
from server.opcua.session import Session

if TYPE_CHECKING:
    from asyncua.server.internal_server import InternalServer


class StockServices:
    """Handlers over asyncua's AttributeService and ViewService."""

    def __init__(self, internal: InternalServer) -> None:
        self._internal = internal

    def register(self, table: ServiceTable) -> None:
        """Put both services into the table; a later registration replaces them."""
        table.register(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary, self.read)
        table.register(ua.ObjectIds.BrowseRequest_Encoding_DefaultBinary, self.browse)

    async def read(self, _: Session, params: Any, __: RequestContext) -> Any:
        """Read attributes of stored nodes."""
        response: Any = ua.ReadResponse()
        response.Results = self._internal.attribute_service.read(params)
        return response

    async def browse(self, _: Session, params: Any, __: RequestContext) -> Any:
        """References of stored nodes."""
        response: Any = ua.BrowseResponse()
        response.Results = self._internal.view_service.browse(params)
        return response
