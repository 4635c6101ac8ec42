"""No bytes end the server: every mutation is answered, refused or closed, and an honest client is still served."""

from __future__ import annotations

import contextlib
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from cryptography import x509
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.opcua.decoding import scan_structure
from server.opcua.errors import ServiceFaultError
from server.opcua.limits import Limits
from server.opcua.publishing.encoding import acknowledgements
from server.opcua.security.certificate_validation import CertificateRefusedError, load_leaf
from server.opcua.security.endpoints import SecurityOptions
from server.opcua.services.service_table import OPERATIONS
from tests.opcua_noise import BOMBS, mutated, requests, with_value
from tests.unit.opcua.security_kit import Raw, frame, make, read_request

# Parameters of a request of every service; requests without parameters of their own stand for themselves.
PARAMETERS = {type(request).__name__: getattr(request, "Parameters", request) for request in requests()}
ENCODED = {name: struct_to_binary(given) for name, given in PARAMETERS.items()}
KINDS = [*(type(given) for given in PARAMETERS.values()), ua.RequestHeader]


def scan_then_decode(kind: Any, data: bytes) -> bool:
    """Decode what the scan lets through; False where it refused. Fails where the decoder reads other bytes than the scan."""
    try:
        scan = scan_structure(kind, data, Limits())
    except ServiceFaultError:
        return False
    buffer = ua.utils.Buffer(data)
    try:
        struct_from_binary(kind, buffer)
    except ua.utils.NotEnoughData:
        pytest.fail("the decoder reads on where the scan has stopped")
    except Exception:  # noqa: BLE001 -- values that it does not like are a BadDecodingError for the client
        return True
    assert buffer.cur_pos == scan.position
    return True


def test_every_service_whose_operations_are_counted_is_among_the_requests_here() -> None:
    names = {ua.extension_objects_by_typeid[ua.NodeId(ua.Int32(number))].__name__ for number in OPERATIONS}
    assert names < set(PARAMETERS)
    assert len(PARAMETERS) == len(requests()) == 28


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_well_formed_request_of_every_service_is_read_to_its_last_byte_as_it_was_meant(name: str) -> None:
    kind, data = type(PARAMETERS[name]), ENCODED[name]
    assert scan_structure(kind, data, Limits()).position == len(data)
    assert struct_to_binary(struct_from_binary(kind, ua.utils.Buffer(data))) == data


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.binary(max_size=400))
def test_whatever_the_scan_lets_through_the_decoder_reads_within_the_same_bytes(kind: type, data: bytes) -> None:
    scan_then_decode(kind, data)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_damaged_request_of_every_service_is_refused_or_read_within_its_bytes(name: str) -> None:
    chance = random.Random(name)
    kind, data = type(PARAMETERS[name]), ENCODED[name]
    for _ in range(150):
        scan_then_decode(kind, mutated(data, 0, chance))


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("name", ["WriteRequest", "CallRequest"])
def test_a_value_that_would_explode_is_refused_before_it_is_decoded(name: str, bomb: str) -> None:
    with pytest.raises(ServiceFaultError):
        scan_structure(type(PARAMETERS[name]), with_value(ENCODED[name], BOMBS[bomb]), Limits())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100), st.integers(-3, 20))
def test_acknowledgements_are_as_many_as_their_bytes_say_or_refused(data: bytes, count: int) -> None:
    for given_bytes in (data, struct.pack("<i", count) + data):
        with contextlib.suppress(ServiceFaultError):
            found = acknowledgements(given_bytes, 10)
            assert len(found) <= 10
            assert len(given_bytes) == 4 + 8 * len(found)


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
