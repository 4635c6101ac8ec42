"""Discovery service set: GetEndpoints and FindServers, without session and on every channel (OPC 10000-4, 5.5)."""

from __future__ import annotations

from typing import Any

from asyncua import ua

from server.opcua.context import ServerContext
from server.opcua.services.service_table import RequestContext


class DiscoveryServices:
    """The handlers. This server is no discovery server: RegisterServer and its kin stay unsupported."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def register(self) -> None:
        """Put both services into the table."""
        table, ids = self._context.services, ua.ObjectIds
        table.register(ids.GetEndpointsRequest_Encoding_DefaultBinary, self.get_endpoints, session=False)
        table.register(ids.FindServersRequest_Encoding_DefaultBinary, self.find_servers, session=False)

    async def get_endpoints(self, _: None, params: Any, request: RequestContext) -> Any:
        """GetEndpoints, filtered by transport profile."""
        response: Any = ua.GetEndpointsResponse()
        response.Endpoints = self._context.endpoints.descriptions(
            params.EndpointUrl, request.connection.local_address, params.ProfileUris or ()
        )
        return response

    async def find_servers(self, _: None, params: Any, request: RequestContext) -> Any:
        """FindServers, filtered by ServerUris."""
        response: Any = ua.FindServersResponse()
        response.Servers = self._context.endpoints.servers(
            params.EndpointUrl, request.connection.local_address, params.ServerUris or ()
        )
        return response
