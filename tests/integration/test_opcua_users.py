"""Users over real sockets: tokens that must be fresh and encrypted, and users that come, change and go (OPC 10000-4, 7.40)."""

from __future__ import annotations

import logging
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.crypto import uacrypto
from asyncua.ua.uaerrors import UaError

from server.opcua.security.endpoints import SecurityOptions
from server.pki.trust_store import thumbprint
from server.users import User
from tests.integration.secure_clients import refusal
from tests.unit.opcua.security_kit import PASSWORD, frame, make, write_users


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
    """Activate with a user token that `change` has made; the code of the refusal."""
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
