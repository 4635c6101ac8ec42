"""MonitoredItem service set (OPC 10000-4, 5.13). Long lists are worked off in slices; nothing holds the loop."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from asyncua import ua

from server.opcua import wire
from server.opcua.errors import ServiceFaultError
from server.opcua.publishing.encoding import statuses
from server.opcua.publishing.registry import Registry
from server.opcua.publishing.sources import ItemError
from server.opcua.publishing.subscription import Subscription
from server.opcua.services.service_table import RequestContext, ServiceTable
from server.opcua.services.view_services import Pace
from server.opcua.session import Session

_Ids = ua.ObjectIds
SLICE_ITEMS = 100
Result = TypeVar("Result")


class MonitoredItemServices:
    """Handlers of the set."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def register(self, services: ServiceTable) -> None:
        """Enter the handlers into the table of services."""
        services.register(_Ids.CreateMonitoredItemsRequest_Encoding_DefaultBinary, self.create)
        services.register(_Ids.ModifyMonitoredItemsRequest_Encoding_DefaultBinary, self.modify)
        services.register(_Ids.SetMonitoringModeRequest_Encoding_DefaultBinary, self.set_mode)
        services.register(_Ids.SetTriggeringRequest_Encoding_DefaultBinary, self.set_triggering)
        services.register(_Ids.DeleteMonitoredItemsRequest_Encoding_DefaultBinary, self.delete)

    async def _sliced(
        self, session: Session, number: int, items: Sequence[Any], work: Callable[[Subscription, Sequence[Any]], Result]
    ) -> list[Result]:
        """Results of the slices. Between two of them the subscription may end or change hands: then so does the call."""
        pace, results = Pace(), []
        for start in range(0, len(items), SLICE_ITEMS):
            subscription = self._registry.owned(session, number)
            results.append(work(subscription, items[start : start + SLICE_ITEMS]))
            await pace.breathe()
        return results

    async def create(self, session: Session, params: Any, context: RequestContext) -> bytes:
        """CreateMonitoredItems."""
        times, created = int(params.TimestampsToReturn), []

        def work(subscription: Subscription, requests: Sequence[Any]) -> bytes:
            room = self._registry.room_for_items(subscription)
            numbers, results = subscription.items.create(requests, times, room, wire.now_ticks())
            created.extend(numbers)
            return results

        try:
            results = await self._sliced(session, params.SubscriptionId, params.ItemsToCreate, work)
        except BaseException:
            # The client never learns the ids of these items.
            found = self._registry.find(params.SubscriptionId)
            if found is not None and created:
                found.items.delete(created)
            raise
        head = wire.response_head(_Ids.CreateMonitoredItemsResponse_Encoding_DefaultBinary, context.request_handle)
        return _listed(head, len(params.ItemsToCreate), results)

    async def modify(self, session: Session, params: Any, context: RequestContext) -> bytes:
        """ModifyMonitoredItems."""
        times = int(params.TimestampsToReturn)
        results = await self._sliced(
            session,
            params.SubscriptionId,
            params.ItemsToModify,
            lambda subscription, requests: subscription.items.modify(requests, times, wire.now_ticks()),
        )
        head = wire.response_head(_Ids.ModifyMonitoredItemsResponse_Encoding_DefaultBinary, context.request_handle)
        return _listed(head, len(params.ItemsToModify), results)

    async def set_mode(self, session: Session, params: Any, context: RequestContext) -> Any:
        """SetMonitoringMode."""
        mode = int(params.MonitoringMode)
        response: Any = ua.SetMonitoringModeResponse()
        found = await self._sliced(
            session,
            params.SubscriptionId,
            params.MonitoredItemIds,
            lambda subscription, numbers: subscription.items.set_mode(numbers, mode, wire.now_ticks()),
        )
        response.Parameters.Results = statuses(code for codes in found for code in codes)
        return response

    async def set_triggering(self, session: Session, params: Any, context: RequestContext) -> Any:
        """SetTriggering."""
        subscription = self._registry.owned(session, params.SubscriptionId)
        try:
            added, removed = subscription.items.triggering.link(
                int(params.TriggeringItemId), params.LinksToAdd or (), params.LinksToRemove or ()
            )
        except ItemError as error:
            raise ServiceFaultError(error.code, f"item {params.TriggeringItemId}") from error
        response: Any = ua.SetTriggeringResponse()
        response.Parameters.AddResults, response.Parameters.RemoveResults = statuses(added), statuses(removed)
        return response

    async def delete(self, session: Session, params: Any, context: RequestContext) -> Any:
        """DeleteMonitoredItems."""
        response: Any = ua.DeleteMonitoredItemsResponse()
        found = await self._sliced(
            session,
            params.SubscriptionId,
            params.MonitoredItemIds,
            lambda subscription, numbers: subscription.items.delete(numbers),
        )
        response.Results = statuses(code for codes in found for code in codes)
        return response


def _listed(head: bytes, count: int, results: Sequence[bytes]) -> bytes:
    return b"".join((head, count.to_bytes(4, "little"), *results, wire.NULL_STRING))
