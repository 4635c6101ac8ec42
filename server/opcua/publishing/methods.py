"""Methods of the Server object that belong to subscriptions (OPC 10000-5, 9.1 and 9.2): GetMonitoredItems, ResendData."""

from collections.abc import Callable, Sequence
from typing import Any

from asyncua import ua

from server.opcua import wire
from server.opcua.errors import ServiceFaultError
from server.opcua.publishing.registry import Registry
from server.opcua.publishing.subscription import Subscription
from server.opcua.session import Session

Codes = ua.StatusCodes
GET_MONITORED_ITEMS, RESEND_DATA = 11492, 12873
"""NodeIds (namespace 0) of the methods of the Server object."""
Handler = Callable[[Session, Sequence[Any]], list[ua.Variant]]


class SubscriptionMethods:
    """Answers the calls. `handlers` maps the NodeId of a method to a function (session, input Variants) -> output
    Variants that raises ServiceFaultError with the status of the call."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.handlers: dict[int, Handler] = {
            GET_MONITORED_ITEMS: self.get_monitored_items,
            RESEND_DATA: self.resend_data,
        }

    def get_monitored_items(self, session: Session, arguments: Sequence[Any]) -> list[ua.Variant]:
        """Server and client handles of the items of a subscription."""
        handles = self._subscription(session, arguments).items.handles()
        columns = zip(*handles, strict=True) if handles else ((), ())
        return [ua.Variant(list(column), ua.VariantType.UInt32, is_array=True) for column in columns]

    def resend_data(self, session: Session, arguments: Sequence[Any]) -> list[ua.Variant]:
        """Report the last value of every reporting item once more."""
        self._subscription(session, arguments).items.resend(wire.now_ticks())
        return []

    def _subscription(self, session: Session, arguments: Sequence[Any]) -> Subscription:
        if len(arguments) != 1:
            raise ServiceFaultError(Codes.BadTooManyArguments if arguments else Codes.BadArgumentsMissing)
        number = arguments[0]
        if number.VariantType is not ua.VariantType.UInt32 or number.is_array:
            raise ServiceFaultError(Codes.BadInvalidArgument)
        found = self._registry.find(number.Value)
        if found is None:
            raise ServiceFaultError(Codes.BadSubscriptionIdInvalid)
        if found.queue is None or found.queue.session is not session:
            raise ServiceFaultError(Codes.BadUserAccessDenied)
        found.touch()
        return found
