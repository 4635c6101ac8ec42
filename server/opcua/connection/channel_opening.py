"""OpenSecureChannel: who may open a channel, with which security, and for how long (OPC 10000-4, 5.6.2).

The order is: offered at all, not too often, certificate valid, decrypts and verifies, sequence number, decodes, mode
and nonce. Only then does the channel get an identity; a renewal never changes it.
"""

from __future__ import annotations

import asyncio
import struct
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

from server.opcua.connection.open_message import OpenRequestHeader, parse_open_header, unseal_open
from server.opcua.connection.secure_channel import SecureChannel
from server.opcua.context import ServerContext
from server.opcua.decoding import Scan, structure
from server.opcua.errors import ChannelError, ServiceFaultError
from server.opcua.security.certificate_validation import CertificateRefusedError, split_chain
from server.opcua.security.policies import NONE_URI, POLICIES

Codes = ua.StatusCodes
Ids = ua.ObjectIds
_U4 = struct.Struct("<I")


class ChannelOpener:
    """Serves the OPN chunks of one connection."""

    def __init__(self, context: ServerContext, channel: SecureChannel) -> None:
        self._context, self._channel = context, channel

    async def open(self, chunk: bytes, address: str, peer_name: str) -> bytes:
        """Serve one OpenSecureChannel chunk, a first issue or a renewal; returns the chunk that answers it.

        The answer is to be sent before the loop does anything else: its sequence number is taken.

        Raises:
            ChannelError: refused, as the head of this module says.
        """
        context, channel = self._context, self._channel
        header = parse_open_header(chunk, context.limits)
        renewal = channel.is_open
        if _U4.unpack_from(chunk, 8)[0] != channel.channel_id:
            raise ChannelError(Codes.BadTcpSecureChannelUnknown, "channel id of OpenSecureChannel")
        if header.policy_uri not in POLICIES or (
            header.policy_uri != NONE_URI
            and not any(uri == header.policy_uri for uri, _, _ in context.options.offered())
        ):
            raise ChannelError(Codes.BadSecurityPolicyRejected, "security policy is not offered")
        if renewal and header.policy_uri != channel.policy_uri:
            raise ChannelError(Codes.BadSecurityChecksFailed, "renewal with another policy")
        delay = context.open_rate.delay_s(address)
        if delay > context.limits.channel_timeout_s or context.opening >= context.limits.open_requests_waiting:
            raise ChannelError(Codes.BadTcpServerTooBusy, "too many channels are being opened")
        context.opening += 1
        try:
            if delay:
                await asyncio.sleep(delay)
            peer = await self._peer(header, address, peer_name)
            mode = channel.mode if renewal else ua.MessageSecurityMode.SignAndEncrypt
            policy = channel.policy if renewal else channel.make_policy(header.policy_uri, mode, peer, context.own)
            number, request_id, body = await context.in_pool(unseal_open, chunk, header, policy, context.own)
        finally:
            context.opening -= 1
        channel.check_sequence(number)
        request = self._decode_open(body)
        return await self._answer_open(request, header, peer, request_id)

    async def _peer(self, header: OpenRequestHeader, address: str, peer_name: str) -> Any:
        """Validated certificate of the client; None on a channel without security, whatever it sent."""
        if header.policy_uri == NONE_URI:
            return None
        known = self._channel.peer
        try:
            if known is not None and split_chain(header.certificate)[0] != known.der:
                raise ChannelError(Codes.BadSecurityChecksFailed, "renewal with another certificate")
            return await self._context.trust.validate(header.certificate, peer_name, address)
        except CertificateRefusedError as error:
            self._context.counters.rejected_certificates += 1
            raise ChannelError(error.wire_code, f"certificate {error.thumbprint} refused") from error

    def _decode_open(self, body: bytes) -> Any:
        try:
            scan = Scan(body, self._context.limits)
            structure(ua.OpenSecureChannelRequest)(scan)
            if (
                scan.elements
                or nodeid_from_binary(Buffer(body)).Identifier != Ids.OpenSecureChannelRequest_Encoding_DefaultBinary
            ):
                raise ServiceFaultError(Codes.BadTcpMessageTypeInvalid, "not an OpenSecureChannel request")
            return struct_from_binary(ua.OpenSecureChannelRequest, Buffer(body))
        except ServiceFaultError as error:
            raise ChannelError(error.code, error.detail) from error
        except Exception as error:
            raise ChannelError(Codes.BadDecodingError, type(error).__name__) from error

    async def _answer_open(self, request: Any, header: OpenRequestHeader, peer: Any, request_id: int) -> bytes:
        context, channel, params = self._context, self._channel, request.Parameters
        renewal = params.RequestType == ua.SecurityTokenRequestType.Renew
        if renewal != channel.is_open:
            raise ChannelError(Codes.BadRequestTypeInvalid, "renewal without channel, or channel issued twice")
        if header.policy_uri == NONE_URI:
            mode_fits = params.SecurityMode == ua.MessageSecurityMode.None_
        else:
            mode_fits = context.options.accepts(header.policy_uri, params.SecurityMode)
            channel.check_nonce(params.ClientNonce)
        if not mode_fits or (renewal and params.SecurityMode != channel.mode):
            raise ChannelError(Codes.BadSecurityModeRejected, "security mode is not offered")
        if not renewal:
            channel.issue(header.policy_uri, params.SecurityMode, peer, context.own)
        result = channel.add_token(params.ClientNonce or b"", int(params.RequestedLifetime))
        result.SecurityToken.CreatedAt = datetime.now(UTC)
        response: Any = ua.OpenSecureChannelResponse()
        response.Parameters = result
        response.ResponseHeader.RequestHandle = request.RequestHeader.RequestHandle
        response.ResponseHeader.Timestamp = datetime.now(UTC)
        body = struct_to_binary(response)
        if renewal or not channel.secured:
            # In the loop: publish responses are being sealed on this channel, and their order is their number.
            return channel.seal_open(body, request_id)
        return await context.in_pool(channel.seal_open, body, request_id)
