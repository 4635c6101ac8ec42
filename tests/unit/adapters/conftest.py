"""Maps and buses for the tests of adapters: a DBC text and a TOML text become sources of a bus."""

from collections.abc import Callable
from pathlib import Path

import pytest
from crccheck.crc import Crc8SaeJ1850

from adapters.api import Batch, BusSpec, SourceHealth, SourceSpec
from information_model.device_map import DeviceMap, load_device_map

RACK_DBC = """VERSION ""
NS_ :
BS_:
BU_: Rack Server
BO_ 256 Status: 8 Rack
 SG_ Current : 0|16@1- (0.1,0) [0|0] "A" Server
 SG_ State : 16|4@1+ (1,0) [0|0] "" Server
 SG_ Alive : 48|4@1+ (1,0) [0|0] "" Server
 SG_ Crc : 56|8@1+ (1,0) [0|0] "" Server
BO_ 257 Cells: 8 Rack
 SG_ Cell_1 : 0|16@1+ (0.001,0) [0|0] "V" Server
 SG_ Cell_2 : 16|16@1+ (0.001,0) [0|0] "V" Server
 SG_ Cell_3 : 32|16@1+ (0.001,0) [0|0] "V" Server
 SG_ Cell_4 : 48|16@1+ (0.001,0) [0|0] "V" Server
BO_ 272 Request: 8 Server
 SG_ Desired : 0|2@1+ (1,0) [0|0] "" Rack
 SG_ ChargeLimit : 8|16@1+ (0.1,0) [0|0] "A" Rack
 SG_ DischargeLimit : 24|16@1+ (0.1,0) [0|0] "A" Rack
 SG_ Reset : 40|8@1+ (1,0) [0|0] "" Rack
 SG_ Counter : 48|4@1+ (1,0) [0|0] "" Rack
 SG_ RequestCrc : 56|8@1+ (1,0) [0|0] "" Rack
"""

RACK_MAP = """version = 1
name = "test-rack"
kind = "can"
dbc = "rack.dbc"
node_offset = 32

[[matrix]]
point = "CellData.CellVoltages"
count = 4
signal = 'Cell_(\\d+)'
unit = "V"
range = [1.5, 4.5]
invalid = [0xFFFF]
period = 0.1
timeout = 1.0

[[scalar]]
point = "Measurements.DcCurrent"
signal = "Current"
unit = "A"
sign = -1
period = 0.1
timeout = 1.0

[[scalar]]
point = "Status.ContactorState"
signal = "State"
codes = { 0 = 1, 0x3 = 2 }
period = 0.1
timeout = 1.0

[[check]]
message = "Status"
crc = { poly = 0x1D, init = 0xFF, xorout = 0xFF, byte = 7, over = 7, data_id = 0x21 }
counter = { signal = "Alive", modulo = 15 }
liveness = true

[[command]]
message = "Request"
period = 0.1
codes = { Desired = { 0 = 0, 1 = 2 } }
modulo = 15
crc = { poly = 0x1D, init = 0xFF, xorout = 0xFF, byte = 7, over = 7, data_id = 0x22 }
safe = { zero_current = { ChargeLimit = 0, DischargeLimit = 0 }, open = { Desired = 1 } }

[command.signals]
Desired = "desired"
ChargeLimit = "charge_limit_a"
DischargeLimit = "discharge_limit_a"
Counter = "alive"
Reset = "reset_counter"
"""

MakeMap = Callable[..., DeviceMap]


class Recorder:
    """A sink that remembers: batches in order, the newest value per slot, health per source."""

    def __init__(self, sources: int = 1) -> None:
        self.batches: list[Batch] = []
        self.healths = [SourceHealth() for _ in range(sources)]
        self.newest: dict[int, tuple[float, int, int]] = {}
        self.on_batch: Callable[[], None] | None = None

    def deliver(self, batch: Batch) -> None:
        self.batches.append(batch)
        rows = zip(
            batch.slot.tolist(), batch.value.tolist(), batch.quality.tolist(), batch.mono_ns.tolist(), strict=True
        )
        self.newest |= {slot: (value, quality, stamp) for slot, value, quality, stamp in rows}
        if self.on_batch is not None:
            self.on_batch()

    def health(self, source: int) -> SourceHealth:
        return self.healths[source]


@pytest.fixture
def make_map(tmp_path: Path) -> MakeMap:
    """Writes a map and its DBC and loads them; the pair of a small rack by default."""

    def make(toml: str = RACK_MAP, dbc: str = RACK_DBC, name: str = "rack") -> DeviceMap:
        (tmp_path / f"{name}.dbc").write_text(dbc)
        path = tmp_path / f"{name}.toml"
        path.write_text(toml)
        return load_device_map(path)

    return make


@pytest.fixture
def rack_map(make_map: MakeMap) -> DeviceMap:
    return make_map()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def make_bus() -> Callable[..., BusSpec]:
    """A bus with one source per node number; slots follow one another."""

    def make(device_map: DeviceMap, nodes: tuple[int, ...] = (0,), **options: object) -> BusSpec:
        sources = tuple(
            SourceSpec(f"ESS.ARR01.R{node:03d}", node, device_map, number * device_map.slot_count)
            for number, node in enumerate(nodes)
        )
        return BusSpec("bus1", "can", options, sources)

    return make


def status_payload(current_raw: int, state: int, alive: int) -> bytes:
    """A Status frame as the rack makes it; its check sum comes from an implementation that is not ours."""
    body = (current_raw & 0xFFFF).to_bytes(2, "little") + bytes((state, 0, 0, 0, alive))
    return body + bytes((Crc8SaeJ1850.calc(b"\x21" + body),))


@pytest.fixture
def status() -> Callable[[int, int, int], bytes]:
    return status_payload
