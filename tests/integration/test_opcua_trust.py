"""Certificates over real sockets: whom the server trusts, and what happens when that changes (OPC 10000-4, 6.1.3)."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import UaError

from server.pki.trust_store import TrustFolder, thumbprint
from tests.integration.secure_clients import refusal
from tests.unit.opcua.security_kit import BAD, frame, make


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_certificate_gets_its_wire_code_and_its_exact_code_in_the_audit(tmp_path: Path, name: str) -> None:
    async with frame(tmp_path) as server:
        bad = make(name)
        bad.trust(server.data / "pki")
        server.context.trust.folder.reload()
        assert await refusal(server.client(certificate=bad)) == BAD[name]["wire"]
        assert any(BAD[name]["refused"] in entry[4] for entry in server.audited if not entry[1])


async def test_an_unknown_certificate_is_kept_named_once_and_trusted_without_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "gridbms")
    stranger = make("untrusted")
    mark = thumbprint(stranger.der)
    async with frame(tmp_path) as server:
        for _ in range(2):
            assert await refusal(server.client(certificate=stranger)) == "BadSecurityChecksFailed"
        lines = [
            record.message
            for record in caplog.records
            if mark in record.message and "gridbms certs trust" in record.message
        ]
        assert len(lines) == 1
        assert f"gridbms certs trust {mark}" in lines[0]
        assert [row.thumbprint for row in server.context.trust.folder.list() if row.state == "rejected"] == [mark]
        server.context.trust.folder.trust(mark)
        await server.listener.reload()
        assert await refusal(server.client(certificate=stranger)) == "connected"


async def test_the_running_server_looks_at_its_trust_list_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.opcua.connection.listener.SWEEP_S", 0.01)
    stranger = make("untrusted")
    async with frame(tmp_path) as server:
        assert await refusal(server.client(certificate=stranger)) == "BadSecurityChecksFailed"
        # As the command line does it: another process with its own view of the folder.
        TrustFolder(server.data / "pki").trust(thumbprint(stranger.der))
        async with asyncio.timeout(10):
            while thumbprint(stranger.der) not in server.context.trust.folder.store.trusted:
                await asyncio.sleep(0)
        assert await refusal(server.client(certificate=stranger)) == "connected"


async def test_a_channel_is_not_renewed_with_another_certificate(tmp_path: Path) -> None:
    async with frame(tmp_path) as server:
        other = make("issued")
        other.trust(server.data / "pki")
        server.context.trust.folder.reload()
        client = server.client()
        await client.connect()
        connection = next(iter(server.listener.connections))
        client.security_policy.host_certificate = other.der
        with pytest.raises((UaError, ConnectionError)):
            await client.open_secure_channel(renew=True)
        assert not connection.open
        client.disconnect_socket()


async def test_distrust_closes_channel_and_session_at_once(tmp_path: Path) -> None:
    async with frame(tmp_path) as server:
        client = server.client()
        await client.connect()
        server.context.trust.folder.reject(thumbprint(make("client").der))
        await server.listener.reload()
        assert len(server.context.sessions) == 0
        with pytest.raises((UaError, ConnectionError)):
            await client.get_node(ua.NodeId(2258)).read_value()
        client.disconnect_socket()
        assert await refusal(server.client()) == "BadSecurityChecksFailed"


async def test_the_certificate_of_the_session_must_be_that_of_the_channel(tmp_path: Path) -> None:
    async with frame(tmp_path) as server:
        victim = make("issued")
        victim.trust(server.data / "pki")
        server.context.trust.folder.reload()
        client = server.client()
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        # The attacker opens its channel with its own key and claims the public certificate of somebody else.
        client.security_policy.host_certificate = victim.der
        with pytest.raises(ua.uaerrors.BadCertificateInvalid):
            await client.create_session()
        client.security_policy.host_certificate = None
        with pytest.raises(ua.uaerrors.BadCertificateInvalid):
            await client.create_session()
        client.disconnect_socket()
