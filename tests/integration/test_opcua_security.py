"""The secure frame over real sockets: an honest client gets in, everybody else gets the standard's refusal."""

from __future__ import annotations

import asyncio
import logging
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.crypto import uacrypto
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.uaerrors import UaError

from server.opcua.endpoints import SecurityOptions
from server.opcua.limits import Limits
from server.opcua.server import OpcUaServer
from server.pki.trust_store import TrustFolder, thumbprint
from server.users import User
from tests.unit.opcua.security_kit import (
    APPLICATION_URI,
    BAD,
    PASSWORD,
    POLICIES,
    Raw,
    frame,
    make,
    read_request,
    scrypt_of,
    write_users,
)
from tests.unit.opcua.stock_services import StockServices

OPEN = SecurityOptions(allow_none=True, allow_anonymous=True)
SIGN, ENCRYPT = ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt


async def refusal(client: Any) -> str:
    """Name of the code with which a connect fails, without trying again."""
    try:
        async with asyncio.timeout(10):
            await client.connect()
    except UaError as error:
        await client.disconnect_socket_only() if hasattr(
            client, "disconnect_socket_only"
        ) else client.disconnect_socket()
        code = getattr(error, "code", None)
        return ua.StatusCode(ua.UInt32(code)).name if code else type(error).__name__
    except ConnectionError:
        return "closed"
    await client.disconnect()
    return "connected"


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
            channel = next(iter(server.context.connections)).processor.channel
            assert list(channel._tokens) == [4]


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
    monkeypatch.setattr("server.opcua.listener.RELOAD_S", 0.01)
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
        connection = next(iter(server.context.connections))
        client.security_policy.host_certificate = other.der
        with pytest.raises((UaError, ConnectionError)):
            await client.open_secure_channel(renew=True)
        assert not connection.open
        client.disconnect_socket()


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


async def test_an_expensive_request_is_decoded_beside_the_loop(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN, limits=Limits(decode_inline_price=1000)) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        assert len((await raw.call(read_request(500))).Results) == 500
        await raw.close()


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


@pytest.mark.parametrize("user", ["admin", "Operator", "operator ", "nobody"])
async def test_no_user_exists_that_was_not_added(tmp_path: Path, user: str) -> None:
    async with frame(tmp_path) as server:
        assert await refusal(server.client(user=user)) == "BadUserAccessDenied"
        assert server.context.counters.authentication_failures == 1


async def test_wrong_password_is_refused_audited_and_never_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "gridbms")
    async with frame(tmp_path) as server:
        assert await refusal(server.client(password="guess me not")) == "BadUserAccessDenied"
        assert ("ActivateSession", False, "operator") in [entry[:3] for entry in server.audited]
        assert "guess me not" not in caplog.text + str(server.audited)


async def test_anonymous_is_refused_unless_the_site_allows_it(tmp_path: Path) -> None:
    async with frame(tmp_path) as server:
        assert await refusal(server.client(user="")) == "BadIdentityTokenRejected"


async def _activate(server: Any, change: Any) -> str:
    """Activate with a user token that ``change`` has made; the code of the refusal."""
    client = server.client()
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    created = await client.create_session()
    params = ua.ActivateSessionParameters()
    policy = client.security_policy
    params.ClientSignature.Algorithm = policy.AsymmetricSignatureURI
    challenge = server.context.own.der + created.ServerNonce
    params.ClientSignature.Signature = policy.asymmetric_cryptography.signature(challenge)
    token = ua.UserNameIdentityToken()
    token.PolicyId, token.UserName = "username_Basic256Sha256", "operator"
    token.EncryptionAlgorithm = "http://www.w3.org/2001/04/xmlenc#rsa-oaep"
    params.UserIdentityToken = token
    public = server.context.own.certificate.public_key()
    change(params, token, created.ServerNonce, public)
    try:
        await client.uaclient.activate_session(params)
    except UaError as error:
        return ua.StatusCode(ua.UInt32(error.code)).name
    finally:
        client.disconnect_socket()
    return "activated"


def _secret(nonce: bytes) -> bytes:
    content = PASSWORD.encode() + nonce
    return struct.pack("<I", len(content)) + content


def _good(params: Any, token: Any, nonce: bytes, public: Any) -> None:
    token.Password = uacrypto.encrypt_rsa_oaep(public, _secret(nonce))


def _replayed(params: Any, token: Any, nonce: bytes, public: Any) -> None:
    token.Password = uacrypto.encrypt_rsa_oaep(public, _secret(bytes(32)))


def _without_nonce(params: Any, token: Any, nonce: bytes, public: Any) -> None:
    token.Password = uacrypto.encrypt_rsa_oaep(public, _secret(b""))


def _plain(params: Any, token: Any, nonce: bytes, public: Any) -> None:
    token.Password, token.EncryptionAlgorithm = PASSWORD.encode(), None


def _rsa15(params: Any, token: Any, nonce: bytes, public: Any) -> None:
    token.Password = uacrypto.encrypt_rsa15(public, _secret(nonce))
    token.EncryptionAlgorithm = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"


def _other_oaep(params: Any, token: Any, nonce: bytes, public: Any) -> None:
    token.Password = uacrypto.encrypt_rsa_oaep_sha256(public, _secret(nonce))
    token.EncryptionAlgorithm = "http://opcfoundation.org/UA/security/rsa-oaep-sha2-256"


def _unknown_policy(params: Any, token: Any, nonce: bytes, public: Any) -> None:
    _good(params, token, nonce, public)
    token.PolicyId = "4"


def _garbage(params: Any, token: Any, nonce: bytes, public: Any) -> None:
    token.Password = bytes(256)


def _wrong_signature(params: Any, token: Any, nonce: bytes, public: Any) -> None:
    _good(params, token, nonce, public)
    params.ClientSignature.Signature = bytes(256)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_good, "activated"),
        (_replayed, "BadUserAccessDenied"),
        (_without_nonce, "BadUserAccessDenied"),
        (_garbage, "BadUserAccessDenied"),
        (_plain, "BadIdentityTokenInvalid"),
        (_rsa15, "BadIdentityTokenInvalid"),
        (_other_oaep, "BadIdentityTokenInvalid"),
        (_unknown_policy, "BadIdentityTokenInvalid"),
        (_wrong_signature, "BadApplicationSignatureInvalid"),
    ],
)
async def test_a_user_token_must_be_fresh_and_encrypted_as_its_policy_says(
    tmp_path: Path, change: Any, code: str
) -> None:
    async with frame(tmp_path) as server:
        assert await _activate(server, change) == code


async def test_a_plain_password_is_taken_on_an_encrypted_channel_when_the_site_allows_it(tmp_path: Path) -> None:
    def plain(params: Any, token: Any, nonce: bytes, public: Any) -> None:
        _plain(params, token, nonce, public)
        token.PolicyId = "username_plain"

    async with frame(tmp_path, options=SecurityOptions(allow_plain_password=True)) as server:
        assert await _activate(server, plain) == "activated"


async def test_a_user_certificate_needs_trust_a_signature_and_a_user(tmp_path: Path) -> None:
    person = make("person")

    def by_certificate(params: Any, token: Any, nonce: bytes, public: Any) -> None:
        params.UserIdentityToken = ua.X509IdentityToken(
            PolicyId="certificate_Basic256Sha256", CertificateData=person.der
        )
        params.UserTokenSignature.Algorithm = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
        challenge = uacrypto.der_from_x509(own.certificate) + nonce
        params.UserTokenSignature.Signature = uacrypto.sign_sha256(person.private_key, challenge)

    def wrong_signature(params: Any, token: Any, nonce: bytes, public: Any) -> None:
        by_certificate(params, token, nonce, public)
        params.UserTokenSignature.Signature = bytes(256)

    def weak(params: Any, token: Any, nonce: bytes, public: Any) -> None:
        by_certificate(params, token, nonce, public)
        params.UserTokenSignature.Algorithm = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"

    async with frame(tmp_path, options=SecurityOptions(allow_user_certificates=True)) as server:
        own = server.context.own
        assert await _activate(server, by_certificate) == "BadIdentityTokenRejected"
        (server.data / "pki/users/trusted/certs/person.der").write_bytes(person.der)
        await server.listener.reload()
        assert await _activate(server, wrong_signature) == "BadUserSignatureInvalid"
        assert await _activate(server, weak) == "BadIdentityTokenInvalid"
        assert await _activate(server, by_certificate) == "BadUserAccessDenied"
        users = [
            *server.context.authenticator.directory.list(),
            User("person", frozenset(), certificates=frozenset({thumbprint(person.der)})),
        ]
        write_users(server.data, users)
        await server.listener.reload()
        assert await _activate(server, by_certificate) == "activated"


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


@pytest.mark.parametrize(
    "request_class",
    [
        ua.RegisterServerRequest,
        ua.RegisterServer2Request,
        ua.AddNodesRequest,
        ua.DeleteNodesRequest,
        ua.AddReferencesRequest,
        ua.DeleteReferencesRequest,
        ua.FindServersOnNetworkRequest,
        ua.QueryFirstRequest,
    ],
)
async def test_services_that_we_do_not_have_are_unsupported_for_everyone(tmp_path: Path, request_class: Any) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        assert await raw.call(request_class()) == "BadServiceUnsupported"
        await raw.close()


async def test_a_session_used_before_activation_is_closed(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session(activate=False)
        assert await raw.call(read_request()) == "BadSessionNotActivated"
        assert await raw.call(read_request()) == "BadSessionIdInvalid"
        assert len(server.context.sessions) == 0
        await raw.close()


async def test_an_empty_list_and_a_too_long_one_are_refused_as_a_whole(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN, limits=Limits(nodes_per_read=3)) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        assert await raw.call(read_request(0)) == "BadNothingToDo"
        assert await raw.call(read_request(4)) == "BadTooManyOperations"
        response = await raw.call(read_request(3))
        assert len(response.Results) == 3
        assert response.ResponseHeader.RequestHandle == 7
        assert response.ResponseHeader.Timestamp.year >= 2024
        await raw.close()


async def test_a_request_that_does_not_decode_is_a_fault_and_a_header_that_does_not_ends_the_connection(
    tmp_path: Path,
) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        raw.send(raw.chunk(raw.body(read_request())[:-5]))
        assert await raw.response() == "BadDecodingError"
        body = raw.body(read_request())
        raw.send(raw.chunk(body.replace(struct.pack("<I", 0), struct.pack("<i", 77), 0)[:9]))
        assert await raw.error_code() == "BadDecodingError"
        assert await raw.ended()


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
        connection = next(iter(server.context.connections))
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


async def test_a_response_larger_than_the_client_takes_is_replaced_by_a_fault(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.hello(maximum=5_000)
        await raw.open()
        # Endpoint descriptions with certificates are larger than 5,000 bytes.
        assert await raw.call(ua.GetEndpointsRequest()) == "BadResponseTooLarge"
        await raw.close()


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
        while not server.context.connections:
            await asyncio.sleep(0)
        server.advance(seconds - 0.2)
        assert len(server.context.connections) == 1
        server.advance(0.3)
        assert await raw.ended()
        assert len(server.context.sessions) == 0


async def test_bytes_that_trickle_in_do_not_renew_the_time_of_a_chunk(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        connection = next(iter(server.context.connections))
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
        assert len(server.context.connections) == 1
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
            item for item in server.context.connections if item.processor.channel.channel_id == raw.channel_id
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
        assert connection not in server.context.connections
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
        while len(server.context.connections) > 2:
            await asyncio.sleep(0)
        again = await Raw.connect(server.port)
        assert await again.hello() is not None
        for raw in (first, idle[1], again):
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


async def test_removing_a_user_closes_its_sessions_and_a_new_role_acts_at_once(tmp_path: Path) -> None:
    async with frame(tmp_path) as server:
        client = server.client(user="observer")
        await client.connect()
        users = server.context.authenticator.directory.list()
        session = next(iter(server.context.sessions))
        changes = []
        session.on_user_changed.append(lambda changed: changes.append(changed.user.roles))
        operator = next(user.roles for user in users if user.name == "operator")
        write_users(server.data, [replace(user, roles=operator) for user in users])
        await server.listener.reload()
        assert changes == [operator]
        write_users(server.data, [user for user in users if user.name != "observer"])
        await server.listener.reload()
        assert len(server.context.sessions) == 0
        with pytest.raises((UaError, ConnectionError)):
            await client.get_node(ua.NodeId(2258)).read_value()
        client.disconnect_socket()


async def test_a_broken_users_file_leaves_the_operators_in(tmp_path: Path) -> None:
    async with frame(tmp_path) as server:
        async with server.client() as client:
            (server.data / "users.toml").write_text("version = 1\n[[user]\n")
            await server.listener.reload()
            assert await client.get_node(ua.NodeId(2258)).read_value() == 42
        assert await refusal(server.client()) == "connected"


async def test_cancel_answers_queued_requests_and_asks_the_service_sets(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        release = asyncio.Event()

        async def slow(_session: Any, _params: Any, _request: Any) -> Any:
            await release.wait()
            return ua.ReadResponse()

        server.context.services.register(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary, slow)
        session = next(iter(server.context.sessions))
        session.on_cancel.append(lambda _session, handle: 10 if handle == 5 else 0)
        raw.send(raw.chunk(raw.body(read_request(), handle=4), request_id=1))
        raw.send(raw.chunk(raw.body(read_request(), handle=5), request_id=2))
        raw.send(
            raw.chunk(
                raw.body(ua.CancelRequest(Parameters=ua.CancelParameters(RequestHandle=5)), handle=6), request_id=3
            )
        )
        assert await raw.response() == "BadRequestCancelledByClient"
        assert (await raw.response()).Parameters.CancelCount == 11
        release.set()
        assert isinstance(await raw.response(), ua.ReadResponse)
        await raw.close()


async def test_an_expired_timeout_hint_is_answered_bad_timeout(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()

        async def slow(_session: Any, _params: Any, _request: Any) -> Any:
            server.clock.now += 1
            return ua.ReadResponse()

        server.context.services.register(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary, slow)
        raw.send(raw.chunk(raw.body(read_request())) + raw.chunk(raw.body(read_request(), hint_ms=500)))
        assert isinstance(await raw.response(), ua.ReadResponse)
        assert await raw.response() == "BadTimeout"
        await raw.close()


async def test_a_handler_that_fails_is_an_internal_error_without_its_secrets_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()

        async def broken(_session: Any, _params: Any, request: Any) -> Any:
            raise RuntimeError(request.header.AuditEntryId)

        server.context.services.register(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary, broken)
        request = read_request()
        request.RequestHeader.AuditEntryId = "password hunter2"
        assert await raw.call(request) == "BadInternalError"
        assert "RuntimeError" in caplog.text
        assert "hunter2" not in caplog.text
        await raw.close()


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
