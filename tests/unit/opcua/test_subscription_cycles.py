"""Publishing cycles in simulated time: intervals, keep-alives, lifetimes (OPC 10000-4, 5.14.1)."""

from __future__ import annotations

import math

import pytest
from asyncua import ua

from server.opcua.publishing.intervals import subscription_timing
from tests.unit.opcua.publishing_kit import GOOD, VOLTAGE, Bench, item, names
from tests.unit.opcua.subscription_kit import fault, kinds, moving, numbers, step


@pytest.mark.parametrize(
    ("asked", "revised"),
    [
        ((1000.0, 100, 10), (1000.0, 100, 10)),
        ((0.0, 0, 0), (100.0, 30, 10)),
        ((-5.0, 1, 1), (100.0, 3, 1)),
        ((math.nan, 1, 1), (100.0, 3, 1)),
        ((110.0, 10**9, 10**9), (150.0, 24_000, 8_000)),
        ((1.0, 10**9, 10**9), (100.0, 36_000, 10_000)),
        ((math.inf, 10**9, 10**9), (3_600_000.0, 3, 1)),
    ],
)
def test_the_parameters_are_revised(asked: tuple[float, int, int], revised: tuple[float, int, int]) -> None:
    assert tuple(subscription_timing(*asked, 100.0)) == revised


async def test_the_first_cycle_sends_a_message_even_without_news(bench: Bench) -> None:
    peer = bench.client()
    await peer.subscribe(500, keep_alive=100)
    await peer.publish(2)
    bench.tick(5)
    answers = peer.line.take()
    assert kinds(answers) == ["keep-alive"]
    assert numbers(answers) == [1]


async def test_keep_alives_carry_the_next_number_without_using_it(bench: Bench) -> None:
    peer = bench.client()
    await moving(bench, peer, keep_alive=3)
    await peer.publish(9)
    bench.tick(7)
    step(bench, 5.0)
    answers = peer.line.take()
    assert kinds(answers) == [[0.0], "keep-alive", "keep-alive", [5.0]]
    assert numbers(answers) == [1, 2, 2, 2]
    assert answers[1].Parameters.AvailableSequenceNumbers == [1]
    assert answers[3].Parameters.AvailableSequenceNumbers == [1, 2]


async def test_late_notifications_are_sent_when_a_request_comes_without_another_cycle(bench: Bench) -> None:
    peer = bench.client()
    await moving(bench, peer)
    bench.tick(3)
    assert peer.line.take() == []
    await peer.publish()
    assert kinds(peer.line.take()) == [[0.0]]
    await peer.publish()
    assert peer.line.take() == []


async def test_a_subscription_whose_client_is_silent_ends_and_the_client_is_told(bench: Bench) -> None:
    peer = bench.client()
    number = await moving(bench, peer, keep_alive=1, lifetime=5)
    bench.tick(4)
    assert bench.engine.registry.counts()["subscriptions"] == 1
    bench.tick(1)
    assert bench.engine.registry.counts()["subscriptions"] == 0
    await peer.publish()
    answers = peer.line.take()
    assert kinds(answers) == ["BadTimeout"]
    assert answers[0].Parameters.SubscriptionId == number
    assert await peer.publish() == "BadNoSubscription"


async def test_any_service_call_on_the_subscription_keeps_it_alive(bench: Bench) -> None:
    peer = bench.client()
    number = await moving(bench, peer, keep_alive=1, lifetime=5)
    for _ in range(5):
        bench.tick(4)
        await peer.set_mode(number, 2, 1)
    assert bench.engine.registry.counts()["subscriptions"] == 1
    bench.tick(5)
    assert bench.engine.registry.counts()["subscriptions"] == 0


async def test_lifetime_and_keep_alive_do_not_need_the_core(bench: Bench) -> None:
    peer = bench.client()
    await peer.subscribe(100, keep_alive=5, lifetime=20)
    await peer.publish(2)
    bench.tick(1)
    bench.silence(1.5)
    assert kinds(peer.line.take()) == ["keep-alive", "keep-alive"]
    bench.silence(3.0)
    assert bench.engine.registry.counts()["subscriptions"] == 0


async def test_without_publishing_there_are_keep_alives_only(bench: Bench) -> None:
    peer = bench.client()
    number = await moving(bench, peer, keep_alive=2, enabled=False)
    await peer.publish(9)
    for value in range(5):
        step(bench, float(value))
    assert set(kinds(peer.line.take())) == {"keep-alive"}
    params = ua.SetPublishingModeParameters(True, [number, 99])
    response = await bench.subscriptions.set_publishing_mode(peer.session, params, peer.context())
    assert names(response.Parameters.Results) == [GOOD, "BadSubscriptionIdInvalid"]
    bench.tick()
    assert kinds(peer.line.take()) == [[4.0]]


async def test_a_modified_subscription_keeps_its_new_interval(bench: Bench) -> None:
    peer = bench.client()
    number = await moving(bench, peer, interval_ms=3_600_000)
    params = ua.ModifySubscriptionParameters(number, 200, 9, 2, ua.UInt32(1), ua.Byte(3))
    response = await bench.subscriptions.modify(peer.session, params, peer.context())
    result = response.Parameters
    assert (result.RevisedPublishingInterval, result.RevisedLifetimeCount, result.RevisedMaxKeepAliveCount) == (
        200,
        9,
        2,
    )
    await peer.publish(9)
    values = iter(range(100))
    bench.tick(20, lambda: bench.plant.set(VOLTAGE, float(next(values))))
    assert len(peer.line.take()) == 9
    assert await fault(bench.subscriptions.modify(bench.client().session, params, peer.context())) == (
        "BadSubscriptionIdInvalid"
    )


async def test_publishing_is_spread_over_the_ticks_by_the_subscription(bench: Bench) -> None:
    peer = bench.client()
    for _ in range(5):
        number = await peer.subscribe(500)
        await peer.monitor(number, item(VOLTAGE, 1))
    await peer.publish(15)
    counts = []
    for _ in range(5):
        bench.tick()
        counts.append(len(peer.line.take()))
    assert counts == [1] * 5


async def test_an_interval_between_two_images_is_kept_on_average(bench: Bench) -> None:
    peer = bench.client()
    await moving(bench, peer, interval_ms=250)
    values = iter(range(1000))
    total = 0
    await peer.publish()
    for _ in range(50):
        bench.tick(1, lambda: bench.plant.set(VOLTAGE, float(next(values))))
        came = len(peer.notified())
        await peer.publish(came)
        total += came
    assert total == 20
