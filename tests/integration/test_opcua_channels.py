"""Secure channels over real sockets: who opens one, what ends it, what a chunk must look like (OPC 10000-6, 6.7 and 7.1)."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from server.opcua.limits import Limits
from tests.integration.secure_clients import ENCRYPT, OPEN, SIGN
from tests.unit.opcua.security_kit import POLICIES, Raw, frame, read_request


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.URI.rpartition("#")[2])
@pytest.mark.parametrize("mode", [SIGN, ENCRYPT], ids=lambda mode: mode.name)
async def test_an_honest_client_reads_on_every_policy_and_mode(tmp_path: Path, policy: Any, mode: Any) -> None:
    async with frame(tmp_path) as server:
        client = server.client(policy, mode)
        async with client:
            assert await client.get_node(ua.NodeId(2258)).read_value() == 42
            session = next(iter(server.context.sessions))
            assert session.user.name == "operator"
            assert session.identity.policy_uri == policy.URI
        assert len(server.context.sessions) == 0


async def test_a_channel_renewal_keeps_the_session_and_kills_the_old_token(tmp_path: Path) -> None:
    async with frame(tmp_path) as server:
        client = server.client()
        async with client:
            for _ in range(3):
                await client.open_secure_channel(renew=True)
                assert await client.get_node(ua.NodeId(2258)).read_value() == 42
            channel = next(iter(server.listener.connections)).processor.channel
            assert list(channel._tokens) == [4]


async def test_a_channel_is_issued_once_and_only_after_hello(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        twice, rude, weak = [await Raw.connect(server.port) for _ in range(3)]
        await twice.hello()
        await twice.open()
        refused = await twice.open()
        assert refused[:3] == b"ERR"
        assert int.from_bytes(refused[8:12], "little") == ua.StatusCodes.BadRequestTypeInvalid
        assert (await rude.open())[:3] == b"ERR"
        await weak.hello()
        refused = await weak.open(mode=ENCRYPT)
        assert int.from_bytes(refused[8:12], "little") == ua.StatusCodes.BadSecurityModeRejected


async def test_many_channels_at_once_are_told_that_the_server_is_busy(tmp_path: Path) -> None:
    limits = Limits(open_requests_burst=1, open_requests_per_second=0.1)
    async with frame(tmp_path, options=OPEN, limits=limits) as server:
        first, second = await Raw.connect(server.port), await Raw.connect(server.port)
        await first.hello()
        await second.hello()
        assert not isinstance(await first.open(), bytes)
        refused = await second.open()
        assert int.from_bytes(refused[8:12], "little") == ua.StatusCodes.BadTcpServerTooBusy


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"channel_id": 99}, "BadTcpSecureChannelUnknown"),
        ({"token_id": 99}, "BadSecureChannelTokenUnknown"),
        ({"number": 99}, "BadSequenceNumberInvalid"),
    ],
)
async def test_a_chunk_outside_its_channel_ends_the_connection_with_one_log_line(
    tmp_path: Path, options: Any, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        raw.send(raw.chunk(raw.body(read_request()), **options))
        assert await raw.error_code() == code
        assert await raw.ended()
        assert sum(code in record.message for record in caplog.records) == 1


async def test_a_forged_signature_ends_the_connection(tmp_path: Path) -> None:
    async with frame(tmp_path) as server:
        client = server.client(mode=SIGN)
        await client.connect()
        protocol = client.uaclient.protocol
        connection = protocol._connection
        genuine = connection.message_to_binary(b"\x01\x00\x77\x02" + bytes(60), request_id=5)
        forged = genuine[:-1] + bytes([genuine[-1] ^ 1])
        protocol.transport.write(forged)
        connection = next(iter(server.listener.connections))
        await asyncio.wait_for(connection.finished(), 10)
        assert not connection.open
        assert not connection.processor.activated
        client.disconnect_socket()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "BadTcpMessageTypeInvalid"),
        (b"MSGF" + struct.pack("<I", 1 << 31), "BadTcpMessageTooLarge"),
        (b"HELF" + struct.pack("<I", 65_000), "BadTcpMessageTooLarge"),
        (b"HELF" + struct.pack("<I", 7), "BadTcpMessageTooLarge"),
        (b"HELF" + struct.pack("<IIIIIIi", 32, 0, 100, 100, 0, 0, 0), "BadConnectionRejected"),
        (b"HELF" + struct.pack("<IIIIIIi", 32, 0, 65535, 65535, 0, 0, 5), "BadTcpEndpointUrlInvalid"),
        (b"MSGX" + struct.pack("<I", 100), "BadTcpMessageTypeInvalid"),
        (b"OPNC" + struct.pack("<I", 100), "BadTcpMessageTypeInvalid"),
    ],
)
async def test_nonsense_is_refused_from_its_first_eight_bytes_on(tmp_path: Path, data: bytes, code: str) -> None:
    async with frame(tmp_path) as server:
        raw = await Raw.connect(server.port)
        raw.send(data)
        assert await raw.error_code() == code
        assert await raw.ended()


async def test_before_activation_messages_are_small_and_in_one_chunk(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.hello()
        await raw.open()
        raw.send(raw.chunk(bytes(1000), final=b"C"))
        assert await raw.error_code() == "BadTcpMessageTooLarge"
        assert await raw.ended()


async def test_after_activation_chunks_and_bytes_of_a_message_are_counted_as_they_come(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN, limits=Limits(chunks=3)) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        body = raw.body(read_request(500))
        half = len(body) // 2
        raw.send(raw.chunk(body[:half], final=b"C") + raw.chunk(body[half:]))
        assert len((await raw.response()).Results) == 500
        for _ in range(3):
            raw.send(raw.chunk(bytes(100), final=b"C"))
        assert await raw.error_code() == "BadTcpMessageTooLarge"
