"""Command frames: what a rack receives for a request, for an expired lease and for silence."""

import math
from collections.abc import Callable

import cantools
import pytest
from crccheck.crc import Crc8SaeJ1850

from adapters.api import BusSpec, RackRequest, SafeRequest
from adapters.can.command import CommandFrame, CommandSender, effective_safe, physical_to_raw
from adapters.can.tables import DecodeTables
from information_model.device_map import DeviceMap
from information_model.enumerations import Desired

from .conftest import RACK_MAP

MS = 1_000_000
CLOSE = RackRequest(Desired.CLOSED, 55.57, 1234.5, 3, 1, lease_valid=True)


@pytest.fixture
def make_sender(make_bus: Callable[..., BusSpec]) -> Callable[..., CommandSender]:
    def make(device_map: DeviceMap, nodes: tuple[int, ...] = (0,)) -> CommandSender:
        bus = make_bus(device_map, nodes)
        return CommandSender(bus.sources, DecodeTables(bus.sources).bound)

    return make


@pytest.fixture
def sender(make_sender: Callable[..., CommandSender], rack_map: DeviceMap) -> CommandSender:
    return make_sender(rack_map)


def sent(sender: CommandSender, now_ns: int) -> list[CommandFrame]:
    frames: list[CommandFrame] = []
    sender.send_due(now_ns, frames.append)
    return frames


def content(device_map: DeviceMap, frame: CommandFrame) -> dict[str, float]:
    """What the rack reads, by its own database and an independent check sum."""
    assert Crc8SaeJ1850.calc(b"\x22" + frame.payload[:7]) == frame.payload[7]
    database = cantools.database.load_file(device_map.dbc_path)
    values = database.decode_message("Request", frame.payload)
    values.pop("RequestCrc")
    return values


def test_the_request_arrives_with_codes_counter_and_check_sum_and_limits_are_never_rounded_up(
    sender: CommandSender, rack_map: DeviceMap
) -> None:
    sender.apply([CLOSE], 0)
    (frame,) = sent(sender, 0)
    assert frame.ident == 272
    assert content(rack_map, frame) == {
        "Desired": 2, "ChargeLimit": 55.5, "DischargeLimit": 1234.5, "Reset": 3, "Counter": 1,
    }  # fmt: skip


def test_nothing_is_sent_before_the_first_request(sender: CommandSender) -> None:
    assert sender.due_ns() is None
    assert sent(sender, 10**12) == []


def test_frames_keep_their_rate_and_missed_periods_are_not_made_up_for(
    sender: CommandSender, rack_map: DeviceMap
) -> None:
    sender.apply([CLOSE], 0)
    times = [0, 50 * MS, 100 * MS, 199 * MS, 201 * MS, 650 * MS, 660 * MS, 700 * MS]
    counts = [len(sent(sender, now)) for now in times]
    assert counts == [1, 0, 1, 0, 1, 1, 0, 1]
    assert sender.due_ns() == 800 * MS


def test_the_frame_counter_runs_through_its_modulo_whatever_cores_counter_does(
    sender: CommandSender, rack_map: DeviceMap
) -> None:
    counters = []
    for n in range(31):
        sender.apply([CLOSE], n * 100 * MS)
        counters += [content(rack_map, frame)["Counter"] for frame in sent(sender, n * 100 * MS)]
    assert counters == [(n + 1) % 15 for n in range(31)]


@pytest.mark.parametrize(
    ("change", "age_ms", "expected"),
    [
        ({}, 0, {"Desired": 2, "ChargeLimit": 55.5, "DischargeLimit": 1234.5}),
        ({"safe": 1}, 0, {"Desired": 2, "ChargeLimit": 0, "DischargeLimit": 0}),
        ({"lease_valid": False}, 0, {"Desired": 2, "ChargeLimit": 0, "DischargeLimit": 0}),
        ({"safe": 2}, 0, {"Desired": 1, "ChargeLimit": 0, "DischargeLimit": 0}),
        ({"safe": 9}, 0, {"Desired": 1, "ChargeLimit": 0, "DischargeLimit": 0}),
        ({}, 1001, {"Desired": 2, "ChargeLimit": 0, "DischargeLimit": 0}),
        ({}, 6001, {"Desired": 1, "ChargeLimit": 0, "DischargeLimit": 0}),
        ({"desired": Desired.OPEN}, 0, {"Desired": 0}),
        ({"desired": Desired.NOTHING}, 0, {"Desired": 0}),
        ({"desired": 7}, 0, {"Desired": 0}),
        ({"charge_limit_a": math.nan, "discharge_limit_a": math.inf}, 0, {"ChargeLimit": 0, "DischargeLimit": 6553.5}),
        ({"charge_limit_a": -5.0, "discharge_limit_a": 1e9}, 0, {"ChargeLimit": 0, "DischargeLimit": 6553.5}),
        ({"reset_counter": 259}, 0, {"Reset": 3}),
    ],
)
def test_the_safe_word_takes_the_place_of_what_must_not_be_asked(
    sender: CommandSender, rack_map: DeviceMap, change: dict[str, object], age_ms: int, expected: dict[str, float]
) -> None:
    fields = {name: getattr(CLOSE, name) for name in CLOSE.__dataclass_fields__}
    sender.apply([RackRequest(**(fields | change))], 0)
    (frame,) = sent(sender, age_ms * MS)
    found = content(rack_map, frame)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("age_s", [0.0, 1.0, 1.1, 5.9, 6.0, 6.1])
@pytest.mark.parametrize("safe", [0, 1, 2, -1, 3])
@pytest.mark.parametrize("lease", [True, False])
def test_silence_and_lease_only_ever_make_a_request_safer(age_s: float, safe: int, lease: bool) -> None:
    request = RackRequest(Desired.CLOSED, 1.0, 1.0, 0, 0, lease_valid=lease, safe=safe)
    found = effective_safe(request, round(age_s * 1e9))
    asked = SafeRequest(safe) if safe in (0, 1, 2) else SafeRequest.OPEN
    assert found >= asked
    assert found >= (SafeRequest.NONE if lease and age_s <= 1.0 else SafeRequest.ZERO_CURRENT)
    assert (found == SafeRequest.OPEN) == (asked == SafeRequest.OPEN or age_s > 6.0)


def test_each_rack_receives_its_own_request_under_its_own_identifier(
    make_sender: Callable[..., CommandSender], rack_map: DeviceMap
) -> None:
    sender = make_sender(rack_map, (1, 2))
    sender.apply([CLOSE, RackRequest(Desired.OPEN, 0.0, 0.0, 0, 0, lease_valid=True)], 0)
    found = {frame.ident: content(rack_map, frame)["Desired"] for frame in sent(sender, 0)}
    assert found == {272 + 32: 2, 272 + 64: 0}


def test_a_wrong_number_of_requests_is_refused(sender: CommandSender) -> None:
    with pytest.raises(ValueError, match="2 requests for 1 sources"):
        sender.apply([CLOSE, CLOSE], 0)


@pytest.mark.parametrize(
    ("layout", "value", "raw"),
    [
        ("0|8@1+ (0.5,0)", 10.2, 20),
        ("0|8@1+ (0.1,0)", 0.3, 3),  # 0.3 / 0.1 is a little less than 3
        ("0|8@1+ (1,-100)", 20.7, 120),
        ("0|8@1- (1,0)", -5.5, -5),
        ("0|8@1- (-1,0)", 5.5, -5),
        ("0|8@1- (1,0)", 1e6, 127),
        ("0|8@1- (1,0)", -math.inf, -128),
        ("0|8@1+ (1,0)", math.nan, 0),
        ("0|8@1+ (1,0.5)", 0.0, 0),
    ],
)
def test_physical_values_are_rounded_towards_zero_and_confined(layout: str, value: float, raw: int) -> None:
    text = f'VERSION ""\nBO_ 1 M: 8 N\n SG_ S : {layout} [0|0] "" N\n'
    signal = cantools.database.load_string(text, "dbc").messages[0].signals[0]
    assert physical_to_raw(signal, value) == raw


def test_a_map_without_commands_sends_nothing(
    make_sender: Callable[..., CommandSender], make_map: Callable[..., DeviceMap]
) -> None:
    sender = make_sender(make_map(RACK_MAP.partition("[[command]]")[0]))
    sender.apply([CLOSE], 0)
    assert sender.due_ns() is None
    assert sent(sender, MS) == []
