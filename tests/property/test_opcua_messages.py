"""Messages that go out in pieces arrive whole, and the short way of reading a header gives what the long one gives."""

import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from server.opcua.connection.secure_channel import SecureChannel
from server.opcua.limits import Limits
from server.opcua.security.policies import NONE_URI
from server.opcua.services import requests
from server.pki.own_certificate import OwnCertificate
from tests.unit.opcua.security_kit import make

OWN = OwnCertificate(make("client").certificate, make("client").private_key)
LIMITS = Limits()


def open_channel(chunk_bytes: int) -> SecureChannel:
    made = SecureChannel(LIMITS)
    made.issue(NONE_URI, ua.MessageSecurityMode.None_, None, OWN)
    made.add_token(b"", 60_000)
    made.send_chunk_bytes = chunk_bytes
    return made


@given(st.lists(st.integers(0, 300), max_size=8), st.integers(40, 400))
def test_pieces_are_cut_into_chunks_that_hold_the_message_in_order(sizes: list[int], chunk_bytes: int) -> None:
    pieces = [bytes((number % 251,)) * size for number, size in enumerate(sizes, 1)]
    channel = open_channel(chunk_bytes)
    sealed = channel.seal(tuple(pieces), 77)
    assert sealed is not None
    data, body, number = b"".join(sealed), b"", 0
    while data:
        kind, final, size, channel_id, token, sequence, request = struct.unpack_from("<3scIIIII", data)
        number += 1
        assert (kind, channel_id, token, sequence, request) == (b"MSG", channel.channel_id, 1, number, 77)
        assert size <= chunk_bytes
        assert final == (b"F" if size == len(data) else b"C")
        body, data = body + data[24:size], data[size:]
    assert number >= 1
    assert body == b"".join(pieces)


node_ids = st.one_of(
    st.binary(min_size=30, max_size=34).map(lambda token: ua.NodeId(token, 0, ua.NodeIdType.ByteString)),
    st.binary(min_size=32, max_size=32).map(lambda token: ua.NodeId(token, 2, ua.NodeIdType.ByteString)),
    st.integers(0, 2**32 - 1).map(ua.NodeId),
)
handles = st.integers(0, 2**32 - 1)
request_types = st.sampled_from([ua.PublishRequest, ua.ReadRequest, ua.CloseSessionRequest, ua.BrowseRequest])


@given(request_types, node_ids, handles, handles, st.sampled_from([None, None, "", "entry"]))
def test_the_short_way_of_reading_a_header_agrees_with_the_long_one(
    kind: Any, token: ua.NodeId, handle: int, hint: int, audit: str | None
) -> None:
    request = kind()
    request.RequestHeader = ua.RequestHeader(
        AuthenticationToken=token,
        Timestamp=datetime(2026, 1, 2, tzinfo=UTC),
        RequestHandle=ua.UInt32(handle),
        AuditEntryId=audit,
        TimeoutHint=ua.UInt32(hint),
    )
    body = struct_to_binary(request)
    short = requests.read_header(body, LIMITS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "_usual_header", lambda _: None)
        long = requests.read_header(body, LIMITS)
    for found in (short, long):
        number, header, position = found
        assert ua.extension_objects_by_typeid[ua.NodeId(number)] is kind
        assert (header.AuthenticationToken, header.RequestHandle, header.TimeoutHint) == (token, handle, hint)
        assert position == long[2]
