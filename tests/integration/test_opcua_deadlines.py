"""Time and room over real sockets: who stops half way, does not read or comes too often is cut; others are served."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from server.opcua.limits import Limits
from tests.integration.secure_clients import OPEN
from tests.unit.opcua.security_kit import Raw, frame, read_request


async def _reach(raw: Raw, stage: str) -> None:
    if stage == "silent":
        return
    if stage == "half a chunk":
        raw.send(b"HEL")
        return
    await raw.hello()
    if stage == "hello only":
        return
    await raw.open()
    if stage == "session":
        request = ua.CreateSessionRequest()
        raw.token = (await raw.call(request)).Parameters.AuthenticationToken


@pytest.mark.parametrize(
    ("stage", "seconds"),
    [("silent", 5.1), ("half a chunk", 5.1), ("hello only", 5.1), ("channel only", 30.1), ("session", 60.1)],
)
async def test_whoever_stops_half_way_is_closed_in_time(tmp_path: Path, stage: str, seconds: float) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await _reach(raw, stage)
        while not server.listener.connections:
            await asyncio.sleep(0)
        server.advance(seconds - 0.2)
        assert len(server.listener.connections) == 1
        server.advance(0.3)
        assert await raw.ended()
        assert len(server.context.sessions) == 0


async def test_bytes_that_trickle_in_do_not_renew_the_time_of_a_chunk(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        connection = next(iter(server.listener.connections))
        for _ in range(4):
            raw.send(b"MSGF\x00\x01\x00\x00"[:4] if connection.partial_since_s is None else b"\x40")
            while connection.partial_since_s is None:
                await asyncio.sleep(0)
            server.advance(3.0)
        assert await raw.error_code() == "BadTimeout"


async def test_a_channel_that_is_not_renewed_ends_after_a_quarter_more_than_its_lifetime(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.hello()
        response = await raw.open(lifetime_ms=1)
        assert response.Parameters.SecurityToken.RevisedLifetime == 10_000
        server.advance(12.4)
        assert len(server.listener.connections) == 1
        server.advance(0.2)
        assert await raw.error_code() == "BadSecureChannelClosed"


async def test_an_hour_is_the_longest_lifetime_of_a_channel(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.hello()
        assert (await raw.open(lifetime_ms=2**32 - 1)).Parameters.SecurityToken.RevisedLifetime == 3_600_000
        await raw.close()


async def test_a_client_that_does_not_read_is_cut_and_others_are_served(tmp_path: Path) -> None:
    limits = Limits(write_high_water_bytes=1 << 16)
    async with frame(tmp_path, options=OPEN, limits=limits) as server:
        raw, honest = await Raw.connect(server.port), await Raw.connect(server.port)
        await raw.session()
        await honest.session()
        connection = next(
            item for item in server.listener.connections if item.processor.channel.channel_id == raw.channel_id
        )

        async def large(_session: Any, params: Any, _request: Any) -> Any:
            response = ua.ReadResponse()
            value = (
                ua.Variant(bytes(1_000_000), ua.VariantType.ByteString)
                if len(params.NodesToRead) > 1
                else ua.Variant(42)
            )
            response.Results = [ua.DataValue(value)]
            return response

        server.context.services.register(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary, large)
        raw.writer.transport.pause_reading()
        while not connection.congested:
            raw.send(raw.chunk(raw.body(read_request(2))))
            await asyncio.sleep(0.001)
        assert (await honest.call(read_request())).Results[0].Value.Value == 42
        server.advance(10.1)
        assert connection not in server.listener.connections
        assert (await honest.call(read_request())).Results[0].Value.Value == 42
        await honest.close()
        await raw.close()


async def test_connections_per_address_are_limited(tmp_path: Path) -> None:
    async with frame(
        tmp_path, options=OPEN, limits=Limits(connections_per_address=3, unactivated_per_address=2)
    ) as server:
        first = await Raw.connect(server.port)
        await first.session()
        idle = [await Raw.connect(server.port) for _ in range(2)]
        await asyncio.gather(*(raw.hello() for raw in idle))
        refused = await Raw.connect(server.port)
        assert await refused.ended()
        await idle[0].close()
        while len(server.listener.connections) > 2:
            await asyncio.sleep(0)
        again = await Raw.connect(server.port)
        assert await again.hello() is not None
        for raw in (first, idle[1], again):
            await raw.close()
