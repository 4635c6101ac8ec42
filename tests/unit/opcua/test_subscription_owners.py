"""Whose a subscription is: other sessions, transfer, what is left behind (OPC 10000-4, 5.14.7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from server.config.site import Site
from server.opcua.errors import ServiceFaultError, code_name
from server.opcua.publishing.methods import GET_MONITORED_ITEMS, RESEND_DATA, SubscriptionMethods
from tests.unit.opcua.publishing_kit import CELLS, CURRENT, GOOD, SOC, VOLTAGE, Bench, Peer, item, parameters
from tests.unit.opcua.subscription_kit import fault, kinds, moving, numbers, republish, step


async def test_every_call_refuses_the_subscription_of_another_session(bench: Bench) -> None:
    number = await moving(bench, bench.client())
    other = bench.client()
    for call in (
        other.monitor(number, item(SOC, 1)),
        other.modify(number, ua.MonitoredItemModifyRequest(1, parameters(1))),
        other.set_mode(number, 2, 1),
        other.delete(number, 1),
        bench.items.set_triggering(other.session, ua.SetTriggeringParameters(number, 1, [1], []), other.context()),
    ):
        assert await fault(call) == "BadSubscriptionIdInvalid"


async def test_the_number_of_subscriptions_is_limited(tmp_path: Path, site: Site) -> None:
    bench = Bench(tmp_path, site, subscriptions=3, subscriptions_per_session=2)
    peer, other = bench.client(), bench.client()
    for _ in range(2):
        await peer.subscribe()
    assert await fault(peer.subscribe()) == "BadTooManySubscriptions"
    await other.subscribe()
    assert await fault(other.subscribe()) == "BadTooManySubscriptions"


async def transfer(peer: Peer, number: int, *, initial: bool = False) -> tuple[str, list[int]]:
    params = ua.TransferSubscriptionsParameters([number], initial)
    response = await peer.bench.subscriptions.transfer(peer.session, params, peer.context())
    (result,) = response.Parameters.Results
    return code_name(result.StatusCode.value), list(result.AvailableSequenceNumbers)


async def test_a_subscription_moves_to_another_session_of_its_user(bench: Bench) -> None:
    old, new = bench.client(), bench.client()
    number = await moving(bench, old)
    await old.publish()
    step(bench, 1.0)
    old.line.take()
    assert await transfer(old, number) == ("BadNothingToDo", [])
    assert await transfer(new, 99) == ("BadSubscriptionIdInvalid", [])
    assert await transfer(bench.client("somebody else"), number) == ("BadUserAccessDenied", [])
    await old.publish(2)
    assert await transfer(new, number, initial=True) == (GOOD, [1])
    assert kinds(old.line.take()) == ["GoodSubscriptionTransferred", "BadNoSubscription"]
    await new.publish(5, (number, 1))
    bench.tick()
    step(bench, 2.0)
    answers = new.line.take()
    assert kinds(answers) == [[1.0], [2.0]]
    assert numbers(answers) == [2, 3]


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ({}, {}, GOOD),
        ({}, {"application": "urn:other"}, "BadUserAccessDenied"),
        ({"signed": False}, {}, "BadUserAccessDenied"),
        ({}, {"signed": False}, "BadUserAccessDenied"),
    ],
)
async def test_anonymous_takes_over_only_what_the_same_application_left_on_a_signed_channel(
    bench: Bench, first: dict[str, Any], second: dict[str, Any], code: str
) -> None:
    number = await bench.client("", frozenset(), **first).subscribe()
    assert (await transfer(bench.client("", frozenset(), **second), number))[0] == code


async def test_a_subscription_that_was_left_behind_lives_on_and_can_be_taken_over(bench: Bench) -> None:
    peer = bench.client()
    number = await moving(bench, peer, lifetime=50)
    bench.sessions.close(peer.session, delete_subscriptions=False, reason="test")
    step(bench, 7.0)
    bench.tick(30)
    new = bench.client()
    assert (await transfer(new, number))[0] == GOOD
    await new.publish(2)
    assert kinds(new.line.take()) == [[7.0]]
    bench.sessions.close(new.session, delete_subscriptions=False, reason="test")
    bench.tick(50)
    assert bench.engine.registry.counts()["subscriptions"] == 0


async def test_a_user_leaves_only_so_many_subscriptions_behind(tmp_path: Path, site: Site) -> None:
    bench = Bench(tmp_path, site, orphaned_subscriptions_per_user=2)
    left = []
    for _ in range(4):
        peer = bench.client()
        left.append(await moving(bench, peer))
        bench.sessions.close(peer.session, delete_subscriptions=False, reason="test")
        bench.tick()
    other = bench.client("other")
    await moving(bench, other)
    bench.sessions.close(other.session, delete_subscriptions=False, reason="test")
    assert bench.engine.registry.counts()["subscriptions"] == 3
    assert [bench.engine.registry.find(number) is not None for number in left] == [False, False, True, True]


async def test_what_is_kept_for_republish_moves_with_the_subscription(bench: Bench) -> None:
    old, new = bench.client(), bench.client()
    for _ in range(20):
        await old.subscribe(1000, keep_alive=1000)
    await old.publish(20)
    bench.tick(10)
    assert kinds(old.line.take()) == ["keep-alive"] * 20
    number = await moving(bench, old)
    for value in range(35):
        await old.publish()
        step(bench, float(value + 1))
    kept = (await transfer(new, number))[1]
    # The new session has room for less than the old one, which kept two messages per request that may be under way.
    assert kept[-1] - kept[0] + 1 == len(kept) == 22
    assert await republish(new, number, kept[0])


async def test_the_methods_of_the_server_object_give_handles_and_send_again(bench: Bench) -> None:
    peer, other = bench.client(), bench.client()
    number = await peer.subscribe()
    await peer.monitor(number, item(VOLTAGE, 11), item(CELLS, 12, index_range="0,0"), item(CURRENT, 13, mode=1))
    await peer.publish(5)
    bench.tick(2)
    assert len(peer.notified()) == 2
    methods = SubscriptionMethods(bench.engine.registry).handlers
    argument = ua.Variant(number, ua.VariantType.UInt32)
    server, client = methods[GET_MONITORED_ITEMS](peer.session, [argument])
    assert (server.Value, client.Value) == ([1, 2, 3], [11, 12, 13])
    assert methods[RESEND_DATA](peer.session, [argument]) == []
    bench.tick(2)
    assert sorted(handle for handle, _, _ in peer.notified()) == [11, 12]
    for arguments, session, code in (
        ([argument], other.session, "BadUserAccessDenied"),
        ([ua.Variant(99, ua.VariantType.UInt32)], peer.session, "BadSubscriptionIdInvalid"),
        ([ua.Variant("x")], peer.session, "BadInvalidArgument"),
        ([], peer.session, "BadArgumentsMissing"),
        ([argument, argument], peer.session, "BadTooManyArguments"),
    ):
        with pytest.raises(ServiceFaultError) as caught:
            methods[GET_MONITORED_ITEMS](session, arguments)
        assert code_name(caught.value.code) == code
    empty = ua.Variant(await peer.subscribe(), ua.VariantType.UInt32)
    assert [found.Value for found in methods[GET_MONITORED_ITEMS](peer.session, [empty])] == [[], []]
