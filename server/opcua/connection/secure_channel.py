"""Secure channel on the server's side (OPC 10000-6, 6.7): keys by token, sequence numbers, chunks in and out.

The cryptographic primitives are asyncua's; what is checked, in which order, and what ends the connection is here.
Every violation is a `ChannelError`: one ERR message, one log line, closed.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.connection import MessageChunk
from asyncua.ua.ua_binary import struct_to_binary

from server.opcua.connection.chunks import CHUNK_HEADER, SEQUENCE, TOKEN, cut, strip_padding
from server.opcua.errors import ChannelError
from server.opcua.limits import Limits
from server.opcua.security.certificate_validation import PeerCertificate
from server.opcua.security.policies import NONE_URI, POLICIES
from server.opcua.wire import Piece
from server.pki.own_certificate import OwnCertificate

Codes = ua.StatusCodes
_WRAP_FROM, _WRAP_BELOW = 0xFFFF_FFFF - 1024, 1024
"""Sequence numbers may wrap from here on to a number below 1024 (OPC 10000-6, 6.7.2.4)."""
OVERRUN = 1.25
"""Messages under an old token are accepted for a quarter of its lifetime longer (OPC 10000-4, 5.6.2.1)."""
_next_channel_id = itertools.count(secrets.randbelow(1 << 30) + 1)


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
        """A client nonce must be long enough and new on this channel (OPC 10000-4, 5.6.2, 5.7.2)."""
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
        """Sequence numbers rise by one (OPC 10000-6, 6.7.2.4)."""
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
        kind, final, _, channel_id = CHUNK_HEADER.unpack_from(chunk)
        if not self.is_open or channel_id != self.channel_id:
            raise ChannelError(Codes.BadTcpSecureChannelUnknown, f"channel id {channel_id}")
        plain = self._unseal(chunk, self._token(TOKEN.unpack_from(chunk, 12)[0]))
        number, request_id = SEQUENCE.unpack_from(plain)
        self.check_sequence(number)
        if final == b"A":
            # An aborted message is dropped, the channel lives on (OPC 10000-6, 6.7.3).
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

    def seal(self, body: Sequence[Piece], request_id: int) -> list[Piece] | None:
        """Chunks of one response, `body` and they in pieces; None when it exceeds the maximum that the client stated."""
        token = self._current
        if token is None:
            raise ChannelError(Codes.BadSecureChannelClosed, "channel is not open")
        size = MessageChunk.max_body_size(token.crypto, self.send_chunk_bytes)
        length = sum(map(len, body))
        count = max(1, -(-length // size))
        if (self.response_bytes and length > self.response_bytes) or (
            self.response_chunks and count > self.response_chunks
        ):
            return None
        security = TOKEN.pack(token.token_id)
        chunks: list[Piece] = []
        for index, part in enumerate(cut(body, size)):
            final = b"F" if index == count - 1 else b"C"
            if self.secured:
                chunks.append(self._seal_chunk(token.crypto, b"MSG", final, security, request_id, b"".join(part)))
            else:
                # Nothing to sign or encrypt: the pieces go out as they are.
                total = 24 + min(size, length - index * size)
                head = CHUNK_HEADER.pack(b"MSG", final, total, self.channel_id)
                chunks += (head + security + SEQUENCE.pack(self._next_sequence(), request_id), *part)
        return chunks

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

    def _next_sequence(self) -> int:
        self._sequence = self._sequence + 1 if self._sequence < 0xFFFF_FFFF else 1
        return self._sequence

    def _seal_chunk(
        self, crypto: Any, kind: bytes, final: bytes, security: bytes, request_id: int, body: bytes
    ) -> bytes:
        plain = SEQUENCE.pack(self._next_sequence(), request_id) + body
        plain += crypto.padding(len(plain))
        sealed = (len(plain) + crypto.signature_size()) // crypto.plain_block_size() * crypto.encrypted_block_size()
        head = CHUNK_HEADER.pack(kind, final, 12 + len(security) + sealed, self.channel_id) + security
        result: bytes = head + crypto.encrypt(plain + crypto.signature(head + plain))
        return result
