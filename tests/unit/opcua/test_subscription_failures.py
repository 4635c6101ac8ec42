"""A subscription, an item or a session that fails takes nothing else with it."""

from __future__ import annotations

from typing import Any

import pytest

from server.opcua.address_space.values import Values
from server.opcua.publishing.ordinary import OrdinaryQueue
from tests.unit.opcua.publishing_kit import CELLS, GOOD, VOLTAGE, Bench, item
from tests.unit.opcua.subscription_kit import fault, kinds, moving, step


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


async def test_creating_items_ends_with_the_subscription_and_leaves_nothing_behind(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    subscription = bench.engine.registry.find(number)
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
