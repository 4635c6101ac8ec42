"""User identity tokens of ActivateSession (OPC 10000-4, 7.40): who is it, and is it true?"""

from __future__ import annotations

import asyncio
import hmac
from typing import Any

from asyncua import ua
from asyncua.crypto import uacrypto
from cryptography.exceptions import InvalidSignature

from server.opcua.connection.secure_channel import SecureChannel
from server.opcua.context import ServerContext
from server.opcua.errors import ServiceFaultError
from server.opcua.security.certificate_validation import CertificateRefusedError
from server.opcua.security.endpoints import token_policies
from server.opcua.security.policies import NONE_URI, POLICIES
from server.opcua.session import NONCE_BYTES, Session, readable
from server.pki.own_certificate import OwnCertificate
from server.users import User

Codes = ua.StatusCodes
OAEP_SHA1 = "http://www.w3.org/2001/04/xmlenc#rsa-oaep"
OAEP_SHA256 = "http://opcfoundation.org/UA/security/rsa-oaep-sha2-256"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
PSS_SHA256 = "http://opcfoundation.org/UA/security/rsa-pss-sha2-256"
DECRYPT: dict[str, Any] = {OAEP_SHA1: uacrypto.decrypt_rsa_oaep, OAEP_SHA256: uacrypto.decrypt_rsa_oaep_sha256}
"""Exactly these; rsa-1_5 and rsa-sha1 do not exist here whatever a policy says."""
VERIFY: dict[str, Any] = {RSA_SHA256: uacrypto.verify_sha256, PSS_SHA256: uacrypto.verify_pss_sha256}


def decrypt_password(own: OwnCertificate, algorithm: str, secret: bytes, nonce: bytes, maximum: int) -> str | None:
    """Password inside an encrypted secret `u4 length | password | server nonce`; None when anything is wrong with it.

    The nonce must be the session's current one: a recorded secret is worth nothing. RSA work: run it in a thread.
    """
    block = own.private_key.key_size // 8
    if not secret or len(secret) % block or len(secret) > maximum + 8 * block:
        return None
    try:
        plain = b"".join(
            DECRYPT[algorithm](own.private_key, secret[at : at + block]) for at in range(0, len(secret), block)
        )
    except ValueError:
        return None
    length = int.from_bytes(plain[:4], "little")
    content = plain[4 : 4 + length]
    if len(plain) < 4 or len(content) != length or not NONCE_BYTES <= length <= maximum + NONCE_BYTES:
        return None
    if not hmac.compare_digest(content[-NONCE_BYTES:], nonce):
        return None
    try:
        return content[:-NONCE_BYTES].decode("utf-8")
    except UnicodeDecodeError:
        return None


async def identify(
    context: ServerContext, session: Session, channel: SecureChannel, address: str, token: Any, signature: Any
) -> User:
    """The user behind a token.

    Raises:
        ServiceFaultError: BadIdentityTokenRejected (type not offered), BadIdentityTokenInvalid (malformed, unknown
            policy, wrong algorithm), BadUserSignatureInvalid, BadUserAccessDenied (credentials).
    """
    offered = token_policies(context.options, channel.policy_uri, channel.mode)
    if isinstance(token, ua.ExtensionObject):
        if token.Body is not None or (token.TypeId is not None and token.TypeId.Identifier != 0):
            raise ServiceFaultError(Codes.BadIdentityTokenInvalid, "unknown kind of token")
        token = ua.AnonymousIdentityToken()
    kind = {
        ua.AnonymousIdentityToken: ua.UserTokenType.Anonymous,
        ua.UserNameIdentityToken: ua.UserTokenType.UserName,
        ua.X509IdentityToken: ua.UserTokenType.Certificate,
    }.get(type(token))
    candidates = [policy for policy in offered if policy.TokenType == kind]
    if not candidates:
        raise ServiceFaultError(Codes.BadIdentityTokenRejected, "kind of token is not offered")
    if kind == ua.UserTokenType.Anonymous:
        return User("", frozenset(context.options.anonymous_roles))
    policy = next((policy for policy in candidates if policy.PolicyId == token.PolicyId), None)
    if policy is None:
        raise ServiceFaultError(Codes.BadIdentityTokenInvalid, "unknown token policy")
    if kind == ua.UserTokenType.UserName:
        return await _by_password(context, session, channel, address, token, policy.SecurityPolicyUri)
    return await _by_certificate(context, session, address, token, signature, policy.SecurityPolicyUri)


async def _by_password(
    context: ServerContext, session: Session, channel: SecureChannel, address: str, token: Any, policy_uri: str
) -> User:
    name, secret, algorithm = token.UserName or "", token.Password or b"", token.EncryptionAlgorithm or ""
    limits = context.limits
    if not name or len(name) > limits.name_characters:
        raise ServiceFaultError(Codes.BadIdentityTokenInvalid, "no user name")
    password: str | None
    if policy_uri == NONE_URI:
        if algorithm or channel.mode != ua.MessageSecurityMode.SignAndEncrypt:
            raise ServiceFaultError(Codes.BadIdentityTokenInvalid, "plain password outside an encrypted channel")
        try:
            password = secret.decode("utf-8") if len(secret) <= limits.password_bytes else None
        except UnicodeDecodeError:
            password = None
    else:
        if algorithm != POLICIES[policy_uri].AsymmetricEncryptionURI:
            raise ServiceFaultError(
                Codes.BadIdentityTokenInvalid, "encryption algorithm is not that of the token policy"
            )
        password = await asyncio.get_running_loop().run_in_executor(
            context.pool, decrypt_password, context.own, algorithm, secret, session.nonce, limits.password_bytes
        )
    # A secret that does not decrypt costs and answers the same as a wrong password: no oracle.
    user = await context.authenticator.check(address, name, password)
    if user is None:
        context.counters.authentication_failures += 1
        raise ServiceFaultError(Codes.BadUserAccessDenied, f"user {readable(name, 64)!r}")
    return user


async def _by_certificate(
    context: ServerContext, session: Session, address: str, token: Any, signature: Any, policy_uri: str
) -> User:
    if len(token.CertificateData or b"") > context.limits.certificate_bytes:
        raise ServiceFaultError(Codes.BadIdentityTokenInvalid, "certificate is too large")
    try:
        peer = await context.user_trust.validate(token.CertificateData or b"", session.peer, address)
    except CertificateRefusedError as error:
        context.counters.authentication_failures += 1
        raise ServiceFaultError(Codes.BadIdentityTokenRejected, "user certificate") from error
    algorithm = signature.Algorithm if signature is not None else None
    if algorithm != POLICIES[policy_uri].AsymmetricSignatureURI:
        raise ServiceFaultError(Codes.BadIdentityTokenInvalid, "signature algorithm is not that of the token policy")
    try:
        VERIFY[algorithm](peer.certificate, context.own.der + session.nonce, signature.Signature or b"")
    except (InvalidSignature, ValueError):
        context.counters.authentication_failures += 1
        raise ServiceFaultError(Codes.BadUserSignatureInvalid, "user certificate") from None
    user = context.authenticator.directory.find_by_certificate(peer.thumbprint)
    if user is None:
        context.counters.authentication_failures += 1
        raise ServiceFaultError(Codes.BadUserAccessDenied, "no user has this certificate")
    return user
