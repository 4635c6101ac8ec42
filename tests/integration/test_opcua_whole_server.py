"""The whole OPC UA server with namespace 0, as a program starts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from server.opcua.server import OpcUaServer
from server.users import User
from tests.unit.opcua.security_kit import APPLICATION_URI, PASSWORD, make, scrypt_of, write_users
from tests.unit.opcua.stock_services import StockServices


async def test_the_whole_server_with_ns0_serves_its_status_and_its_limits(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    write_users(data, [User("operator", frozenset(), password_hash=scrypt_of(PASSWORD))])
    server = OpcUaServer(data=data, application_uri=APPLICATION_URI, audit=lambda *_: None, hosts=("127.0.0.1",))
    StockServices(server.asyncua.iserver).register(server.services)
    make("client").trust(data / "pki")
    port = await server.start("127.0.0.1", 0)
    try:
        from asyncua import Client

        client = Client(f"opc.tcp://127.0.0.1:{port}")
        client.application_uri = make("client").profile["uri"]
        client.set_user("operator")
        client.set_password(PASSWORD)
        await server.reload()
        key_file, certificate_file = tmp_path / "key.pem", tmp_path / "own.der"
        key_file.write_bytes(make("client").key_pem)
        certificate_file.write_bytes(make("client").der)
        await client.set_security(SecurityPolicyBasic256Sha256, str(certificate_file), str(key_file))
        async with client:
            status = await client.get_node(ua.NodeId(2256)).read_value()
            assert status.State == ua.ServerState.Running
            assert (status.CurrentTime - status.StartTime).total_seconds() >= 0
            assert await client.get_node(ua.NodeId(11705)).read_value() == server.limits.nodes_per_read
            assert await client.get_namespace_array() == ["http://opcfoundation.org/UA/", APPLICATION_URI]
            assert "Server" in [
                (await node.read_browse_name()).Name for node in await client.nodes.objects.get_children()
            ]
    finally:
        await server.stop()


async def test_asyncuas_own_listener_cannot_be_started(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    server = OpcUaServer(data=data, application_uri=APPLICATION_URI, audit=lambda *_: None, hosts=("127.0.0.1",))
    with pytest.raises(RuntimeError, match="start OpcUaServer"):
        await server.asyncua.start()
    server.context.pool.shutdown()
    server.context.authenticator.close()
