"""The publishing engine: all subscriptions of the server, sampled and published from one tick.

No subscription has a timer or a task of its own.
"""

import time
from collections.abc import Callable, Iterator

from asyncua import ua

from server.opcua import wire
from server.opcua.address_space.computed import Computed
from server.opcua.address_space.stored import Stored
from server.opcua.address_space.values import Values
from server.opcua.image import ImageView
from server.opcua.limits import Limits
from server.opcua.publishing.publish_queue import PublishQueue
from server.opcua.publishing.registry import Registry
from server.opcua.publishing.sources import Sources
from server.opcua.publishing.subscription import Subscription
from server.opcua.publishing.ticker import Ticker

Codes = ua.StatusCodes
LONGEST_REST_S = 1.0
"""So often at least it is looked whether a Publish request waits for longer than its client does."""
SHORTEST_REST = 3
"""Fewer idle ticks than these are not worth closing the ears for."""
_DONE = object()


class PublishingEngine:
    """All subscriptions of the server.

    `on_image` is to be called whenever an image is heard of; those that were slept over, as `rest_s` allows, are counted
    by the clock. `step` is to be called only when none came for the seconds that it returned last; `run` is to run beside
    them as long as the server does.
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
        self.sources = Sources(computed, values, stored, image)
        self.period_s = limits.minimum_sample_rate_ms / 1000
        self._overdue_every = max(1, round(LONGEST_REST_S / self.period_s))
        self._ticker = Ticker(self.period_s, clock, self._work_through, self._silence, self._next_due)
        self.registry = Registry(self.sources, limits, clock, lambda: self.tick, self.rouse, first_id)
        self.on_rouse: Callable[[], None] = lambda: None
        self._first_queue = 0

    # -- ticks

    def on_image(self) -> None:
        """A new image was heard of: count it and those slept over; sample and publish what is due.

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
        if any(queue.blocked for queue in self.registry.queues.values()):
            return 0
        due: float = self.tick + self._overdue_every - self.tick % self._overdue_every
        for subscription in self.registry.subscriptions.values():
            due = min(due, subscription.due, subscription.items.rest_until)
        return due

    def _silence(self) -> bool:
        """No image has come for a while. True where somebody is to be told, or kept alive."""
        if self.sources.image.refresh():
            self._ticker.rouse()
        return bool(self.registry.queues or self.registry.subscriptions)

    def _work_through(self) -> Iterator[None]:
        """One tick, in steps. The next tick begins with the session at which this one ran long."""
        self.sources.new_tick()
        queues: list[PublishQueue | None] = [*self.registry.queues.values(), None]
        first = self._first_queue % len(queues)
        for place, queue in enumerate(queues[first:] + queues[:first]):
            self._first_queue = first + place
            yield from self._serve(queue)
        self._first_queue = first + 1

    def _serve(self, queue: PublishQueue | None) -> Iterator[None]:
        if queue is None:
            mine = [found for found in self.registry.subscriptions.values() if found.queue is None]
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
            self.registry.failed(subscription, error)

    def _cycle(self, subscription: Subscription) -> None:
        subscription.schedule(self.tick, self.period_s)
        if not subscription.cycle():
            self.registry.delete(subscription, Codes.BadTimeout)
