"""Images at which nothing is due are only counted; whatever changes ends the rest, so that no client waits for it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from asyncua import ua

from tests.unit.opcua.publishing_kit import CELLS, CURRENT, SOC, VOLTAGE, Bench, Peer, item

Change = Callable[[Peer, int, int], Any]


class Reads:
    """How often the engine has looked at the image."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        view = bench.plant.view
        refresh = view.refresh

        def counted() -> bool:
            self.count += 1
            return refresh()

        monkeypatch.setattr(bench.engine.sources.image, "refresh", counted)


def images(bench: Bench, count: int) -> None:
    """Images of the core that the face has not looked at yet."""
    for _ in range(count):
        bench.clock.now += 0.1
        plant = bench.plant
        plant.mono_ns += 100_000_000
        slot = plant.writer.begin()
        for name, column in plant.columns.items():
            slot[name][:] = column
        plant.writer.publish(plant.writer.sequence + 1, plant.mono_ns, plant.utc_ns)
        bench.engine.on_image()
        bench.engine.finish()


async def test_an_image_at_which_nothing_is_due_is_not_looked_at(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = bench.client()
    subscription = await peer.subscribe(1000)
    await peer.monitor(subscription, item(VOLTAGE, 1, interval_ms=1000))
    images(bench, 20)
    seen = Reads(bench, monkeypatch)
    images(bench, 30)
    assert seen.count == 3
    assert bench.engine.tick == 50


async def test_without_subscriptions_the_ears_may_be_closed_for_most_of_a_second(bench: Bench) -> None:
    images(bench, 10)
    assert bench.engine.rest_s() == pytest.approx(0.95)
    images(bench, 8)
    # Two more idle ticks are not worth it.
    assert bench.engine.rest_s() == 0


async def test_a_subscription_with_every_image_leaves_no_rest(bench: Bench) -> None:
    peer = bench.client()
    subscription = await peer.subscribe(100)
    await peer.monitor(subscription, item(VOLTAGE, 1, interval_ms=100))
    for _ in range(20):
        images(bench, 1)
        assert bench.engine.rest_s() == 0


async def create(peer: Peer, subscription: int, number: int) -> None:
    await peer.monitor(subscription, item(CURRENT, 2, interval_ms=100))


async def modify(peer: Peer, subscription: int, number: int) -> None:
    request = ua.MonitoredItemModifyRequest(
        number, ua.MonitoringParameters(ua.UInt32(1), 100, None, ua.UInt32(1), True)
    )
    await peer.modify(subscription, request)


async def enable(peer: Peer, subscription: int, number: int) -> None:
    await peer.set_mode(subscription, 2, number)


@pytest.mark.parametrize("change", [create, modify, enable])
async def test_a_change_of_items_ends_the_rest_at_once(bench: Bench, change: Change) -> None:
    roused: list[int] = []
    peer = bench.client()
    subscription = await peer.subscribe(1000)
    created = await peer.monitor(subscription, item(VOLTAGE, 1, interval_ms=1000))
    images(bench, 15)
    bench.engine.on_rouse = lambda: roused.append(bench.engine.tick)
    await change(peer, subscription, int(created[0].MonitoredItemId))
    assert roused == [15] * len(roused) != []
    images(bench, 1)
    assert bench.engine.tick == 16


async def test_a_fast_item_beside_slow_ones_gets_every_value_from_the_next_image_on(bench: Bench) -> None:
    peer = bench.client()
    slow = await peer.subscribe(1000)
    await peer.monitor(slow, item(SOC, 1, interval_ms=1000))
    await peer.publish(3)
    images(bench, 14)
    fast = await peer.subscribe(100)
    await peer.monitor(fast, item(VOLTAGE, 7, interval_ms=100))
    peer.notified()
    values = []
    for step in range(5):
        await peer.publish(1)
        bench.plant.set(VOLTAGE, 700.0 + step)
        images(bench, 1)
        values += [value for handle, value, _ in peer.notified() if handle == 7]
    assert values[-4:] == [701.0, 702.0, 703.0, 704.0]


async def test_a_client_that_does_not_read_is_served_with_the_first_image_after_it_reads_again(bench: Bench) -> None:
    peer = bench.client()
    subscription = await peer.subscribe(1000)
    await peer.monitor(subscription, item(VOLTAGE, 1, interval_ms=1000))
    await peer.publish(2)
    images(bench, 12)
    peer.notified()
    peer.line.congested = True
    bench.plant.set(VOLTAGE, 711.0)
    images(bench, 12)
    assert peer.notified() == []
    peer.line.congested = False
    images(bench, 1)
    assert [value for _, value, _ in peer.notified()] == [711.0]


async def test_the_first_value_of_a_new_item_is_never_older_than_what_was_just_read(bench: Bench) -> None:
    peer, plant = bench.client(), bench.plant
    first, second = await peer.subscribe(1000), await peer.subscribe(1000)
    await peer.monitor(first, item(CELLS, 1, interval_ms=1000))
    await peer.monitor(second, item(SOC, 2, interval_ms=60_000))
    images(bench, 9)  # the last of which is sampled for the first subscription
    plant.columns["CellVoltages"][:] = 3.456
    plant.publish()  # and a Read takes it
    await peer.monitor(second, item(CELLS, 3, interval_ms=60_000))
    await peer.publish(4)
    images(bench, 12)
    found = {handle: value for handle, value, _ in peer.notified()}
    assert np.array(found[3]) == pytest.approx(3.456)
