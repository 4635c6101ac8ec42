"""Subscriptions in simulated time: cycles, keep-alives, lifetimes, acknowledgements, transfer (OPC 10000-4, 5.14)."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer

from server.config.site import Site
from server.opcua.address_space.values import Values
from server.opcua.errors import ServiceFaultError, code_name
from server.opcua.publishing.intervals import subscription_timing
from server.opcua.publishing.methods import GET_MONITORED_ITEMS, RESEND_DATA, SubscriptionMethods
from server.opcua.publishing.ordinary import OrdinaryQueue
from tests.unit.opcua.publishing_kit import (
    CELLS,
    CURRENT,
    GOOD,
    SOC,
    VOLTAGE,
    Bench,
    Peer,
    data_of,
    demo_site,
    item,
    names,
    parameters,
)


@pytest.fixture(scope="module")
def site() -> Site:
    return demo_site()


@pytest.fixture
def bench(tmp_path: Path, site: Site) -> Bench:
    return Bench(tmp_path, site)


def kinds(answers: list[Any]) -> list[Any]:
    """What came: values, "keep-alive", the code of a status change or of a fault."""
    found: list[Any] = []
    for answer in answers:
        if isinstance(answer, str):
            found.append(answer)
            continue
        message = answer.Parameters.NotificationMessage
        parts = message.NotificationData or []
        if not parts:
            found.append("keep-alive")
        elif isinstance(parts[0], ua.StatusChangeNotification):
            found.append(code_name(parts[0].Status.value))
        else:
            found.append([value for _, value, *_ in data_of(message)])
    return found


def numbers(answers: list[Any]) -> list[int]:
    return [int(answer.Parameters.NotificationMessage.SequenceNumber) for answer in answers]


async def fault(call: Any) -> str:
    with pytest.raises(ServiceFaultError) as caught:
        await call
    return code_name(caught.value.code)


async def moving(bench: Bench, peer: Peer, **options: Any) -> int:
    """A subscription with one item; `step` moves its value."""
    number = await peer.subscribe(**options)
    bench.plant.set(VOLTAGE, 0.0)
    bench.plant.publish()
    await peer.monitor(number, item(VOLTAGE, 1))
    return number


def step(bench: Bench, value: float) -> None:
    bench.plant.set(VOLTAGE, value)
    bench.tick()


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
    assert bench.engine.counts()["subscriptions"] == 1
    bench.tick(1)
    assert bench.engine.counts()["subscriptions"] == 0
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
    assert bench.engine.counts()["subscriptions"] == 1
    bench.tick(5)
    assert bench.engine.counts()["subscriptions"] == 0


async def test_lifetime_and_keep_alive_do_not_need_the_core(bench: Bench) -> None:
    peer = bench.client()
    await peer.subscribe(100, keep_alive=5, lifetime=20)
    await peer.publish(2)
    bench.tick(1)
    bench.silence(1.5)
    assert kinds(peer.line.take()) == ["keep-alive", "keep-alive"]
    bench.silence(3.0)
    assert bench.engine.counts()["subscriptions"] == 0


async def test_a_long_message_is_cut_and_the_rest_needs_no_cycle(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe(1000, maximum=4)
    await peer.monitor(number, *[item(VOLTAGE, handle) for handle in range(10)])
    await peer.publish()
    bench.tick(10)
    await peer.publish(3)
    answers = peer.line.take()
    assert [len(values) for values in kinds(answers)] == [4, 4, 2]
    assert [answer.Parameters.MoreNotifications for answer in answers] == [True, True, False]
    handles = [handle for answer in answers for handle, *_ in data_of(answer.Parameters.NotificationMessage)]
    assert sorted(handles) == list(range(10))


async def test_nobody_starves_when_the_client_takes_less_than_there_is(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe(maximum=3)
    await peer.monitor(
        number, *[item(VOLTAGE, handle) for handle in range(5)], *[item(CELLS, 5 + handle) for handle in range(3)]
    )
    seen: list[int] = []
    for value in range(20):
        await peer.publish()
        bench.plant.columns["CellVoltages"][:] = value
        step(bench, float(value))
        seen += [handle for handle, *_ in peer.stamped()]
    assert min(seen.count(handle) for handle in range(8)) >= 3


async def test_a_client_that_takes_small_messages_gets_small_ones(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    await peer.monitor(number, *[item(VOLTAGE, handle) for handle in range(300)], item(CELLS, 999))
    peer._secure.response_bytes = 2_048
    await peer.publish(11)
    bench.tick()
    answers = peer.line.take()
    found = {row[0]: row[2] for answer in answers for row in data_of(answer.Parameters.NotificationMessage)}
    assert len(answers) > 5
    assert len(found) == 301
    # The matrix fits into no message that the client would take.
    assert found[999] == "BadEncodingLimitsExceeded"
    assert found[0] == GOOD


async def test_numbers_wrap_to_one_and_never_are_zero(bench: Bench) -> None:
    peer = bench.client()
    number = await moving(bench, peer)
    found = bench.engine.find(number)
    assert found is not None
    found.sequence = 0xFFFF_FFFF
    await peer.publish(3)
    for value in (1.0, 2.0, 3.0):
        step(bench, value)
    assert numbers(peer.line.take()) == [0xFFFF_FFFF, 1, 2]
    assert list(found.sent) == [0xFFFF_FFFF, 1, 2]


async def test_acknowledgements_are_answered_one_by_one(bench: Bench) -> None:
    peer, other = bench.client(), bench.client()
    number, foreign = await moving(bench, peer), await moving(bench, other)
    await peer.publish()
    step(bench, 1.0)
    assert await peer.publish(1, (number, 1), (number, 1), (number, 9), (foreign, 1), (77, 1)) == ""
    step(bench, 2.0)
    answer = peer.line.take()[-1]
    assert names(answer.Parameters.Results) == [
        GOOD,
        "BadSequenceNumberUnknown",
        "BadSequenceNumberUnknown",
        "BadSubscriptionIdInvalid",
        "BadSubscriptionIdInvalid",
    ]
    assert answer.Parameters.AvailableSequenceNumbers == [2]


@pytest.mark.parametrize("body", [b"", b"\x01\x00", struct.pack("<i", 2) + bytes(8), struct.pack("<i", -2), bytes(5)])
async def test_a_publish_request_that_does_not_decode_is_refused(bench: Bench, body: bytes) -> None:
    peer = bench.client()
    await peer.subscribe()
    assert await fault(bench.subscriptions.publish(peer.session, Buffer(body), peer.context())) == "BadDecodingError"


async def test_too_many_acknowledgements_are_refused(tmp_path: Path, site: Site) -> None:
    peer = Bench(tmp_path, site, acknowledgements_per_publish=3).client()
    await peer.subscribe()
    assert await peer.publish(1, *[(1, 1)] * 4) == "BadTooManyOperations"


async def republish(peer: Peer, number: int, sequence: int) -> bytes:
    body = await peer.bench.subscriptions.republish(
        peer.session, ua.RepublishParameters(number, ua.UInt32(sequence)), peer.context()
    )
    return bytes(body)[28:]


async def test_republish_repeats_a_message_until_it_is_acknowledged(bench: Bench) -> None:
    peer = bench.client()
    number = await moving(bench, peer)
    await peer.publish()
    step(bench, 1.0)
    (answer,) = peer.line.take()
    for _ in range(2):
        message = ua.ua_binary.struct_from_binary(ua.NotificationMessage, Buffer(await republish(peer, number, 1)))
        assert message == answer.Parameters.NotificationMessage
    await peer.publish(1, (number, 1))
    assert await fault(republish(peer, number, 1)) == "BadMessageNotAvailable"
    assert await fault(republish(bench.client(), number, 1)) == "BadSubscriptionIdInvalid"


async def test_messages_that_nobody_acknowledges_are_forgotten_from_the_oldest_on(bench: Bench) -> None:
    peer = bench.client()
    number = await moving(bench, peer)
    for value in range(40):
        await peer.publish()
        step(bench, float(value + 1))
    kept = peer.line.take()[-1].Parameters.AvailableSequenceNumbers
    assert kept == list(range(19, 41))
    assert await fault(republish(peer, number, 18)) == "BadMessageNotAvailable"


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
    bench.tick(1)
    assert kinds(peer.line.take()) == ["BadTimeout"]


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
    assert bench.engine.counts()["monitored_items"] == 0


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


async def test_closing_a_session_answers_its_requests_and_deletes_its_subscriptions(bench: Bench) -> None:
    peer = bench.client()
    await moving(bench, peer)
    await peer.publish(2)
    bench.sessions.close(peer.session, delete_subscriptions=True, reason="test")
    assert kinds(peer.line.take()) == ["BadSessionClosed"] * 2
    assert bench.engine.counts() == {
        "subscriptions": 0,
        "monitored_items": 0,
        "notifications": 0,
        "ordinary_notifications": 0,
    }


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
    assert bench.engine.counts()["subscriptions"] == 0


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
    assert bench.engine.counts()["subscriptions"] == 3
    assert [bench.engine.find(number) is not None for number in left] == [False, False, True, True]


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
    assert bench.engine.counts()["subscriptions"] == 1


async def test_nothing_is_produced_for_a_client_that_does_not_read(bench: Bench) -> None:
    peer = bench.client()
    await moving(bench, peer)
    await peer.publish(5)
    peer.line.congested = True
    for value in (1.0, 2.0, 3.0):
        step(bench, value)
    assert peer.line.take() == []
    peer.line.congested = False
    bench.tick()
    assert kinds(peer.line.take()) == [[3.0]]


async def test_a_subscription_that_fails_ends_and_the_others_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = bench.client()
    broken, sound = await peer.subscribe(), await moving(bench, peer)
    await peer.monitor(broken, item(CELLS, 1))
    await peer.publish(9)
    bench.tick()
    peer.line.take()

    def fail(*_: Any) -> None:
        raise ArithmeticError

    monkeypatch.setattr(OrdinaryQueue, "sample", fail)
    step(bench, 1.0)
    answers = peer.line.take()
    assert {answer.Parameters.SubscriptionId: kinds([answer])[0] for answer in answers} == {
        broken: "BadInternalError",
        sound: [1.0],
    }


async def test_a_value_that_cannot_be_read_is_a_status_and_one_line_in_the_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    await peer.monitor(number, item(CELLS, 1, index_range="0,0"))
    await peer.publish(9)
    bench.tick()
    peer.line.take()

    def fail(*_: Any) -> None:
        raise ArithmeticError

    monkeypatch.setattr(Values, "read", fail)
    bench.tick(3)
    assert peer.notified() == [(1, None, "BadInternalError")]
    monkeypatch.undo()
    bench.tick()
    assert [status for _, _, status in peer.notified()] == [GOOD]
    assert [record.name for record in caplog.records] == ["gridbms.opcua.publishing"]


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


async def test_the_methods_of_the_server_object_give_handles_and_send_again(bench: Bench) -> None:
    peer, other = bench.client(), bench.client()
    number = await peer.subscribe()
    await peer.monitor(number, item(VOLTAGE, 11), item(CELLS, 12, index_range="0,0"), item(CURRENT, 13, mode=1))
    await peer.publish(5)
    bench.tick(2)
    assert len(peer.notified()) == 2
    methods = SubscriptionMethods(bench.engine).handlers
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


async def test_creating_items_ends_with_the_subscription_and_leaves_nothing_behind(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    subscription = bench.engine.find(number)
    assert subscription is not None
    requests = [item(VOLTAGE, handle) for handle in range(300)]
    create, calls = subscription.items.create, []

    def create_and_end(*arguments: Any) -> Any:
        calls.append(1)
        result = create(*arguments)
        if len(calls) == 2:
            bench.sessions.close(peer.session, delete_subscriptions=False, reason="test")
        return result

    subscription.items.create = create_and_end  # type: ignore[method-assign]  # the moment between two slices
    assert await fault(peer.monitor(number, *requests)) == "BadSubscriptionIdInvalid"
    assert len(calls) == 2
    assert len(subscription.items) == 0
