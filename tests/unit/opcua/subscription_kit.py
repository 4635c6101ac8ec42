"""What the tests of subscriptions share: a subscription whose value a test moves, and what its client was told."""

from __future__ import annotations

from typing import Any

import pytest
from asyncua import ua

from server.opcua.errors import ServiceFaultError, code_name
from tests.unit.opcua.publishing_kit import VOLTAGE, Bench, Peer, data_of, item


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


async def republish(peer: Peer, number: int, sequence: int) -> bytes:
    body = await peer.bench.subscriptions.republish(
        peer.session, ua.RepublishParameters(number, ua.UInt32(sequence)), peer.context()
    )
    return bytes(body)[28:]
