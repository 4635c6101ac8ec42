"""Notification messages in simulated time: size, numbers, acknowledgement, Republish (OPC 10000-4, 5.14.5 and 5.14.6)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer

from server.config.site import Site
from tests.unit.opcua.publishing_kit import CELLS, GOOD, VOLTAGE, Bench, data_of, item, names
from tests.unit.opcua.subscription_kit import fault, kinds, moving, numbers, republish, step


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
    found = bench.engine.registry.find(number)
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
