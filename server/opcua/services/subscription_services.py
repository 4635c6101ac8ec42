"""Subscription service set (OPC 10000-4, 5.14)."""

from collections.abc import Callable
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer

from server.opcua.errors import ServiceFaultError
from server.opcua.publishing.encoding import acknowledgements, republish_response, statuses
from server.opcua.publishing.intervals import Timing, subscription_timing
from server.opcua.publishing.publish_queue import PublishRequest
from server.opcua.publishing.registry import Registry
from server.opcua.publishing.transfer import transfer
from server.opcua.services.service_table import RequestContext, ServiceTable
from server.opcua.session import Session

Codes = ua.StatusCodes
_Ids = ua.ObjectIds


class SubscriptionServices:
    """Handlers of the set."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def register(self, services: ServiceTable) -> None:
        """Enter the handlers into the table of services. Publish and Republish are read and written by hand."""
        services.register(_Ids.CreateSubscriptionRequest_Encoding_DefaultBinary, self.create)
        services.register(_Ids.ModifySubscriptionRequest_Encoding_DefaultBinary, self.modify)
        services.register(_Ids.SetPublishingModeRequest_Encoding_DefaultBinary, self.set_publishing_mode)
        services.register(_Ids.PublishRequest_Encoding_DefaultBinary, self.publish, raw=True)
        services.register(_Ids.RepublishRequest_Encoding_DefaultBinary, self.republish)
        services.register(_Ids.TransferSubscriptionsRequest_Encoding_DefaultBinary, self.transfer)
        services.register(_Ids.DeleteSubscriptionsRequest_Encoding_DefaultBinary, self.delete)

    def _timing(self, params: Any) -> Timing:
        return subscription_timing(
            float(params.RequestedPublishingInterval),
            int(params.RequestedLifetimeCount),
            int(params.RequestedMaxKeepAliveCount),
            self._registry.limits.minimum_sample_rate_ms,
        )

    async def create(self, session: Session, params: Any, context: RequestContext) -> Any:
        """CreateSubscription."""
        subscription = self._registry.create(session, self._timing(params))
        subscription.set_maximum(int(params.MaxNotificationsPerPublish))
        subscription.priority, subscription.enabled = int(params.Priority), bool(params.PublishingEnabled)
        response: Any = ua.CreateSubscriptionResponse()
        result, timing = response.Parameters, subscription.timing
        result.SubscriptionId, result.RevisedPublishingInterval = subscription.id, timing.interval_ms
        result.RevisedLifetimeCount, result.RevisedMaxKeepAliveCount = timing.lifetime, timing.keep_alive
        return response

    async def modify(self, session: Session, params: Any, context: RequestContext) -> Any:
        """ModifySubscription."""
        subscription = self._registry.owned(session, params.SubscriptionId)
        self._registry.reschedule(subscription, self._timing(params))
        subscription.set_maximum(int(params.MaxNotificationsPerPublish))
        subscription.priority = int(params.Priority)
        response: Any = ua.ModifySubscriptionResponse()
        result, timing = response.Parameters, subscription.timing
        result.RevisedPublishingInterval = timing.interval_ms
        result.RevisedLifetimeCount, result.RevisedMaxKeepAliveCount = timing.lifetime, timing.keep_alive
        return response

    async def set_publishing_mode(self, session: Session, params: Any, context: RequestContext) -> Any:
        """SetPublishingMode: without publishing there are keep-alives only."""
        response: Any = ua.SetPublishingModeResponse()
        enabled = bool(params.PublishingEnabled)

        def switch(number: int) -> None:
            self._registry.owned(session, number).enabled = enabled

        response.Parameters.Results = _each(params.SubscriptionIds, switch)
        return response

    async def publish(self, session: Session, body: Buffer, context: RequestContext) -> None:
        """Publish: acknowledges at once, answers when there is something to tell."""
        queue = self._registry.queue_of(session)
        given = acknowledgements(bytes(body.read(len(body))), self._registry.limits.acknowledgements_per_publish)
        results = [queue.acknowledge(subscription, number) for subscription, number in given]
        if queue.idle:
            raise ServiceFaultError(Codes.BadNoSubscription, "session has no subscription")
        queue.push(PublishRequest(context, results))

    async def republish(self, session: Session, params: Any, context: RequestContext) -> bytes:
        """Republish: the same bytes once more."""
        subscription = self._registry.owned(session, params.SubscriptionId)
        body = subscription.sent.get(int(params.RetransmitSequenceNumber))
        if body is None:
            raise ServiceFaultError(Codes.BadMessageNotAvailable, f"message {params.RetransmitSequenceNumber}")
        return republish_response(context.request_handle, body)

    async def transfer(self, session: Session, params: Any, context: RequestContext) -> Any:
        """TransferSubscriptions to this session."""
        response: Any = ua.TransferSubscriptionsResponse()
        results = []
        for number in params.SubscriptionIds:
            result: Any = ua.TransferResult()
            try:
                available = transfer(self._registry, session, number, bool(params.SendInitialValues))
            except ServiceFaultError as error:
                result.StatusCode = statuses([error.code])[0]
                session.audit("TransferSubscriptions", False, f"{number}: {error}")
            else:
                result.AvailableSequenceNumbers = list(available)
                session.audit("TransferSubscriptions", True, str(number))
            results.append(result)
        response.Parameters.Results = results
        return response

    async def delete(self, session: Session, params: Any, context: RequestContext) -> Any:
        """DeleteSubscriptions."""
        response: Any = ua.DeleteSubscriptionsResponse()

        def delete(number: int) -> None:
            self._registry.delete(self._registry.owned(session, number))

        response.Results = _each(params.SubscriptionIds, delete)
        return response


def _each(numbers: list[int], work: Callable[[int], None]) -> list[ua.StatusCode]:
    """A status for each operation of a call."""
    codes = []
    for number in numbers:
        try:
            work(number)
        except ServiceFaultError as error:
            codes.append(error.code)
        else:
            codes.append(int(Codes.Good))
    return statuses(codes)
