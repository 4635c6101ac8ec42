"""Waiting Publish requests in simulated time: their order, their number, and how each is answered (OPC 10000-4, 5.14.1)."""

from __future__ import annotations

from asyncua import ua

from tests.unit.opcua.publishing_kit import GOOD, Bench, names
from tests.unit.opcua.subscription_kit import kinds, moving, step


async def test_requests_are_answered_in_their_order_and_their_number_is_limited(bench: Bench) -> None:
    peer = bench.client()
    assert await peer.publish() == "BadNoSubscription"
    await moving(bench, peer, keep_alive=100)
    await peer.publish(13)
    assert kinds(peer.line.take()) == ["BadTooManyPublishRequests"] * 2
    for value in (1.0, 2.0):
        step(bench, value)
    handles = [answer.ResponseHeader.RequestHandle for answer in peer.line.take()]
    assert handles == sorted(handles)


async def test_a_request_whose_client_no_longer_waits_is_answered_bad_timeout(bench: Bench) -> None:
    peer = bench.client()
    await peer.subscribe(1000, keep_alive=100)
    await peer.publish(1, deadline_s=bench.clock.now + 0.55)
    bench.tick(5)
    assert peer.line.take() == []
    # Within a second: nobody waits for this answer any more.
    bench.tick(10)
    assert kinds(peer.line.take()) == ["BadTimeout"]


async def test_the_higher_priority_comes_first_and_equals_take_turns(bench: Bench) -> None:
    peer = bench.client()
    low = await moving(bench, peer, priority=1)
    equal = [await moving(bench, peer, priority=5) for _ in range(2)]
    order = []
    for value in range(6):
        step(bench, float(value + 1))
        await peer.publish()
        order += [answer.Parameters.SubscriptionId for answer in peer.line.take()]
    assert low not in order
    assert order == [*equal, *equal, *equal]


async def test_deleting_the_last_subscription_answers_all_requests(bench: Bench) -> None:
    peer = bench.client()
    number = await moving(bench, peer)
    await peer.publish(2)
    other = bench.client()
    params = ua.DeleteSubscriptionsParameters([number, 99])
    response = await bench.subscriptions.delete(other.session, params, other.context())
    assert names(response.Results) == ["BadSubscriptionIdInvalid"] * 2
    response = await bench.subscriptions.delete(peer.session, params, peer.context())
    assert names(response.Results) == [GOOD, "BadSubscriptionIdInvalid"]
    assert kinds(peer.line.take()) == ["BadNoSubscription"] * 2
    assert bench.engine.registry.counts()["monitored_items"] == 0


async def test_closing_a_session_answers_its_requests_and_deletes_its_subscriptions(bench: Bench) -> None:
    peer = bench.client()
    await moving(bench, peer)
    await peer.publish(2)
    bench.sessions.close(peer.session, delete_subscriptions=True, reason="test")
    assert kinds(peer.line.take()) == ["BadSessionClosed"] * 2
    assert bench.engine.registry.counts() == {
        "subscriptions": 0,
        "monitored_items": 0,
        "notifications": 0,
        "ordinary_notifications": 0,
    }


async def test_requests_are_refused_when_the_channel_goes_and_by_cancel(bench: Bench) -> None:
    peer = bench.client()
    await moving(bench, peer)
    await peer.publish(3)
    assert sum(callback(peer.session, 4) for callback in peer.session.on_cancel) == 1
    assert kinds(peer.line.take()) == ["BadRequestCancelledByClient"]
    bench.sessions.channel_lost(peer.line)
    assert kinds(peer.line.take()) == ["BadSecureChannelClosed"] * 2
    bench.tick(3)
    assert peer.line.take() == []
    assert bench.engine.registry.counts()["subscriptions"] == 1
