"""Secure channel on the server's side (OPC 10000-6 6.7): keys by token, sequence numbers, chunks in and out.

The cryptographic primitives are asyncua's; what is checked, in which order, and what ends the connection is here.
Every violation is a `ChannelError`: one ERR message, one log line, closed.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.connection import MessageChunk
from asyncua.crypto import security_policies, uacrypto
from asyncua.ua.ua_binary import struct_to_binary
from cryptography.exceptions import InvalidSignature

from server.opcua.certificate_validation import PeerCertificate
from server.opcua.errors import ChannelError
from server.opcua.limits import Limits
from server.pki.own_certificate import OwnCertificate

Codes = ua.StatusCodes
NONE_URI = security_policies.SecurityPolicyNone.URI
POLICIES: dict[str, Any] = {
    policy.URI: policy
    for policy in (
        security_policies.SecurityPolicyNone,
        security_policies.SecurityPolicyAes256Sha256RsaPss,
        security_policies.SecurityPolicyBasic256Sha256,
        security_policies.SecurityPolicyAes128Sha256RsaOaep,
    )
}
_HEADER = struct.Struct("<3scI")
_CHUNK_HEADER = struct.Struct("<3scII")
_TOKEN = struct.Struct("<I")
_SEQUENCE = struct.Struct("<II")
# Sequence numbers may wrap from here on to a number below 1024 (OPC 10000-6 6.7.2.4).
_WRAP_FROM, _WRAP_BELOW = 0xFFFF_FFFF - 1024, 1024
# Messages under an old token are accepted for a quarter of its lifetime longer (OPC 10000-4 5.6.2.1).
OVERRUN = 1.25
_next_channel_id = itertools.count(secrets.randbelow(1 << 30) + 1)


@dataclass(frozen=True)
class OpenRequestHeader:
    """Asymmetric security header of an OpenSecureChannel chunk."""

    policy_uri: str
    certificate: bytes
    thumbprint: bytes
    size: int


@dataclass
class Token:
    """Symmetric keys of one security token. Times are monotonic seconds."""

    token_id: int
    crypto: Any
    expires_s: float


@dataclass(frozen=True)
class Message:
    """A complete message: decrypted, verified, put together."""

    request_id: int
    body: bytes


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
    number, request_id = _SEQUENCE.unpack_from(plain)
    return number, request_id, plain[8:]


def strip_padding(plain: bytes, two_bytes: bool) -> bytes:
    """Remove padding and its size field, checking that every padding byte says the same (OPC 10000-6 6.7.2.5)."""
    if len(plain) < 2:
        raise ValueError("no padding")
    size = plain[-2] | plain[-1] << 8 if two_bytes else plain[-1]
    total = size + (2 if two_bytes else 1)
    if total > len(plain) - 8:
        raise ValueError("padding is longer than the message")
    field = plain[-total : len(plain) - (1 if two_bytes else 0)]
    if field.count(size & 0xFF) != len(field):
        raise ValueError("padding bytes differ")
    return plain[:-total]


class SecureChannel:
    """State of one channel from the first OpenSecureChannel on."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.channel_id = 0
        self.policy_uri = NONE_URI
        self.mode = ua.MessageSecurityMode.None_
        self.peer: PeerCertificate | None = None
        self.policy: Any = POLICIES[NONE_URI]()
        self.send_chunk_bytes = limits.chunk_bytes
        self.response_bytes = 0
        self.response_chunks = 0
        self._own: OwnCertificate | None = None
        self._clock = clock
        self._tokens: dict[int, Token] = {}
        self._current: Token | None = None
        self._last_token_id = 0
        self._sequence = 0
        self._peer_sequence: int | None = None
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._parts_request = 0
        self._nonces: set[bytes] = set()

    @property
    def is_open(self) -> bool:
        """True after the first successful OpenSecureChannel."""
        return self._current is not None

    @property
    def secured(self) -> bool:
        """True unless the policy is None."""
        return self.policy_uri != NONE_URI

    @property
    def expires_s(self) -> float:
        """Monotonic time at which the channel ends unless it is renewed."""
        return max((token.expires_s for token in self._tokens.values()), default=0.0)

    def make_policy(
        self, policy_uri: str, mode: ua.MessageSecurityMode, peer: PeerCertificate | None, own: OwnCertificate
    ) -> Any:
        """Primitives of a policy for this peer."""
        if policy_uri == NONE_URI:
            return POLICIES[NONE_URI]()
        return POLICIES[policy_uri](peer.certificate if peer else None, own.certificate, own.private_key, mode)

    def check_nonce(self, nonce: bytes | None) -> None:
        """A client nonce must be long enough and new on this channel (OPC 10000-4 5.6.2, 5.7.2)."""
        size = len(nonce or b"")
        if not self.limits.nonce_bytes <= size <= self.limits.maximum_nonce_bytes:
            raise ChannelError(Codes.BadNonceInvalid, f"nonce of {size} bytes")
        digest = hashlib.sha256(nonce or b"").digest()
        if digest in self._nonces:
            raise ChannelError(Codes.BadNonceInvalid, "nonce was used before on this channel")
        # Bounded by the renewals of a channel; an endless renewer starts over.
        if len(self._nonces) >= 1000:
            self._nonces.clear()
        self._nonces.add(digest)

    def issue(
        self, policy_uri: str, mode: ua.MessageSecurityMode, peer: PeerCertificate | None, own: OwnCertificate
    ) -> None:
        """Bind the channel to policy, mode and certificate: never changed afterwards."""
        self.channel_id = next(_next_channel_id)
        self.policy_uri, self.mode, self.peer, self._own = policy_uri, mode, peer, own
        self.policy = self.make_policy(policy_uri, mode, peer, own)

    def add_token(self, client_nonce: bytes, requested_lifetime_ms: int) -> ua.OpenSecureChannelResult:
        """New keys; they are used for sending once the client has used them."""
        lifetime = min(
            max(requested_lifetime_ms / 1000, self.limits.minimum_channel_lifetime_s),
            self.limits.maximum_channel_lifetime_s,
        )
        server_nonce = secrets.token_bytes(self.policy.secure_channel_nonce_length)
        self._last_token_id += 1
        if self._own is None:
            raise ChannelError(Codes.BadSecureChannelClosed, "channel was never issued")
        keys = self.make_policy(self.policy_uri, self.mode, self.peer, self._own)
        keys.make_local_symmetric_key(client_nonce, server_nonce)
        keys.make_remote_symmetric_key(server_nonce, client_nonce, lifetime * 1000)
        token = Token(self._last_token_id, keys.symmetric_cryptography, self._clock() + lifetime * OVERRUN)
        # At most two live at once: the one in use and the one just made.
        self._tokens = {self._current.token_id: self._current} if self._current else {}
        self._tokens[token.token_id] = token
        if self._current is None:
            self._current = token
        result = ua.OpenSecureChannelResult()
        result.ServerNonce = server_nonce or None
        result.SecurityToken = ua.ChannelSecurityToken(
            ChannelId=ua.UInt32(self.channel_id),
            TokenId=ua.UInt32(token.token_id),
            RevisedLifetime=ua.UInt32(int(lifetime * 1000)),
        )
        return result

    def check_sequence(self, number: int) -> None:
        """Sequence numbers rise by one (OPC 10000-6 6.7.2.4)."""
        last = self._peer_sequence
        if last is not None and number != last + 1 and not (last >= _WRAP_FROM and number < _WRAP_BELOW):
            raise ChannelError(Codes.BadSequenceNumberInvalid, f"sequence number {number} after {last}")
        self._peer_sequence = number

    def receive(self, chunk: bytes, maximum_bytes: int, maximum_chunks: int) -> Message | None:
        """Take one MSG or CLO chunk; a `Message` when it was the last one of its message.

        Args:
            chunk: complete chunk with its 12-byte header.
            maximum_bytes: limit of the whole message.
            maximum_chunks: limit of its chunks.
        """
        if len(chunk) < 24:
            raise ChannelError(Codes.BadTcpMessageTypeInvalid, f"chunk of {len(chunk)} bytes")
        kind, final, _, channel_id = _CHUNK_HEADER.unpack_from(chunk)
        if not self.is_open or channel_id != self.channel_id:
            raise ChannelError(Codes.BadTcpSecureChannelUnknown, f"channel id {channel_id}")
        plain = self._unseal(chunk, self._token(_TOKEN.unpack_from(chunk, 12)[0]))
        number, request_id = _SEQUENCE.unpack_from(plain)
        self.check_sequence(number)
        if final == b"A":
            # An aborted message is dropped, the channel lives on (OPC 10000-6 6.7.3).
            self._drop_parts()
            return None
        if self._parts and request_id != self._parts_request:
            raise ChannelError(Codes.BadSecurityChecksFailed, "chunks of two requests are mixed")
        self._parts.append(plain[8:])
        self._parts_request = request_id
        self._parts_bytes += len(plain) - 8
        if (
            self._parts_bytes > maximum_bytes
            or len(self._parts) > maximum_chunks
            or (final == b"C" and len(self._parts) == maximum_chunks)
        ):
            size, count = self._parts_bytes, len(self._parts)
            self._drop_parts()
            raise ChannelError(
                Codes.BadTcpMessageTooLarge,
                f"{size} bytes in {count} chunks, at most {maximum_bytes} in {maximum_chunks}",
            )
        if final == b"C":
            if kind == b"CLO":
                raise ChannelError(Codes.BadTcpMessageTypeInvalid, "CloseSecureChannel in several chunks")
            return None
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._drop_parts()
        return Message(request_id, body)

    def _drop_parts(self) -> None:
        self._parts, self._parts_bytes = [], 0

    def _token(self, token_id: int) -> Token:
        token = self._tokens.get(token_id)
        if token is None or self._clock() > token.expires_s:
            raise ChannelError(
                Codes.BadSecureChannelTokenUnknown if token is None else Codes.BadSecureChannelClosed,
                f"security token {token_id} is {'unknown' if token is None else 'expired'}",
            )
        return token

    def _unseal(self, chunk: bytes, token: Token) -> bytes:
        plain = chunk[16:]
        if self.secured:
            crypto = token.crypto
            try:
                if crypto.is_encrypted:
                    if not plain or len(plain) % 16:
                        raise ValueError
                    plain = crypto.Decryptor.decrypt(plain)
                signed, signature = plain[:-32], plain[-32:]
                expected = hmac.digest(crypto.Verifier.key, chunk[:16] + signed, "sha256")
                if not hmac.compare_digest(signature, expected):
                    raise ValueError
                plain = strip_padding(signed, two_bytes=False) if crypto.is_encrypted else signed
            except ValueError:
                raise ChannelError(Codes.BadSecurityChecksFailed, "decryption or signature failed") from None
        if len(plain) < 8:
            raise ChannelError(Codes.BadTcpMessageTypeInvalid, "no sequence header")
        if token is not self._current:
            # First message under the new token: from now on the old one is dead.
            self._current = token
            self._tokens = {token.token_id: token}
        return plain

    def seal(self, body: bytes, request_id: int) -> bytes | None:
        """Chunks of one response; None when the client stated a maximum that it does not fit into."""
        token = self._current
        if token is None:
            raise ChannelError(Codes.BadSecureChannelClosed, "channel is not open")
        size = MessageChunk.max_body_size(token.crypto, self.send_chunk_bytes)
        count = max(1, -(-len(body) // size))
        if (self.response_bytes and len(body) > self.response_bytes) or (
            self.response_chunks and count > self.response_chunks
        ):
            return None
        security = _TOKEN.pack(token.token_id)
        return b"".join(
            self._seal_chunk(
                token.crypto,
                b"MSG",
                b"F" if index == count - 1 else b"C",
                security,
                request_id,
                body[index * size : (index + 1) * size],
            )
            for index in range(count)
        )

    def seal_open(self, body: bytes, request_id: int) -> bytes:
        """The OpenSecureChannel response: two RSA operations.

        At the first opening run it in a thread; at a renewal other messages are being sealed, so keep the order.
        """
        header: Any = ua.AsymmetricAlgorithmHeader()
        header.SecurityPolicyURI = self.policy_uri
        if self.secured and self._own is not None and self.peer is not None:
            header.SenderCertificate = self._own.der
            header.ReceiverCertificateThumbPrint = hashlib.sha1(self.peer.der, usedforsecurity=False).digest()
        return self._seal_chunk(
            self.policy.asymmetric_cryptography, b"OPN", b"F", struct_to_binary(header), request_id, body
        )

    def _seal_chunk(
        self, crypto: Any, kind: bytes, final: bytes, security: bytes, request_id: int, body: bytes
    ) -> bytes:
        self._sequence = self._sequence + 1 if self._sequence < 0xFFFF_FFFF else 1
        plain = _SEQUENCE.pack(self._sequence, request_id) + body
        plain += crypto.padding(len(plain))
        sealed = (len(plain) + crypto.signature_size()) // crypto.plain_block_size() * crypto.encrypted_block_size()
        head = _CHUNK_HEADER.pack(kind, final, 12 + len(security) + sealed, self.channel_id) + security
        result: bytes = head + crypto.encrypt(plain + crypto.signature(head + plain))
        return result


def error_message(code: int, reason: str = "") -> bytes:
    """ERR message of the connection protocol (OPC 10000-6 7.1.2.5); the reason is a name, never a detail."""
    text = reason.encode()[:100]
    body = struct.pack("<Ii", code, len(text)) + text
    return _HEADER.pack(b"ERR", b"F", 8 + len(body)) + body
