"""A subscription: its items, its counters, its unacknowledged messages (OPC 10000-4, 5.14.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncua import ua

from information_model.roles import Role
from server.opcua import wire
from server.opcua.publishing.encoding import data_change, message
from server.opcua.publishing.intervals import Timing
from server.opcua.publishing.items import Items
from server.opcua.session import Session
from server.opcua.wire import Pieces

if TYPE_CHECKING:
    from server.opcua.publishing.publish_queue import PublishQueue

Codes = ua.StatusCodes
MESSAGE_NOTIFICATIONS = 10_000
"""Most notifications in one message, whatever the client allows."""
MESSAGE_BYTES = 1 << 20
_LAST_NUMBER = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Owner:
    """Who may take a subscription over: the user, or for Anonymous the same application on a signed channel."""

    user: str
    roles: frozenset[Role]
    application_uri: str
    signed: bool

    @classmethod
    def of(cls, session: Session) -> Owner:
        """Owner that a session stands for."""
        signed = session.identity.mode in (ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt)
        return cls(session.user.name, session.roles, session.application_uri, signed)

    @property
    def account(self) -> tuple[str, str]:
        """What quotas are counted by."""
        return (self.user, "" if self.user else self.application_uri)

    def may_take_over(self, other: Owner) -> bool:
        """True where a session of this owner may take over a subscription of `other` (OPC 10000-4, 5.14.7)."""
        if self.account != other.account:
            return False
        return bool(self.user) or (self.signed and other.signed and bool(self.application_uri))


class Subscription:
    """State machine and message store. The engine calls `cycle` once per publishing interval; `queue` is the session's
    queue of Publish requests, None while no session owns the subscription."""

    def __init__(self, number: int, timing: Timing, items: Items, owner: Owner) -> None:
        self.id, self.items, self.owner = number, items, owner
        self.queue: PublishQueue | None = None
        self.timing = timing
        self.maximum = MESSAGE_NOTIFICATIONS
        self.priority = 0
        self.enabled = True
        self.closed = False
        self.due = 0.0
        """Tick (image period) of the next publishing cycle."""
        self.late = False
        """Waits for a Publish request: data or a keep-alive is to be sent without another cycle."""
        self.served = 0
        self.keep_alive = 0
        self.lifetime = 0
        self.message_sent = False
        self.sequence = 1
        self.sent: dict[int, Pieces] = {}
        self.notifications = 0

    # -- parameters

    def set_timing(self, timing: Timing) -> None:
        """New interval and counts; they hold from the next cycle on."""
        self.timing = timing
        self.items.publishing_ms = timing.interval_ms

    def set_maximum(self, requested: int) -> None:
        """MaxNotificationsPerPublish; 0 leaves it to the server."""
        self.maximum = min(requested or MESSAGE_NOTIFICATIONS, MESSAGE_NOTIFICATIONS)

    def touch(self) -> None:
        """A service call on the subscription shows that its client lives."""
        self.lifetime = 0

    # -- cycle

    def schedule(self, tick: int, period_s: float, first: bool = False) -> None:
        """When the next cycle is due, at a tick of `period_s`. Where the interval is a number of ticks, subscriptions are
        spread over them like their samples."""
        interval = self.timing.interval_ms / 1000 / period_s
        whole = round(interval)
        if abs(interval - whole) < 1e-6:
            self.due = tick + whole - (tick + self.id) % whole
        elif first or self.due + interval <= tick:
            self.due = tick + interval
        else:
            self.due += interval

    @property
    def has_data(self) -> bool:
        """True where notifications may be sent."""
        return self.enabled and self.items.ready()

    @property
    def keep_alive_due(self) -> bool:
        """True where a message is owed although there is nothing to tell."""
        return not self.message_sent or self.keep_alive + 1 >= self.timing.keep_alive

    def cycle(self) -> bool:
        """The publishing interval is over. False where the lifetime is over too (OPC 10000-4, 5.14.1.2)."""
        waiting = self.queue is not None and bool(self.queue.requests)
        self.lifetime = 0 if waiting else self.lifetime + 1
        if self.lifetime >= self.timing.lifetime:
            return False
        if self.has_data or self.keep_alive_due:
            self.late = True
        else:
            self.keep_alive += 1
        if not self.late:
            self.items.forget_triggers()
        return True

    def next_message(self, room: int, now_ticks: Callable[[], int] = wire.now_ticks) -> tuple[Pieces, bool] | None:
        """The message that a Publish request gets: (NotificationMessage, more are waiting); None where none is owed.

        `room` bounds its bytes. A keep-alive carries the number of the next message and is not kept.
        """
        self.late = False
        body: Pieces = ()
        more = False
        if self.has_data:
            count, items = self.items.take(self.maximum, min(room, MESSAGE_BYTES))
            if count:
                body = message(self.sequence, now_ticks(), data_change(count, items))
                self.sent[self.sequence] = body
                self.sequence = self.sequence + 1 if self.sequence < _LAST_NUMBER else 1
                self.notifications += count
                more = self.late = self.items.ready()
        if not body:
            if not self.keep_alive_due:
                return None
            body = message(self.sequence, now_ticks())
        self.keep_alive = self.lifetime = 0
        self.message_sent = True
        return body, more

    @property
    def last_sent(self) -> int:
        """Sequence number of the newest message with data."""
        return self.sequence - 1 if self.sequence > 1 else _LAST_NUMBER
