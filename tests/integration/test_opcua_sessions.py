"""Sessions over real sockets: nonces, tokens, limits, and moving to another channel (OPC 10000-4, 5.7)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from asyncua import ua

from server.opcua.limits import Limits
from server.opcua.security.endpoints import SecurityOptions
from tests.integration.secure_clients import OPEN
from tests.unit.opcua.security_kit import APPLICATION_URI, Raw, frame, make, read_request


async def test_discovery_works_without_security_but_a_session_does_not(tmp_path: Path) -> None:
    async with frame(tmp_path) as server:
        raw = await Raw.connect(server.port)
        await raw.hello()
        # A certificate on a channel without security is ignored, even when it is no certificate.
        await raw.open(certificate=b"not a certificate")
        endpoints = (await raw.call(ua.GetEndpointsRequest())).Endpoints
        assert [item.SecurityLevel for item in endpoints] == [200, 190, 180, 100, 90, 80]
        assert {item.Server.ApplicationUri for item in endpoints} == {APPLICATION_URI}
        assert {item.EndpointUrl for item in endpoints} == {server.url}
        servers = (await raw.call(ua.FindServersRequest())).Servers
        assert [item.ApplicationUri for item in servers] == [APPLICATION_URI]
        assert await raw.call(ua.CreateSessionRequest()) == "BadSecurityPolicyRejected"
        await raw.close()


@pytest.mark.parametrize("nonce", [None, b"", bytes(31), bytes(300)])
async def test_a_client_nonce_must_have_a_decent_length(tmp_path: Path, nonce: bytes | None) -> None:
    async with frame(tmp_path) as server:
        client = server.client()
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        params = ua.CreateSessionParameters()
        params.ClientCertificate, params.ClientNonce = make("client").der, nonce
        params.ClientDescription.ApplicationUri = client.application_uri
        with pytest.raises(ua.uaerrors.BadNonceInvalid):
            await client.uaclient.create_session(params)
        client.disconnect_socket()


async def test_a_client_nonce_is_taken_once_on_a_channel(tmp_path: Path) -> None:
    async with frame(tmp_path) as server:
        client = server.client()
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        params = ua.CreateSessionParameters()
        params.ClientCertificate, params.ClientNonce = make("client").der, b"n" * 32
        params.ClientDescription.ApplicationUri = client.application_uri
        await client.uaclient.create_session(params)
        with pytest.raises(ua.uaerrors.BadNonceInvalid):
            await client.uaclient.create_session(params)
        client.disconnect_socket()


async def test_authentication_tokens_are_random_and_bound_to_their_channel(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        first, second = await Raw.connect(server.port), await Raw.connect(server.port)
        await first.session()
        await second.session()
        tokens = {bytes(first.token.Identifier), bytes(second.token.Identifier)}
        assert len(tokens) == 2
        assert all(len(token) == 32 for token in tokens)
        stolen, second.token = second.token, first.token
        assert await second.call(read_request()) == "BadSessionIdInvalid"
        second.token = stolen
        assert (await second.call(read_request())).Results[0].Value.Value == 42
        for raw in (first, second):
            await raw.close()


async def test_a_session_used_before_activation_is_closed(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session(activate=False)
        assert await raw.call(read_request()) == "BadSessionNotActivated"
        assert await raw.call(read_request()) == "BadSessionIdInvalid"
        assert len(server.context.sessions) == 0
        await raw.close()


async def test_at_the_session_limit_the_oldest_unactivated_one_makes_room(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN, limits=Limits(sessions=2)) as server:
        raws = [await Raw.connect(server.port) for _ in range(4)]
        await raws[0].session()
        await raws[1].session(activate=False)
        await raws[2].session()
        assert await raws[3].session() == "BadTooManySessions"
        assert await raws[1].call(ua.ActivateSessionRequest()) == "BadSessionIdInvalid"
        assert (await raws[0].call(read_request())).Results[0].Value.Value == 42
        for raw in raws:
            await raw.close()


async def test_a_session_survives_its_connection_and_moves_to_a_new_channel(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        first, second = await Raw.connect(server.port), await Raw.connect(server.port)
        await first.session()
        session = next(iter(server.context.sessions))
        lost = []
        session.on_channel_lost.append(lost.append)
        await first.close()
        while session.channel is not None:
            await asyncio.sleep(0)
        await second.hello()
        await second.open()
        second.token = first.token
        assert not isinstance(await second.call(ua.ActivateSessionRequest()), str)
        assert (await second.call(read_request())).Results[0].Value.Value == 42
        assert lost[0] is session
        server.clock.now += 61
        assert await second.call(read_request()) == "BadSessionIdInvalid"
        await second.close()


async def test_a_session_does_not_move_to_another_certificate_or_weaker_channel(tmp_path: Path) -> None:
    async with frame(tmp_path, options=SecurityOptions(allow_none=True)) as server:
        client = server.client()
        await client.connect()
        session = next(iter(server.context.sessions))
        thief = await Raw.connect(server.port)
        await thief.hello()
        await thief.open()
        thief.token = session.authentication_token
        assert await thief.call(ua.ActivateSessionRequest()) == "BadSecurityChecksFailed"
        assert await client.get_node(ua.NodeId(2258)).read_value() == 42
        await client.disconnect()
        await thief.close()
