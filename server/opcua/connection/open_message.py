"""OpenSecureChannel requests as they arrive: asymmetric header, decryption, signature, padding (OPC 10000-6, 6.7.2)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.crypto import uacrypto
from cryptography.exceptions import InvalidSignature

from server.opcua.connection.chunks import SEQUENCE, strip_padding
from server.opcua.errors import ChannelError
from server.opcua.limits import Limits
from server.opcua.security.policies import NONE_URI
from server.pki.own_certificate import OwnCertificate

Codes = ua.StatusCodes


@dataclass(frozen=True)
class OpenRequestHeader:
    """Asymmetric security header of an OpenSecureChannel chunk."""

    policy_uri: str
    certificate: bytes
    thumbprint: bytes
    size: int


def parse_open_header(chunk: bytes, limits: Limits) -> OpenRequestHeader:
    """Read the asymmetric security header; every length is bounded before it is used."""
    offset, parts = 12, []
    for maximum in (255, limits.certificate_bytes, 20):
        if offset + 4 > len(chunk):
            raise ChannelError(Codes.BadTcpMessageTypeInvalid, "security header is cut off")
        size = int.from_bytes(chunk[offset : offset + 4], "little", signed=True)
        offset += 4
        if size > maximum or size < -1 or offset + max(size, 0) > len(chunk):
            raise ChannelError(Codes.BadSecurityChecksFailed, f"security header field of {size} bytes")
        parts.append(chunk[offset : offset + max(size, 0)])
        offset += max(size, 0)
    try:
        policy_uri = parts[0].decode("ascii")
    except UnicodeDecodeError:
        raise ChannelError(Codes.BadSecurityPolicyRejected, "policy name is not ASCII") from None
    return OpenRequestHeader(policy_uri, parts[1], parts[2], offset - 12)


def unseal_open(chunk: bytes, header: OpenRequestHeader, policy: Any, own: OwnCertificate) -> tuple[int, int, bytes]:
    """Decrypt and verify an OpenSecureChannel chunk. One RSA decryption and one verification: run it in a thread.

    Returns:
        (sequence number, request id, body)
    """
    if header.policy_uri != NONE_URI:
        expected = hashlib.sha1(own.der, usedforsecurity=False).digest()
        if not hmac.compare_digest(header.thumbprint, expected):
            raise ChannelError(Codes.BadSecurityChecksFailed, "meant for another server certificate")
    crypto = policy.asymmetric_cryptography
    clear, sealed = chunk[: 12 + header.size], chunk[12 + header.size :]
    try:
        if header.policy_uri != NONE_URI and (not sealed or len(sealed) % crypto.Decryptor.encrypted_block_size()):
            raise ValueError
        plain = crypto.decrypt(sealed)
        size = crypto.vsignature_size()
        if size:
            # The signature covers the header as sent and everything up to itself.
            if len(plain) < size + 10:
                raise ValueError
            plain, signature = plain[:-size], plain[-size:]
            crypto.Verifier.verify(clear + plain, signature)
            plain = strip_padding(plain, crypto.Decryptor.encrypted_block_size() > 256)
    except (ValueError, InvalidSignature, uacrypto.InvalidSignature):
        raise ChannelError(Codes.BadSecurityChecksFailed, "OpenSecureChannel: decryption or signature failed") from None
    if len(plain) < 8:
        raise ChannelError(Codes.BadTcpMessageTypeInvalid, "no sequence header")
    number, request_id = SEQUENCE.unpack_from(plain)
    return number, request_id, plain[8:]
