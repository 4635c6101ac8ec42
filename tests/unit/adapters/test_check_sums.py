"""CRC-8 against published check values, frames of real devices and an independent implementation."""

import numpy as np
import pytest
from crccheck.crc import Crc8Base
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.can.e2e import crc8
from information_model.device_map import Crc

CHECK_TEXT = b"123456789"
"""Its first character is fed as the data id, which stands in front of the data."""


def _crc(parameters: dict[str, int | bool], data: bytes) -> int:
    first, rest = data[0], data[1:]
    crc = Crc.model_construct(
        **{"init": 0, "reflected": False, "xorout": 0, "zeros": 0} | parameters,
        byte=len(rest),
        over=len(rest),
        data_id=first,
    )
    return int(crc8(crc, np.frombuffer(rest.ljust(8, b"\0"), np.uint8)[None, :])[0])


@pytest.mark.parametrize(
    ("name", "parameters", "check"),
    [
        ("SAE J1850", {"poly": 0x1D, "init": 0xFF, "xorout": 0xFF}, 0x4B),
        ("MAXIM-DOW, as in the BMW S-Box", {"poly": 0x31, "reflected": True}, 0xA1),
        ("SMBUS, as in Tesla modules", {"poly": 0x07}, 0xF4),
        ("AUTOSAR", {"poly": 0x2F, "init": 0xFF, "xorout": 0xFF}, 0xDF),
        ("ROHC, reflected with a start value", {"poly": 0x07, "init": 0xFF, "reflected": True}, 0xD0),
    ],
)
def test_the_published_check_value_of_123456789_is_met(
    name: str, parameters: dict[str, int | bool], check: int
) -> None:
    assert _crc(parameters, CHECK_TEXT) == check, name


@pytest.mark.parametrize("frame", ["000000005DC8", "00000001B231", "000000025D63", "00000003B29A"])
def test_frames_of_a_nissan_leaf_carry_polynomial_0x85_behind_the_bytes_it_covers(frame: str) -> None:
    data = np.frombuffer(bytes.fromhex(frame).ljust(8, b"\0"), np.uint8)[None, :]
    assert crc8(Crc(poly=0x85, byte=5, over=5), data)[0] == data[0, 5]


@settings(derandomize=True, deadline=None)
@given(
    poly=st.integers(1, 255),
    init=st.integers(0, 255),
    xorout=st.integers(0, 255),
    reflected=st.booleans(),
    zeros=st.integers(0, 8),
    rows=st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=5),
)
def test_any_parameters_agree_with_an_independent_implementation(
    poly: int, init: int, xorout: int, reflected: bool, zeros: int, rows: list[bytes]
) -> None:
    reference = type(
        "Reference",
        (Crc8Base,),
        {
            "_poly": poly,
            "_initvalue": init,
            "_xor_output": xorout,
            "_reflect_input": reflected,
            "_reflect_output": reflected,
        },
    )
    crc = Crc(poly=poly, init=init, xorout=xorout, reflected=reflected, byte=7, over=7, zeros=zeros)
    found = crc8(crc, np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 8))
    assert found.tolist() == [reference.calc(row[:7] + bytes(zeros)) for row in rows]
    in_front = crc8(
        crc.model_copy(update={"byte": 0, "over": 8}), np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 8)
    )
    assert in_front.tolist() == [reference.calc(row[1:] + bytes(zeros)) for row in rows]
