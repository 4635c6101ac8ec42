"""Frames of real batteries: a Tesla Model S pack through the shipped map, foxBMS 2 by its own database."""

from collections.abc import Callable
from pathlib import Path

import cantools
import numpy as np
import pytest

from adapters.api import BusSpec
from adapters.can.frame import EXTENDED, pack_frames
from adapters.can.pipeline import FramePipeline
from adapters.replay.captures import CaptureReport
from adapters.replay.play import play
from information_model.device_map import DeviceMap
from information_model.quality import Quality
from server.config.maps import find_map
from tests.measured import measured_or_skip

HERE = Path(__file__).parent
EXCERPT = HERE.parents[1] / "data/can/tesla_model_s_excerpt.csv.gz"
PAGE_CYCLE_NS = 3_300_000_000
CELLS, PROBES, VOLTAGE, CURRENT = slice(0, 96), slice(96, 128), 128, 129


class Played:
    """A capture played to its end: newest values, and the sum of cells against the mean pack voltage at every page."""

    def __init__(self, path: Path, bus: BusSpec, start_ns: int) -> None:
        self.report = CaptureReport()
        self.value = np.full(130, np.nan)
        self.stamp = np.zeros(130, np.int64)
        self.quality = np.full(130, Quality.WAITING, np.uint8)
        self.qualities: set[int] = set()
        self.difference_v: list[float] = []
        self.instant_difference_v: list[float] = []
        voltages: list[tuple[int, float]] = []
        for _, batch in play(path, FramePipeline(bus), self.report, start_ns=start_ns):
            self.qualities |= set(batch.quality.tolist())
            for slot, value, stamp, quality in zip(*(column.tolist() for column in batch), strict=True):
                assert stamp >= self.stamp[slot]
                self.value[slot], self.stamp[slot], self.quality[slot] = value, stamp, quality
                if slot == VOLTAGE:
                    voltages.append((stamp, value))
                if slot < 96 and np.isfinite(self.value[CELLS]).all():
                    mean = np.mean([volt for at, volt in voltages if at > stamp - PAGE_CYCLE_NS])
                    self.difference_v.append(abs(float(self.value[CELLS].sum()) - float(mean)))
                    self.instant_difference_v.append(abs(float(self.value[CELLS].sum() - self.value[VOLTAGE])))


@pytest.fixture(params=["excerpt", "whole"])
def tesla(request: pytest.FixtureRequest, make_bus: Callable[..., BusSpec]) -> Played:
    path = EXCERPT if request.param == "excerpt" else measured_or_skip("can/savvycan_teslaS_gvret_MIT.csv.gz")
    return Played(path, make_bus(find_map("tesla_model_s.toml", HERE)), start_ns=10**12)


def test_every_cell_probe_voltage_and_current_of_the_tesla_is_good_and_plausible(tesla: Played) -> None:
    assert (tesla.report.malformed, tesla.report.time_steps) == (0, 0)
    assert tesla.qualities == {Quality.GOOD}
    assert (tesla.quality == Quality.GOOD).all()
    assert 4.0 < tesla.value[CELLS].min() <= tesla.value[CELLS].max() < 4.01
    assert 21.5 < tesla.value[PROBES].min() <= tesla.value[PROBES].max() < 23.5
    assert tesla.value[VOLTAGE] == pytest.approx(384.0, abs=0.5)
    assert 4.0 < tesla.value[CURRENT] < 10.0  # about 5 A out of the pack: discharge is positive


def test_the_cells_of_the_tesla_add_up_to_its_pack_voltage_from_the_first_complete_set_on(tesla: Played) -> None:
    assert len(tesla.difference_v) > 50
    assert max(tesla.difference_v) < 0.5


def test_values_of_the_tesla_carry_the_time_of_their_own_frame(tesla: Played) -> None:
    since_start = (tesla.stamp - 10**12) / 1e9
    assert since_start.min() > 0
    assert len(np.unique(tesla.stamp[CELLS])) == 24  # one frame for each four cells
    assert len(np.unique(tesla.stamp[PROBES])) == 8
    assert since_start[CURRENT] == since_start[VOLTAGE] > 6.9


def test_the_first_frames_of_the_tesla_decode_to_what_their_bytes_say(make_bus: Callable[..., BusSpec]) -> None:
    # 166.064 s: 102#0996D6FF..: 0x9609 = 38409, 0xFFD6 = -42. 166.074 s: 6F2#004E33..: 0x334E = 13134.
    pipeline = FramePipeline(make_bus(find_map("tesla_model_s.toml", HERE)))
    batch = next(iter(play(EXCERPT, pipeline, CaptureReport())))[1]
    first = {slot: (value, stamp) for slot, value, stamp in reversed(
        list(zip(batch.slot.tolist(), batch.value.tolist(), batch.mono_ns.tolist(), strict=True))
    )}  # fmt: skip
    assert first[VOLTAGE] == (pytest.approx(384.09), 0)
    assert first[CURRENT] == (pytest.approx(4.2), 0)
    assert first[0] == (pytest.approx(13134 * 0.000305), 10_000_000)


def test_the_database_of_foxbms_is_decoded_as_cantools_decodes_it(
    make_map: Callable[..., DeviceMap], make_bus: Callable[..., BusSpec]
) -> None:
    path = measured_or_skip("can/foxbms2_foxbms.dbc")
    database = cantools.database.load_file(path, strict=False)
    decodable = [
        m
        for m in database.messages
        if m.length == 8 and m.signals and not any(s.is_float for s in m.signals) and not m.is_container
    ]
    assert len(decodable) >= 20
    names = [(message.name, signal.name) for message in decodable for signal in message.signals]
    rows = [
        f'[[scalar]]\npoint = "Test.Signal{n}"\nmessage = "{message}"\nsignal = "{signal}"\nperiod = 1\ntimeout = 9\n'
        for n, (message, signal) in enumerate(names)
    ]
    toml = 'version = 1\nname = "foxbms"\nkind = "can"\ndbc = "fox.dbc"\n' + "".join(rows)
    pipeline = FramePipeline(make_bus(make_map(toml, path.read_text("cp1252"), "fox")))
    rng = np.random.default_rng(1)
    compared = 0
    for message in decodable:
        slots = {signal: slot for slot, (owner, signal) in enumerate(names) if owner == message.name}
        ident = message.frame_id | (EXTENDED if message.is_extended_frame else 0)
        for payload in rng.integers(0, 256, (100, 8), np.uint8):
            batch = pipeline.feed(*pack_frames([ident], [payload.tobytes()], [1]))
            found = dict(zip(batch.slot.tolist(), batch.value.tolist(), strict=True))
            try:
                expected = message.decode(payload.tobytes(), decode_choices=False)
            except cantools.database.DecodeError:
                expected = {}
            assert found == {slots[name]: value for name, value in expected.items()}, message.name
            compared += len(found)
    assert compared > 10_000
