"""Database, map and frames of the simulated rack say the same."""

from pathlib import Path

import cantools
import numpy as np
import pytest
from crccheck.crc import Crc8SaeJ1850

from adapters.can.database import bind
from adapters.simulator.database import SHIPPED, SHIPPED_CELLS, SHIPPED_PROBES, rack_database, write_database
from adapters.simulator.layout import (
    COMMAND,
    ELECTRICAL,
    EXTENDED,
    STATE,
    THERMAL,
    Message,
    check_sums,
    frame_id,
)
from information_model.device_map import load_device_map

FOLDER = Path(__file__).parents[3] / "adapters" / "maps"


def test_the_shipped_pair_is_what_the_generator_makes() -> None:
    texts = rack_database(SHIPPED_CELLS, SHIPPED_PROBES)
    assert (FOLDER / f"{SHIPPED}.dbc").read_text() == texts.dbc
    assert (FOLDER / f"{SHIPPED}.toml").read_text() == texts.map


@pytest.mark.parametrize(("cells", "probes"), [(1, 0), (3, 1), (12, 4), (416, 64), (768, 768)])
def test_every_size_binds_without_a_problem(tmp_path: Path, cells: int, probes: int) -> None:
    bound = bind(load_device_map(write_database(tmp_path, cells, probes, "rack")))
    assert bound.map.slot_count == cells + probes + 12
    assert bound.commands[0][1].name == "RackCommand"


@pytest.mark.parametrize(("cells", "probes"), [(0, 1), (769, 1), (1, 769), (1, -1)])
def test_a_size_that_pages_cannot_number_is_refused(cells: int, probes: int) -> None:
    with pytest.raises(ValueError, match="1 to 768"):
        rack_database(cells, probes)


def test_identifiers_are_29_bits_with_message_and_node() -> None:
    database = cantools.database.load_file(FOLDER / f"{SHIPPED}.dbc")
    by_name = {message.name: message for message in database.messages}
    assert by_name["RackElectrical"].frame_id == 0x18F00100
    assert by_name["RackCommand"].frame_id == 0x18F01000
    assert all(message.is_extended_frame for message in database.messages)
    assert frame_id(Message.CELL_VOLTAGES, 0x2A) == EXTENDED | 0x18F0032A


def test_frames_of_the_program_are_read_by_the_database() -> None:
    database = cantools.database.load_file(FOLDER / f"{SHIPPED}.dbc")
    electrical = np.array([(27000, 26000, -1234, 7, 0)], ELECTRICAL).tobytes()
    decoded = database.decode_message("RackElectrical", electrical)
    assert decoded["DcVoltage"] == pytest.approx(1350.0)
    assert decoded["BusVoltage"] == pytest.approx(1300.0)
    assert decoded["Current"] == pytest.approx(-123.4)
    assert decoded["ElectricalCounter"] == 7
    word = 3 | 2 << 4 | 1 << 6 | 2 << 8 | 1 << 10 | 0 << 11 | 1 << 12
    state = database.decode_message("RackState", np.array([(word, 6 | 2 << 4, 9, 0, 8, 0)], STATE).tobytes())
    names = ("OperatingState", "PositiveContactor", "NegativeContactor", "PrechargeContactor", "InterlockOpen")
    assert [state[name] for name in names] == [3, 2, 1, 2, 1]
    assert [state[name] for name in ("FuseOpen", "ShortCircuit", "FailureReason")] == [0, 1, 6]
    assert [state[name] for name in ("CommandSupervision", "ResetEcho", "StateCounter")] == [2, 9, 8]
    thermal = database.decode_message("RackThermal", np.array([(221, -35, 301, 0)], THERMAL).tobytes())
    assert list(thermal.values()) == pytest.approx([22.1, -3.5, 30.1])
    sent = {"Desired": 2, "ChargeLimit": 100.0, "DischargeLimit": 50.5, "Reset": 3, "Alive": 9, "CommandCrc": 0xAB}
    row = np.frombuffer(database.encode_message("RackCommand", sent), COMMAND)[0]
    assert row.tolist() == (2, 1000, 505, 3, 9, 0xAB)


def test_check_sums_are_j1850_over_data_id_and_seven_bytes() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (50, 8), np.uint8)
    expected = [Crc8SaeJ1850.calc(bytes((Message.STATE,)) + frame[:7].tobytes()) for frame in frames]
    assert check_sums(Message.STATE, frames).tolist() == expected
