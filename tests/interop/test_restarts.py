"""A subscribed client that is not ours, and a server that restarts beneath it."""

import os
import signal
import time

import pytest

from tests.interop.conftest import connect

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


def test_a_subscribed_client_survives_a_restart_of_the_face(program, client_folder, client) -> None:
    client("disconnect")
    connect(client, program, "observer", retry=100)
    client("subscribe", name="on", nodes=["ns=3;s=ESS.Server.CycleCount"], sampling=100, interval=200)
    before = client("notifications", name="on", count=3)[-1]["value"]
    old = program.pid("opcua")
    os.kill(old, signal.SIGKILL)
    deadline = time.monotonic() + 40
    value = before
    while value < before + 50 and time.monotonic() < deadline:
        received = client("notifications", name="on", count=1, timeout=1000)
        value = received[-1]["value"] if received else value
    assert value >= before + 50
    assert "connection_lost" in client("events")
    (count,) = client("read", nodes=[{"id": "ns=3;s=ESS.Server.FaceRestarts"}])
    assert count["value"] == 1


def test_a_subscribed_client_survives_a_restart_of_the_whole_server(program, client_folder, client) -> None:
    client("disconnect")
    connect(client, program, "observer", retry=100)
    client("subscribe", name="on", nodes=["ns=3;s=ESS.Server.CycleCount"], sampling=100, interval=200)
    assert client("notifications", name="on", count=3)
    port = program.ready["opcua"]["port"]
    assert program.stop() == 0
    stopped = time.time() * 1000
    program.start(port=port)
    deadline = time.monotonic() + 40
    newest = 0.0
    while newest < stopped and time.monotonic() < deadline:
        received = client("notifications", name="on", count=1, timeout=1000)
        newest = max([newest, *(n["source"] for n in received if n["status"] == 0)])
    assert newest > stopped, "the subscription tells nothing of the new server"
    assert "connection_lost" in client("events")
