"""Secure channel: padding, sequence numbers, tokens."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from asyncua import ua

from server.opcua.connection.chunks import error_message, strip_padding
from server.opcua.connection.open_message import parse_open_header
from server.opcua.connection.open_rate import OpenRate
from server.opcua.connection.secure_channel import SecureChannel
from server.opcua.errors import ChannelError, code_name
from server.opcua.limits import Limits
from server.opcua.security.policies import NONE_URI
from server.pki.own_certificate import OwnCertificate
from tests.unit.opcua.security_kit import Clock, make

OWN = OwnCertificate(make("client").certificate, make("client").private_key)


def channel(clock: Clock | None = None) -> SecureChannel:
    made = SecureChannel(Limits(), clock or Clock())
    made.issue(NONE_URI, ua.MessageSecurityMode.None_, None, OWN)
    made.add_token(b"", 60_000)
    return made


def chunk(target: SecureChannel, number: int, *, token: int = 1, final: bytes = b"F", request: int = 1) -> bytes:
    return b"MSG" + final + struct.pack("<IIIII", 28, target.channel_id, token, number, request) + b"body"


def fault(call: Any) -> str:
    with pytest.raises(ChannelError) as caught:
        call()
    return code_name(caught.value.code)


def test_padding_is_stripped_only_when_every_byte_agrees() -> None:
    assert strip_padding(b"12345678" + b"\x03\x03\x03\x03", False) == b"12345678"
    assert strip_padding(b"12345678" + b"\x00", False) == b"12345678"
    assert strip_padding(b"12345678" + b"\x01\x01\x00", True) == b"12345678"
    for wrong in (b"12345678\x03\x01\x03\x03", b"12345678\xff", b"\x00"):
        with pytest.raises(ValueError, match="padding"):
            strip_padding(wrong, False)


@pytest.mark.parametrize(
    ("last", "number", "accepted"),
    [
        (5, 6, True),
        (5, 5, False),
        (5, 7, False),
        (5, 4, False),
        (2**32 - 1, 0, True),
        (2**32 - 1024, 1023, True),
        (2**32 - 1024, 1024, False),
        (2**31, 1, False),
    ],
)
def test_sequence_numbers_rise_by_one_and_wrap_only_at_the_end(last: int, number: int, accepted: bool) -> None:
    target = channel()
    target.check_sequence(last)
    if accepted:
        target.check_sequence(number)
    else:
        assert fault(lambda: target.check_sequence(number)) == "BadSequenceNumberInvalid"


def test_the_old_token_lives_until_the_new_one_is_used() -> None:
    target = channel()
    target.add_token(b"", 60_000)
    assert target.receive(chunk(target, 1, token=1), 1000, 1) is not None
    assert target.receive(chunk(target, 2, token=2), 1000, 1) is not None
    assert fault(lambda: target.receive(chunk(target, 3, token=1), 1000, 1)) == "BadSecureChannelTokenUnknown"


def test_a_token_ends_a_quarter_after_its_lifetime() -> None:
    clock = Clock()
    target = channel(clock)
    clock.now += 74
    assert target.receive(chunk(target, 1), 1000, 1) is not None
    clock.now += 2
    assert fault(lambda: target.receive(chunk(target, 2), 1000, 1)) == "BadSecureChannelClosed"


def test_an_aborted_message_is_dropped_and_the_channel_lives_on() -> None:
    target = channel()
    assert target.receive(chunk(target, 1, final=b"C"), 1000, 5) is None
    assert target.receive(chunk(target, 2, final=b"A"), 1000, 5) is None
    message = target.receive(chunk(target, 3), 1000, 5)
    assert message is not None
    assert message.body == b"body"


def test_chunks_of_two_requests_do_not_mix() -> None:
    target = channel()
    target.receive(chunk(target, 1, final=b"C", request=1), 1000, 5)
    assert fault(lambda: target.receive(chunk(target, 2, request=2), 1000, 5)) == "BadSecurityChecksFailed"


@pytest.mark.parametrize(
    "field", [struct.pack("<i", 2**31 - 1), struct.pack("<i", -2), struct.pack("<i", 300) + b"x" * 300, b""]
)
def test_a_security_header_with_a_wild_length_is_refused(field: bytes) -> None:
    assert fault(lambda: parse_open_header(bytes(12) + field, Limits())) in {
        "BadSecurityChecksFailed",
        "BadTcpMessageTypeInvalid",
    }


def test_a_nonce_is_taken_once() -> None:
    target = channel()
    target.check_nonce(b"n" * 32)
    assert fault(lambda: target.check_nonce(b"n" * 32)) == "BadNonceInvalid"
    assert fault(lambda: target.check_nonce(b"m" * 31)) == "BadNonceInvalid"


def test_an_error_message_has_the_form_of_the_standard() -> None:
    data = error_message(ua.StatusCodes.BadTcpMessageTooLarge, "BadTcpMessageTooLarge")
    assert data[:4] == b"ERRF"
    assert struct.unpack_from("<III", data, 4) == (len(data), ua.StatusCodes.BadTcpMessageTooLarge, 21)


def test_channels_above_the_rate_wait_their_turn() -> None:
    clock = Clock()
    rate = OpenRate(5, 2, clock)
    assert [rate.delay_s("a") for _ in range(4)] == pytest.approx([0, 0, 0.2, 0.4])
    assert rate.delay_s("b") == 0
    clock.now += 10
    assert rate.delay_s("a") == 0
