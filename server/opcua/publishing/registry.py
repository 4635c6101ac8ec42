"""All subscriptions of the server: who owns them, how many there may be, what happens to them when a session ends."""

import logging
import secrets
from collections.abc import Callable
from typing import cast

from asyncua import ua

from server.opcua import wire
from server.opcua.errors import ServiceFaultError, code_name
from server.opcua.limits import Limits
from server.opcua.publishing.budget import Budget
from server.opcua.publishing.intervals import Timing
from server.opcua.publishing.items import Items
from server.opcua.publishing.publish_queue import PublishQueue
from server.opcua.publishing.sources import Sources
from server.opcua.publishing.subscription import Owner, Subscription
from server.opcua.session import Session

Codes = ua.StatusCodes
log = logging.getLogger("gridbms.opcua.publishing")
_STORAGE = "publishing"
_IDS = 1 << 31


class Registry:
    """Subscriptions by id, and the publishing state of every session that has one."""

    def __init__(
        self,
        sources: Sources,
        limits: Limits,
        clock: Callable[[], float],
        tick: Callable[[], int],
        rouse: Callable[[], None],
        first_id: int | None,
    ) -> None:
        """`tick` tells the tick of now; `rouse` is called when the next one must not be slept over; `first_id`: see
        `PublishingEngine`."""
        self.limits = limits
        self.rouse = rouse
        self.subscriptions: dict[int, Subscription] = {}
        self.queues: dict[int, PublishQueue] = {}
        self._sources, self._clock, self._tick = sources, clock, tick
        self._period_s = limits.minimum_sample_rate_ms / 1000
        self._queue_memory = Budget(limits.queue_bytes)
        self._next_id = secrets.randbelow(_IDS) if first_id is None else first_id - 1
        self._gone_notifications = 0
        self._gone_ordinary = 0

    def queue_of(self, session: Session) -> PublishQueue:
        """Publishing state of a session, made at its first use and gone with the session."""
        queue = _queue(session)
        if queue is None:
            queue = PublishQueue(session, self._clock, self.failed)
            session.storage[_STORAGE] = queue
            self.queues[id(queue)] = queue
            session.on_close.append(self._session_closed)
            session.on_channel_lost.append(_channel_lost)
            session.on_user_changed.append(self._user_changed)
            session.on_cancel.append(_cancelled)
        return queue

    def create(self, session: Session, timing: Timing) -> Subscription:
        """A new subscription of a session. Raises ServiceFaultError: BadTooManySubscriptions."""
        queue = self.queue_of(session)
        self.check_room(queue)
        if len(self.subscriptions) >= self.limits.subscriptions:
            raise ServiceFaultError(Codes.BadTooManySubscriptions, f"{len(self.subscriptions)} in all")
        number = self._free_id()
        owner = Owner.of(session)
        items = Items(
            self._sources, self.limits, self._queue_memory, number, timing.interval_ms, owner.roles, self.rouse
        )
        subscription = self.subscriptions[number] = Subscription(number, timing, items, owner)
        queue.join(subscription)
        subscription.schedule(self._tick(), self._period_s, first=True)
        self.rouse()
        return subscription

    def _free_id(self) -> int:
        while True:
            self._next_id = self._next_id % (_IDS - 1) + 1
            if self._next_id not in self.subscriptions:
                return self._next_id

    def check_room(self, queue: PublishQueue) -> None:
        """Raises ServiceFaultError: BadTooManySubscriptions, where the session may have no more."""
        if len(queue.subscriptions) >= self.limits.subscriptions_per_session:
            raise ServiceFaultError(Codes.BadTooManySubscriptions, f"{len(queue.subscriptions)} in this session")

    def owned(self, session: Session, number: int) -> Subscription:
        """Subscription of this very session. Raises ServiceFaultError: BadSubscriptionIdInvalid, also for others'."""
        found = self.subscriptions.get(int(number))
        if found is None or found.closed or found.queue is None or found.queue.session is not session:
            raise ServiceFaultError(Codes.BadSubscriptionIdInvalid, f"subscription {number}")
        found.touch()
        return found

    def find(self, number: int) -> Subscription | None:
        """Subscription of anybody."""
        return self.subscriptions.get(int(number))

    def reschedule(self, subscription: Subscription, timing: Timing) -> None:
        """Change the timing; the running interval ends no later than the new one would."""
        subscription.set_timing(timing)
        due = subscription.due
        subscription.schedule(self._tick(), self._period_s, first=True)
        subscription.due = min(due, subscription.due)
        self.rouse()

    def delete(self, subscription: Subscription, code: int = 0) -> None:
        """End a subscription; with a code its session is told by a StatusChangeNotification."""
        if subscription.closed:
            return
        subscription.closed = True
        self._gone_notifications += subscription.notifications
        self._gone_ordinary += subscription.items.ordinary_reported
        self.subscriptions.pop(subscription.id, None)
        subscription.items.clear()
        queue = subscription.queue
        if queue is None:
            return
        queue.leave(subscription)
        if code:
            log.info("subscription %d of %s ended: %s", subscription.id, queue.session.name, code_name(code))
            queue.tell(subscription, code)
        queue.settle()

    def failed(self, subscription: Subscription, error: Exception) -> None:
        """End a subscription that raised; its client is told."""
        log.error("subscription %d failed and is deleted", subscription.id, exc_info=error)
        self.delete(subscription, Codes.BadInternalError)

    # -- sessions

    def _session_closed(self, session: Session, delete_subscriptions: bool) -> None:
        queue = self.queue_of(session)
        self.queues.pop(id(queue), None)
        queue.refuse_all(Codes.BadSessionClosed)
        for subscription in list(queue.subscriptions.values()):
            if delete_subscriptions:
                self.delete(subscription)
            else:
                queue.leave(subscription)
                subscription.owner = Owner.of(session)
                self._limit_orphans(subscription)

    def _limit_orphans(self, subscription: Subscription) -> None:
        """A user may leave some subscriptions behind to be taken over; more than that, and the oldest goes."""
        account = subscription.owner.account
        orphans = [
            found for found in self.subscriptions.values() if found.queue is None and found.owner.account == account
        ]
        if len(orphans) > self.limits.orphaned_subscriptions_per_user:
            self.delete(max(orphans, key=lambda orphan: orphan.lifetime * orphan.timing.interval_ms))

    def _user_changed(self, session: Session) -> None:
        for subscription in self.queue_of(session).subscriptions.values():
            subscription.owner = Owner.of(session)
            subscription.items.new_user(session.roles, wire.now_ticks())

    # -- figures

    def room_for_items(self, subscription: Subscription) -> int:
        """How many more items a subscription may have by the limits of subscription, session and server."""
        limits, queue = self.limits, subscription.queue
        return min(
            limits.monitored_items_per_subscription - len(subscription.items),
            limits.monitored_items_per_session - (queue.items if queue is not None else 0),
            limits.monitored_items - sum(len(found.items) for found in self.subscriptions.values()),
        )

    def counts(self) -> dict[str, int]:
        """Subscriptions and items now, notifications since start (in all, and those on the ordinary path)."""
        living = self.subscriptions.values()
        return {
            "subscriptions": len(living),
            "monitored_items": sum(len(found.items) for found in living),
            "notifications": self._gone_notifications + sum(found.notifications for found in living),
            "ordinary_notifications": self._gone_ordinary + sum(found.items.ordinary_reported for found in living),
        }


def _queue(session: Session) -> PublishQueue | None:
    return cast("PublishQueue | None", session.storage.get(_STORAGE))


def _channel_lost(session: Session) -> None:
    """Requests that came on the lost channel can no longer be answered; on one that was left they are refused."""
    queue = _queue(session)
    if queue is not None:
        queue.refuse_all(Codes.BadSecureChannelClosed)


def _cancelled(session: Session, handle: int) -> int:
    queue = _queue(session)
    return queue.cancel(handle) if queue is not None else 0
