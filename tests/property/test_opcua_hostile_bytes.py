"""No bytes end the server: every mutation is answered, refused or closed, and an honest client is still served."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary
from cryptography import x509
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.opcua.certificate_validation import CertificateRefusedError, load_leaf
from server.opcua.decoding import scan_structure
from server.opcua.endpoints import SecurityOptions
from server.opcua.errors import ServiceFaultError
from server.opcua.limits import Limits
from tests.unit.opcua.security_kit import Raw, frame, make, read_request

KINDS = [
    ua.ReadParameters,
    ua.WriteParameters,
    ua.CallParameters,
    ua.CreateMonitoredItemsParameters,
    ua.HistoryReadParameters,
    ua.BrowseParameters,
    ua.ActivateSessionParameters,
    ua.RequestHeader,
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.binary(max_size=400))
def test_whatever_the_scan_lets_through_the_decoder_reads_within_the_same_bytes(kind: type, data: bytes) -> None:
    try:
        scan = scan_structure(kind, data, Limits())
    except ServiceFaultError:
        return
    buffer = ua.utils.Buffer(data)
    try:
        struct_from_binary(kind, buffer)
    except ua.utils.NotEnoughData:
        pytest.fail("the decoder reads on where the scan has stopped")
    except Exception:  # noqa: BLE001 -- values that it does not like are a BadDecodingError for the client
        return
    assert buffer.cur_pos == scan.position


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=300, deadline=None)
@given(st.integers(0, 800), st.integers(1, 255), st.integers(0, 900))
@example(12, 1, 900)
def test_a_damaged_certificate_is_refused_or_parsed_and_nothing_else(position: int, flip: int, end: int) -> None:
    der = bytearray(make("client").der)
    der[position % len(der)] ^= flip
    data = bytes(der[: max(1, end)]) if end < 100 else bytes(der)
    with contextlib.suppress(CertificateRefusedError):
        leaf, _ = load_leaf(data)
        assert isinstance(leaf, x509.Certificate)


async def test_mutated_messages_leave_an_honest_client_served(tmp_path: Path) -> None:
    chance = random.Random(20250101)
    limits = Limits(open_requests_burst=1000, connections_per_address=100, unactivated_per_address=100)
    async with frame(tmp_path, options=SecurityOptions(allow_none=True, allow_anonymous=True), limits=limits) as server:
        honest = await Raw.connect(server.port)
        await honest.session()
        for _ in range(60):
            raw = await Raw.connect(server.port)
            await raw.session()
            for _ in range(5):
                message = bytearray(raw.chunk(raw.body(read_request(3))))
                for _ in range(chance.randint(1, 6)):
                    message[chance.randrange(8, len(message))] = chance.randrange(256)
                raw.send(bytes(message))
            raw.send(b"\x00" * 8)
            assert await raw.ended()
            await raw.close()
            assert (await honest.call(read_request())).Results[0].Value.Value == 42
