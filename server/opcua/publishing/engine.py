"""The publishing engine: all subscriptions of the server, sampled and published from one tick.

No subscription has a timer or a task of its own.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from typing import cast

from asyncua import ua

from server.opcua import wire
from server.opcua.address_space.computed import Computed
from server.opcua.address_space.stored import Stored
from server.opcua.address_space.values import Values
from server.opcua.errors import ServiceFaultError, code_name
from server.opcua.image import ImageView
from server.opcua.limits import Limits
from server.opcua.publishing.budget import Budget
from server.opcua.publishing.intervals import Timing
from server.opcua.publishing.items import Items
from server.opcua.publishing.publish_queue import PublishQueue
from server.opcua.publishing.sources import Sources
from server.opcua.publishing.subscription import Owner, Subscription
from server.opcua.publishing.ticker import Ticker
from server.opcua.session import Session

Codes = ua.StatusCodes
log = logging.getLogger("gridbms.opcua.publishing")
_STORAGE = "publishing"
_IDS = 1 << 31
LONGEST_REST_S = 1.0
"""So often at least it is looked whether a Publish request waits for longer than its client does."""
SHORTEST_REST = 3
"""Fewer idle ticks than these are not worth closing the ears for."""
_DONE = object()


class PublishingEngine:
    """All subscriptions of the server.

    `on_image` is to be called whenever the core has published, `step` when it has not for the seconds that it returned
    last; `run` is to run beside them as long as the server does.
    """

    def __init__(
        self,
        computed: Computed,
        values: Values,
        stored: Stored,
        image: ImageView,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        first_id: int | None = None,
    ) -> None:
        """`first_id` is the id of the first subscription, which also sets its phase; by default a random one, because
        a client that comes back after a restart must not hit upon somebody else's subscription."""
        self.limits = limits
        self.clock = clock
        self.sources = Sources(computed, values, stored, image)
        self.period_s = limits.minimum_sample_rate_ms / 1000
        self._overdue_every = max(1, round(LONGEST_REST_S / self.period_s))
        self._ticker = Ticker(self.period_s, clock, self._work_through, self._silence, self._next_due)
        self._subscriptions: dict[int, Subscription] = {}
        self._queues: dict[int, PublishQueue] = {}
        self.on_rouse: Callable[[], None] = lambda: None
        self._queue_memory = Budget(limits.queue_bytes)
        self._next_id = secrets.randbelow(_IDS) if first_id is None else first_id - 1
        self._first_queue = 0
        self._gone_notifications = 0
        self._gone_ordinary = 0

    # -- ticks

    def on_image(self) -> None:
        """There is a new image: sample, and publish what is due.

        Works for 10 ms at most; `run` does the rest.
        """
        self._ticker.on_image()

    def finish(self) -> None:
        """Do at once what `on_image` left over: for simulated time, where nobody else waits for the loop."""
        self._ticker.finish()

    async def run(self) -> None:
        """Finish what `on_image` and `step` leave over. Runs until it is cancelled."""
        await self._ticker.run()

    def rest_s(self) -> float:
        """Seconds from a tick on in which no tick needs to be told; 0 where the next one is needed, or soon one is."""
        rest = self._ticker.rest
        return (rest + 0.5) * self.period_s if rest >= SHORTEST_REST else 0.0

    def rouse(self) -> None:
        """Something has changed: the next tick is needed."""
        self._ticker.rouse()
        self.on_rouse()

    def step(self) -> float:
        """No image was announced for a while: tick if it is missing. Returns seconds until the next look."""
        return self._ticker.step()

    @property
    def tick(self) -> int:
        """Image periods since start."""
        return self._ticker.tick

    def _next_due(self) -> float:
        """The first tick at which something is to be sampled, published or answered."""
        if any(queue.blocked for queue in self._queues.values()):
            return 0
        due: float = self.tick + self._overdue_every - self.tick % self._overdue_every
        for subscription in self._subscriptions.values():
            due = min(due, subscription.due, subscription.items.rest_until)
        return due

    def _silence(self) -> bool:
        """No image has come for a while. True where somebody is to be told, or kept alive."""
        if self.sources.image.refresh():
            self._ticker.rouse()
        return bool(self._queues or self._subscriptions)

    def _work_through(self) -> Iterator[None]:
        """One tick, in steps. The next tick begins with the session at which this one ran long."""
        self.sources.new_tick()
        queues: list[PublishQueue | None] = [*self._queues.values(), None]
        first = self._first_queue % len(queues)
        for place, queue in enumerate(queues[first:] + queues[:first]):
            self._first_queue = first + place
            yield from self._serve(queue)
        self._first_queue = first + 1

    def _serve(self, queue: PublishQueue | None) -> Iterator[None]:
        if queue is None:
            mine = [found for found in self._subscriptions.values() if found.queue is None]
        else:
            mine = list(queue.subscriptions.values())
        tick, now = self.tick, wire.now_ticks()
        waits = True
        for subscription in mine:
            if tick >= subscription.items.rest_until and not subscription.closed:
                yield from self._sample(subscription, now)
        for subscription in mine:
            if tick >= subscription.due and not subscription.closed:
                self._guarded(subscription, self._cycle)
                waits = False
        yield
        if queue is None or (waits and not queue.blocked and tick % self._overdue_every):
            return
        while queue.serve_one():
            yield

    def _sample(self, subscription: Subscription, now: int) -> Iterator[None]:
        steps = subscription.items.sample(self.tick, now)
        while not subscription.closed:
            done = False

            def step(_: Subscription) -> None:
                nonlocal done
                done = next(steps, _DONE) is _DONE

            self._guarded(subscription, step)
            if done:
                break
            yield

    def _guarded(self, subscription: Subscription, work: Callable[[Subscription], None]) -> None:
        """One subscription that fails must not stop the others: it ends, and its client is told."""
        try:
            work(subscription)
        except Exception as error:  # noqa: BLE001 -- handed over
            self._failed(subscription, error)

    def _failed(self, subscription: Subscription, error: Exception) -> None:
        log.error("subscription %d failed and is deleted", subscription.id, exc_info=error)
        self.delete(subscription, Codes.BadInternalError)

    def _cycle(self, subscription: Subscription) -> None:
        self._schedule(subscription)
        if not subscription.cycle():
            self.delete(subscription, Codes.BadTimeout)

    def _schedule(self, subscription: Subscription, first: bool = False) -> None:
        """Next cycle. Where the interval is a number of ticks, subscriptions are spread over them like their samples."""
        interval = subscription.timing.interval_ms / 1000 / self.period_s
        whole = round(interval)
        if abs(interval - whole) < 1e-6:
            subscription.due = self.tick + whole - (self.tick + subscription.id) % whole
        elif first or subscription.due + interval <= self.tick:
            subscription.due = self.tick + interval
        else:
            subscription.due += interval

    # -- subscriptions

    def queue_of(self, session: Session) -> PublishQueue:
        """Publishing state of a session, made at its first use and gone with the session."""
        queue = _queue(session)
        if queue is None:
            queue = PublishQueue(session, self.clock, self._failed)
            session.storage[_STORAGE] = queue
            self._queues[id(queue)] = queue
            session.on_close.append(self._session_closed)
            session.on_channel_lost.append(_channel_lost)
            session.on_user_changed.append(self._user_changed)
            session.on_cancel.append(_cancelled)
        return queue

    def create(self, session: Session, timing: Timing) -> Subscription:
        """A new subscription of a session. Raises ServiceFaultError: BadTooManySubscriptions."""
        queue = self.queue_of(session)
        self._check_room(queue)
        if len(self._subscriptions) >= self.limits.subscriptions:
            raise ServiceFaultError(Codes.BadTooManySubscriptions, f"{len(self._subscriptions)} in all")
        number = self._free_id()
        owner = Owner.of(session)
        items = Items(
            self.sources, self.limits, self._queue_memory, number, timing.interval_ms, owner.roles, self.rouse
        )
        subscription = self._subscriptions[number] = Subscription(number, timing, items, owner)
        queue.join(subscription)
        self._schedule(subscription, first=True)
        self.rouse()
        return subscription

    def _free_id(self) -> int:
        while True:
            self._next_id = self._next_id % (_IDS - 1) + 1
            if self._next_id not in self._subscriptions:
                return self._next_id

    def _check_room(self, queue: PublishQueue) -> None:
        if len(queue.subscriptions) >= self.limits.subscriptions_per_session:
            raise ServiceFaultError(Codes.BadTooManySubscriptions, f"{len(queue.subscriptions)} in this session")

    def owned(self, session: Session, number: int) -> Subscription:
        """Subscription of this very session. Raises ServiceFaultError: BadSubscriptionIdInvalid, also for others'."""
        found = self._subscriptions.get(int(number))
        if found is None or found.closed or found.queue is None or found.queue.session is not session:
            raise ServiceFaultError(Codes.BadSubscriptionIdInvalid, f"subscription {number}")
        found.touch()
        return found

    def find(self, number: int) -> Subscription | None:
        """Subscription of anybody."""
        return self._subscriptions.get(int(number))

    def reschedule(self, subscription: Subscription, timing: Timing) -> None:
        """Change the timing; the running interval ends no later than the new one would."""
        subscription.set_timing(timing)
        due = subscription.due
        self._schedule(subscription, first=True)
        subscription.due = min(due, subscription.due)
        self.rouse()

    def delete(self, subscription: Subscription, code: int = 0) -> None:
        """End a subscription; with a code its session is told by a StatusChangeNotification."""
        if subscription.closed:
            return
        subscription.closed = True
        self._gone_notifications += subscription.notifications
        self._gone_ordinary += subscription.items.ordinary_reported
        self._subscriptions.pop(subscription.id, None)
        subscription.items.clear()
        queue = subscription.queue
        if queue is None:
            return
        queue.leave(subscription)
        if code:
            log.info("subscription %d of %s ended: %s", subscription.id, queue.session.name, code_name(code))
            queue.tell(subscription, code)
        queue.settle()

    def transfer(self, session: Session, number: int, initial_values: bool) -> tuple[int, ...]:
        """Take a subscription over; its available sequence numbers (OPC 10000-4, 5.14.7).

        Raises:
            ServiceFaultError: BadSubscriptionIdInvalid, BadNothingToDo, BadUserAccessDenied, BadTooManySubscriptions.
        """
        found, queue = self.find(number), self.queue_of(session)
        if found is None:
            raise ServiceFaultError(Codes.BadSubscriptionIdInvalid, f"subscription {number}")
        if found.queue is queue:
            raise ServiceFaultError(Codes.BadNothingToDo, "is this session's own")
        owner = Owner.of(session)
        if not owner.may_take_over(found.owner):
            raise ServiceFaultError(Codes.BadUserAccessDenied, f"subscription {number} is another user's")
        self._check_room(queue)
        if queue.items + len(found.items) > self.limits.monitored_items_per_session:
            raise ServiceFaultError(Codes.BadTooManySubscriptions, "too many monitored items in this session")
        old = found.queue
        if old is not None:
            old.leave(found)
            old.tell(found, Codes.GoodSubscriptionTransferred)
            old.settle()
        found.owner = owner
        found.touch()
        queue.join(found)
        self.rouse()
        now = wire.now_ticks()
        if owner.roles != found.items.roles:
            found.items.new_user(owner.roles, now)
        if initial_values:
            found.items.resend(now)
        return tuple(found.sent)

    # -- sessions

    def _session_closed(self, session: Session, delete_subscriptions: bool) -> None:
        queue = self.queue_of(session)
        self._queues.pop(id(queue), None)
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
            found for found in self._subscriptions.values() if found.queue is None and found.owner.account == account
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
            limits.monitored_items - sum(len(found.items) for found in self._subscriptions.values()),
        )

    def counts(self) -> dict[str, int]:
        """Subscriptions and items now, notifications since start (in all, and those on the ordinary path)."""
        living = self._subscriptions.values()
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
