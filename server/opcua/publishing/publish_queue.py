"""What publishing keeps per session: waiting Publish requests, its subscriptions, messages not yet acknowledged."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from asyncua import ua

from server.opcua import wire
from server.opcua.errors import ChannelError
from server.opcua.publishing.encoding import message, publish_response, status_change
from server.opcua.publishing.subscription import MESSAGE_BYTES, Subscription
from server.opcua.services.service_table import RequestContext
from server.opcua.session import Session
from server.opcua.wire import Pieces

Codes = ua.StatusCodes
SPARE_REQUESTS = 10
"""Publish requests that may wait beside one per subscription."""
KEPT_MESSAGES, KEPT_BYTES = 20, 8 << 20
"""Messages that are kept for Republish; more where more Publish requests may be under way."""
STATUS_CHANGES = 100
_CHUNK_BYTES, _HEAD_BYTES = 128, 1_024
"""Room in a chunk for header, signature and padding; room in a response for everything but items and results."""


@dataclass(slots=True)
class PublishRequest:
    """A waiting request and the results of its acknowledgements."""

    context: RequestContext
    results: list[int]


class PublishQueue:
    """Requests are served first in, first out; of the subscriptions the one with the highest priority comes first, and
    among equals the one that was served longest ago."""

    def __init__(
        self, session: Session, clock: Callable[[], float], failed: Callable[[Subscription, Exception], None]
    ) -> None:
        """`failed` ends a subscription that raised an exception: the others go on."""
        self.session = session
        self._clock, self._failed = clock, failed
        self.requests: deque[PublishRequest] = deque()
        self.subscriptions: dict[int, Subscription] = {}
        self._status_changes: deque[tuple[int, int, int]] = deque(maxlen=STATUS_CHANGES)
        self._kept: dict[tuple[int, int], int] = {}
        """(subscription, sequence number) -> bytes of every kept message, oldest first."""
        self._kept_bytes = 0
        self._serial = 0
        self.blocked = False
        """Something could be answered, but the client does not read."""

    # -- subscriptions

    @property
    def items(self) -> int:
        """Monitored items of the session."""
        return sum(len(subscription.items) for subscription in self.subscriptions.values())

    def join(self, subscription: Subscription) -> None:
        """Own a subscription from now on."""
        self.subscriptions[subscription.id] = subscription
        subscription.queue = self
        for number, body in list(subscription.sent.items()):
            self._keep(subscription, number, body)

    def leave(self, subscription: Subscription) -> None:
        """Own it no longer."""
        self.subscriptions.pop(subscription.id, None)
        subscription.queue = None
        for number in subscription.sent:
            self._kept_bytes -= self._kept.pop((subscription.id, number), 0)

    def tell(self, subscription: Subscription, code: int) -> None:
        """Queue a StatusChangeNotification; it needs no living subscription any more."""
        self._status_changes.append((subscription.id, subscription.sequence, code))

    # -- messages

    def _keep(self, subscription: Subscription, number: int, body: Pieces) -> None:
        size = self._kept[subscription.id, number] = sum(map(len, body))
        self._kept_bytes += size
        most = max(KEPT_MESSAGES, 2 * self._room_for_requests)
        while len(self._kept) > most or self._kept_bytes > KEPT_BYTES:
            oldest = next(iter(self._kept))
            self._kept_bytes -= self._kept.pop(oldest)
            self.subscriptions[oldest[0]].sent.pop(oldest[1], None)

    def acknowledge(self, subscription_id: int, number: int) -> int:
        """Forget a message; status for the client."""
        subscription = self.subscriptions.get(subscription_id)
        if subscription is None:
            return int(Codes.BadSubscriptionIdInvalid)
        if subscription.sent.pop(number, None) is None:
            return int(Codes.BadSequenceNumberUnknown)
        self._kept_bytes -= self._kept.pop((subscription_id, number), 0)
        return int(Codes.Good)

    # -- requests

    @property
    def _room_for_requests(self) -> int:
        return len(self.subscriptions) + SPARE_REQUESTS

    def push(self, request: PublishRequest) -> None:
        """A new request; when too many wait, the oldest is answered (OPC 10000-4, 5.14.5)."""
        self.requests.append(request)
        self.serve_one()
        while len(self.requests) > self._room_for_requests:
            self._refuse(self.requests.popleft(), Codes.BadTooManyPublishRequests)

    def refuse_all(self, code: int) -> None:
        """Answer every waiting request with a fault."""
        while self.requests:
            self._refuse(self.requests.popleft(), code)

    def cancel(self, handle: int) -> int:
        """Answer the requests with this handle; their number."""
        found = [request for request in self.requests if request.context.request_handle == handle]
        for request in found:
            self.requests.remove(request)
            self._refuse(request, Codes.BadRequestCancelledByClient)
        return len(found)

    def drop_overdue(self) -> None:
        """Answer requests whose client no longer waits."""
        if not any(request.context.deadline_s is not None for request in self.requests):
            return
        now = self._clock()
        for request in [r for r in self.requests if r.context.deadline_s is not None and r.context.deadline_s < now]:
            self.requests.remove(request)
            self._refuse(request, Codes.BadTimeout)

    def settle(self) -> None:
        """After a subscription has gone: without any, no request has anything to wait for."""
        while self._status_changes and self.serve_one():
            pass
        if not self.subscriptions and not self._status_changes:
            self.refuse_all(Codes.BadNoSubscription)

    @property
    def idle(self) -> bool:
        """True where a Publish request can never be answered with a message."""
        return not self.subscriptions and not self._status_changes

    # -- serving

    def serve_one(self) -> bool:
        """Answer one waiting request if something is late; False where there was nothing to do.

        Nothing is produced for a client that does not read.
        """
        self.drop_overdue()
        self.blocked = False
        while self.requests:
            channel = self.session.channel
            if channel is None or channel.congested:
                self.blocked = True
                return False
            if self._status_changes:
                number, sequence, code = self._status_changes.popleft()
                body = message(sequence, wire.now_ticks(), status_change(code))
                self._answer(self.requests.popleft(), number, (), False, body)
                return True
            late = [subscription for subscription in self.subscriptions.values() if subscription.late]
            if not late:
                return False
            if self._serve(min(late, key=lambda subscription: (-subscription.priority, subscription.served))):
                return True
        return False

    def _serve(self, subscription: Subscription) -> bool:
        try:
            found = subscription.next_message(_room(self.requests[0]))
        except Exception as error:  # noqa: BLE001 -- handed over
            self._failed(subscription, error)
            return False
        if found is None:
            return False
        self._serial += 1
        subscription.served = self._serial
        body, more = found
        newest = subscription.last_sent
        if subscription.sent.get(newest) is body:
            self._keep(subscription, newest, body)
        self._answer(self.requests.popleft(), subscription.id, tuple(subscription.sent), more, body)
        return True

    def _answer(
        self, request: PublishRequest, number: int, available: tuple[int, ...], more: bool, body: Pieces
    ) -> None:
        context = request.context
        response = publish_response(context.request_handle, number, available, more, body, request.results)
        try:
            context.send_pieces(response)
        except ChannelError as error:
            self._close_channel(error)

    def _refuse(self, request: PublishRequest, code: int) -> None:
        try:
            request.context.send_fault(code)
        except ChannelError as error:
            self._close_channel(error)

    def _close_channel(self, error: ChannelError) -> None:
        if self.session.channel is not None:
            self.session.channel.close(error.code, error.detail)


def _room(request: PublishRequest) -> int:
    """Bytes of notifications that fit into the response to this request."""
    channel, room = request.context.channel, MESSAGE_BYTES
    head = _HEAD_BYTES + 4 * len(request.results)
    if channel.response_bytes:
        room = min(room, channel.response_bytes - head)
    if channel.response_chunks:
        room = min(room, channel.response_chunks * (channel.send_chunk_bytes - _CHUNK_BYTES) - head)
    return max(room, 1)
