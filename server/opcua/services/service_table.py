"""Table of the services: request type -> handler, with the checks that every service shares.

A service set registers its handlers here and knows nothing of channels, tokens or chunks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

from asyncua import ua
from asyncua.ua.ua_binary import get_safe_type_hints

from server.opcua.connection.secure_channel import SecureChannel
from server.opcua.limits import Limits
from server.opcua.session import Channel, Session
from server.opcua.wire import Pieces

Handler = Callable[[Any, Any, "RequestContext"], Awaitable[Any]]
"""(session, decoded parameters or raw body, context) -> response object, complete response body as bytes or in
pieces, or None when the answer follows later through the context. `session` is None for services that need none."""


class ClientConnection(Channel, Protocol):
    """What a service needs to know of the connection on which a request came."""

    @property
    def local_address(self) -> str:
        """Address of ours that the peer has reached."""

    @property
    def alive(self) -> bool:
        """True while answers can be sent."""

    def session_activated(self, session: Session) -> None:
        """A session has moved here; larger messages are accepted from now on."""

    def cancel_requests(self, session: Session, handle: int) -> int:
        """Answer queued requests of a session with this handle BadRequestCancelledByClient; their number."""

    def send_response(self, context: RequestContext, response: Any) -> None:
        """Fill in the response header and send."""

    def send_pieces(self, context: RequestContext, body: Pieces) -> None:
        """Send a complete response body, given in pieces."""

    def send_fault(self, context: RequestContext, code: int) -> None:
        """Answer with a ServiceFault."""


@dataclass
class RequestContext:
    """Everything about one request that is neither session nor parameters."""

    request_id: int
    request_type: int
    header: ua.RequestHeader
    connection: ClientConnection
    channel: SecureChannel
    peer: str
    deadline_s: float | None
    """Monotonic time after which the client no longer waits (TimeoutHint); None when it waits for ever."""
    answered: bool = False

    @property
    def request_handle(self) -> int:
        """Handle that the client gave the request; every response repeats it."""
        return int(self.header.RequestHandle)

    def send(self, response: Any) -> None:
        """Answer later with a response object; its header is filled in here."""
        self.connection.send_response(self, response)

    def send_pieces(self, body: Pieces) -> None:
        """Answer later with a complete response body (type id, response header, parameters), given in pieces."""
        self.connection.send_pieces(self, body)

    def send_fault(self, code: int) -> None:
        """Answer later with a ServiceFault."""
        self.connection.send_fault(self, code)


@dataclass(frozen=True)
class Service:
    """One row of the table."""

    request_type: int
    name: str
    request_class: Any
    parameters_class: Any
    handler: Handler
    operations: Callable[[Any], int] | None
    maximum: str | None
    session: bool
    raw: bool


OPERATIONS: dict[int, tuple[tuple[str, ...], str]] = {
    ua.ObjectIds.ReadRequest_Encoding_DefaultBinary: (("NodesToRead",), "nodes_per_read"),
    ua.ObjectIds.WriteRequest_Encoding_DefaultBinary: (("NodesToWrite",), "nodes_per_write"),
    ua.ObjectIds.CallRequest_Encoding_DefaultBinary: (("MethodsToCall",), "nodes_per_method_call"),
    ua.ObjectIds.BrowseRequest_Encoding_DefaultBinary: (("NodesToBrowse",), "nodes_per_browse"),
    ua.ObjectIds.BrowseNextRequest_Encoding_DefaultBinary: (("ContinuationPoints",), "nodes_per_browse"),
    ua.ObjectIds.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary: (("BrowsePaths",), "nodes_per_translate"),
    ua.ObjectIds.RegisterNodesRequest_Encoding_DefaultBinary: (("NodesToRegister",), "nodes_per_register"),
    ua.ObjectIds.UnregisterNodesRequest_Encoding_DefaultBinary: (("NodesToUnregister",), "nodes_per_register"),
    ua.ObjectIds.HistoryReadRequest_Encoding_DefaultBinary: (("NodesToRead",), "nodes_per_history_read"),
    ua.ObjectIds.HistoryUpdateRequest_Encoding_DefaultBinary: (("HistoryUpdateDetails",), "nodes_per_history_update"),
    ua.ObjectIds.CreateMonitoredItemsRequest_Encoding_DefaultBinary: (("ItemsToCreate",), "items_per_call"),
    ua.ObjectIds.ModifyMonitoredItemsRequest_Encoding_DefaultBinary: (("ItemsToModify",), "items_per_call"),
    ua.ObjectIds.SetMonitoringModeRequest_Encoding_DefaultBinary: (("MonitoredItemIds",), "items_per_call"),
    ua.ObjectIds.DeleteMonitoredItemsRequest_Encoding_DefaultBinary: (("MonitoredItemIds",), "items_per_call"),
    ua.ObjectIds.SetTriggeringRequest_Encoding_DefaultBinary: (("LinksToAdd", "LinksToRemove"), "items_per_call"),
    ua.ObjectIds.SetPublishingModeRequest_Encoding_DefaultBinary: (("SubscriptionIds",), "subscriptions_per_call"),
    ua.ObjectIds.DeleteSubscriptionsRequest_Encoding_DefaultBinary: (("SubscriptionIds",), "subscriptions_per_call"),
    ua.ObjectIds.TransferSubscriptionsRequest_Encoding_DefaultBinary: (("SubscriptionIds",), "subscriptions_per_call"),
}
"""Encoding id of the request -> (list parameters that are its operations, field of `Limits` that bounds them). An
empty list is BadNothingToDo, a longer one BadTooManyOperations (OPC 10000-4, 7.38.2)."""


def _counter(names: tuple[str, ...]) -> Callable[[Any], int]:
    return lambda params: sum(len(getattr(params, name) or ()) for name in names)


class ServiceTable:
    """The services that this server has; every other request type is answered BadServiceUnsupported."""

    def __init__(self) -> None:
        self._services: dict[int, Service] = {}

    def register(
        self,
        request_type_id: int,
        handler: Handler,
        *,
        operations: Callable[[Any], int] | None = None,
        limit: str | None = None,
        session: bool = True,
        raw: bool = False,
    ) -> None:
        """Register or replace the handler of a request type.

        Args:
            request_type_id: NodeId (namespace 0) of the request's binary encoding, such as 631 for Read.
            handler: see `Handler`; runs in the loop and must not hold it. It is cancelled when the connection is
                lost: what must finish all the same, such as a command under way, is to be shielded.
            operations: counts the operations of a request; by default the lists of `OPERATIONS`.
            limit: name of the field of `Limits` that bounds the count; by default that of `OPERATIONS`.
            session: the request must carry the token of an activated session on its channel.
            raw: the handler gets the undecoded parameters (a `Buffer` behind the request header, not scanned) and
                returns the complete response body. It counts its operations itself.
        """
        request_class = ua.extension_objects_by_typeid.get(ua.NodeId(ua.Int32(request_type_id)))
        if request_class is None or "RequestHeader" not in getattr(request_class, "__dataclass_fields__", {}):
            raise ValueError(f"request type {request_type_id}: expected the NodeId of the binary encoding of a request")
        hints = get_safe_type_hints(request_class, {"ua": ua})
        default = OPERATIONS.get(request_type_id)
        if default is not None:
            operations, limit = operations or _counter(default[0]), limit or default[1]
        if limit is not None and limit not in {item.name for item in fields(Limits)}:
            raise ValueError(f"limit {limit!r} is no field of Limits")
        self._services[request_type_id] = Service(
            request_type_id,
            request_class.__name__.removesuffix("Request"),
            request_class,
            hints.get("Parameters"),
            handler,
            operations,
            limit,
            session,
            raw,
        )

    def find(self, request_type_id: int) -> Service | None:
        """Row of a request type; None when the server does not have the service."""
        return self._services.get(request_type_id)
