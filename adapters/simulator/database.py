"""Database and device map of the simulated rack for any number of cells and probes, as texts.

The pair that comes with the program, `adapters/maps/gridbms_rack.{dbc,toml}`, is made by
`python -m adapters.simulator.database`; a test compares.
"""

from pathlib import Path
from typing import NamedTuple

from adapters.simulator.layout import (
    BASE_ID,
    EXTENDED,
    INVALID_TEMPERATURE,
    INVALID_VOLTAGE,
    PAGES,
    PER_PAGE,
    Message,
)

SHIPPED = "gridbms_rack"
SHIPPED_CELLS, SHIPPED_PROBES = 8 * 52, 8 * 8
HIGHEST_CELL_V = 5.0

_HEAD = """VERSION "gridbms simulated rack 1"

NS_ :

BS_:

BU_: Rack Server

"""

# message, name, sender, signals: name, first bit, length, sign, scale, unit
_PLAIN: tuple[tuple[Message, str, str, tuple[tuple[str, int, int, str, str, str], ...]], ...] = (
    (
        Message.ELECTRICAL,
        "RackElectrical",
        "Rack",
        (
            ("DcVoltage", 0, 16, "+", "0.05", "V"),
            ("BusVoltage", 16, 16, "+", "0.05", "V"),
            ("Current", 32, 16, "-", "0.1", "A"),
            ("ElectricalCounter", 48, 8, "+", "1", ""),
            ("ElectricalCrc", 56, 8, "+", "1", ""),
        ),
    ),
    (
        Message.STATE,
        "RackState",
        "Rack",
        (
            ("OperatingState", 0, 4, "+", "1", ""),
            ("PositiveContactor", 4, 2, "+", "1", ""),
            ("NegativeContactor", 6, 2, "+", "1", ""),
            ("PrechargeContactor", 8, 2, "+", "1", ""),
            ("InterlockOpen", 10, 1, "+", "1", ""),
            ("FuseOpen", 11, 1, "+", "1", ""),
            ("ShortCircuit", 12, 1, "+", "1", ""),
            ("FailureReason", 16, 4, "+", "1", ""),
            ("CommandSupervision", 20, 2, "+", "1", ""),
            ("ResetEcho", 24, 8, "+", "1", ""),
            ("StateCounter", 48, 8, "+", "1", ""),
            ("StateCrc", 56, 8, "+", "1", ""),
        ),
    ),
    (
        Message.THERMAL,
        "RackThermal",
        "Rack",
        (
            ("AmbientTemperature", 0, 16, "-", "0.1", "degC"),
            ("CoolantInletTemperature", 16, 16, "-", "0.1", "degC"),
            ("CoolantOutletTemperature", 32, 16, "-", "0.1", "degC"),
        ),
    ),
    (
        Message.COMMAND,
        "RackCommand",
        "Server",
        (
            ("Desired", 0, 2, "+", "1", ""),
            ("ChargeLimit", 8, 16, "+", "0.1", "A"),
            ("DischargeLimit", 24, 16, "+", "0.1", "A"),
            ("Reset", 40, 8, "+", "1", ""),
            ("Alive", 48, 8, "+", "1", ""),
            ("CommandCrc", 56, 8, "+", "1", ""),
        ),
    ),
)

# message, name, signal, sign, scale, unit
_PAGED = (
    (Message.CELL_VOLTAGES, "CellVoltages", "CellVoltage", "+", "0.0001", "V"),
    (Message.CELL_TEMPERATURES, "CellTemperatures", "CellTemperature", "-", "0.1", "degC"),
)

_TEXTS = {
    "RackElectrical": "Every 100 ms. Current: positive is discharge.",
    "RackState": "Every 100 ms. Contactors: 0 moving, 1 open, 2 closed, 3 contradictory.",
    "CellVoltages": "Each page once a second; 65535 is not available.",
    "CellTemperatures": "Each page once a second; 32767 is not available.",
    "RackThermal": "Every second; 32767 is not available.",
    "RackCommand": "Every 100 ms. Desired: 0 nothing, 1 open, 2 close. Without it: zero current after 1 s, open after 6 s.",
}

# point, signal, unit, range, period, timeout
_SCALARS = (
    ("Measurements.DcVoltage", "DcVoltage", "V", "", 0.1, 1.0),
    ("Measurements.BusVoltage", "BusVoltage", "V", "", 0.1, 1.0),
    ("Measurements.DcCurrent", "Current", "A", "", 0.1, 1.0),
    ("Contactors.Positive.Position", "PositiveContactor", "", "", 0.1, 1.0),
    ("Contactors.Negative.Position", "NegativeContactor", "", "", 0.1, 1.0),
    ("Contactors.Precharge.Position", "PrechargeContactor", "", "", 0.1, 1.0),
    ("Safety.InterlockOpen", "InterlockOpen", "", "", 0.1, 1.0),
    ("Protection.FuseOpen", "FuseOpen", "", "", 0.1, 1.0),
    ("Protection.ShortCircuitReported", "ShortCircuit", "", "", 0.1, 1.0),
    ("Measurements.AmbientTemperature", "AmbientTemperature", "degC", "[-50.0, 80.0]", 1.0, 10.0),
    ("Thermal.CoolantInletTemperature", "CoolantInletTemperature", "degC", "[-40.0, 80.0]", 1.0, 10.0),
    ("Thermal.CoolantOutletTemperature", "CoolantOutletTemperature", "degC", "[-40.0, 80.0]", 1.0, 10.0),
)

_CRC = "poly = 0x1D, init = 0xFF, xorout = 0xFF, byte = 7, over = 7, data_id = 0x{:02X}"


class RackDatabase(NamedTuple):
    """Texts of the two files."""

    dbc: str
    map: str


def rack_database(cells: int, probes: int, name: str = SHIPPED) -> RackDatabase:
    """Database and map of a rack; the map expects the database in `<name>.dbc`.

    ValueError outside 1..768 cells or 0..768 probes: a page number is one byte, a page has three values.
    """
    most = PAGES * PER_PAGE
    if not 1 <= cells <= most or not 0 <= probes <= most:
        raise ValueError(f"simulated rack: {cells} cells and {probes} probes; allowed: 1 to {most} and 0 to {most}")
    return RackDatabase(_dbc(cells, probes), _map(cells, probes, name))


def _dbc(cells: int, probes: int) -> str:
    blocks = {
        message: _message(
            message,
            title,
            sender,
            [_signal(*row, receiver="Rack" if sender == "Server" else "Server") for row in signals],
        )
        for message, title, sender, signals in _PLAIN
    }
    for (message, title, signal, sign, scale, unit), count in zip(_PAGED, (cells, probes), strict=True):
        if count:
            lines = [' SG_ Page M : 0|8@1+ (1,0) [0|0] "" Server']
            lines += [
                f" SG_ {signal}_{number + 1:03} m{number // PER_PAGE} : {8 + 16 * (number % PER_PAGE)}|16@1{sign} "
                f'({scale},0) [0|0] "{unit}" Server'
                for number in range(count)
            ]
            blocks[message] = _message(message, title, "Rack", lines)
    titles: dict[Message, str] = {row[0]: row[1] for row in _PLAIN} | {row[0]: row[1] for row in _PAGED}
    texts = [f'CM_ BO_ {_dbc_id(message)} "{_TEXTS[titles[message]]}";' for message in sorted(blocks)]
    return _HEAD + "\n".join(blocks[message] for message in sorted(blocks)) + "\n" + "\n".join(texts) + "\n"


def _dbc_id(message: Message) -> int:
    return EXTENDED | BASE_ID | message << 8


def _signal(name: str, start: int, length: int, sign: str, scale: str, unit: str, *, receiver: str) -> str:
    return f' SG_ {name} : {start}|{length}@1{sign} ({scale},0) [0|0] "{unit}" {receiver}'


def _message(message: Message, title: str, sender: str, lines: list[str]) -> str:
    return "\n".join((f"BO_ {_dbc_id(message)} {title}: 8 {sender}", *lines, ""))


def _map(cells: int, probes: int, name: str) -> str:
    parts = [
        "# Simulated rack of gridbms: what its own BMS sends and what it obeys. Made by adapters/simulator/database.py.\n"
        f'version = 1\nname = "gridbms-rack"\nkind = "can"\ndbc = "{name}.dbc"\n'
        "node_offset = 1          # the node stands in the low byte of the identifier\n",
        _matrix("CellVoltages", cells, "CellVoltage", "V", f"[0.0, {HIGHEST_CELL_V}]", INVALID_VOLTAGE),
    ]
    if probes:
        parts.append(
            _matrix("CellTemperatures", probes, "CellTemperature", "degC", "[-50.0, 100.0]", INVALID_TEMPERATURE)
        )
    for point, signal, unit, span, period, timeout in _SCALARS:
        lines = ["[[scalar]]", f'point = "{point}"', f'signal = "{signal}"']
        lines += [f'unit = "{unit}"'] if unit else []
        lines += [f"range = {span}"] if span else []
        lines += ["invalid = [0x7FFF]"] if unit == "degC" else []
        parts.append("\n".join((*lines, f"period = {period}", f"timeout = {timeout}", "")))
    for message, title, counter, liveness in (
        (Message.ELECTRICAL, "RackElectrical", "ElectricalCounter", "true"),
        (Message.STATE, "RackState", "StateCounter", "false"),
    ):
        parts.append(
            f'[[check]]\nmessage = "{title}"\ncrc = {{ {_CRC.format(int(message))} }}\n'
            f'counter = {{ signal = "{counter}" }}\nliveness = {liveness}\n'
        )
    parts.append(
        '[[command]]\nmessage = "RackCommand"\nperiod = 0.1\n'
        "codes = { Desired = { 0 = 1, 1 = 2 } }\n"
        f"crc = {{ {_CRC.format(int(Message.COMMAND))} }}\n"
        "safe = { zero_current = { ChargeLimit = 0, DischargeLimit = 0 }, open = { Desired = 1 } }\n\n"
        '[command.signals]\nDesired = "desired"\nChargeLimit = "charge_limit_a"\n'
        'DischargeLimit = "discharge_limit_a"\nReset = "reset_counter"\nAlive = "alive"\n'
    )
    return "\n".join(parts)


def _matrix(point: str, count: int, signal: str, unit: str, span: str, invalid: int) -> str:
    return (
        f'[[matrix]]\npoint = "CellData.{point}"\ncount = {count}\nsignal = \'{signal}_(\\d+)\'\nunit = "{unit}"\n'
        f"range = {span}\ninvalid = [0x{invalid:04X}]\nperiod = 1.0\ntimeout = 3.0\n"
    )


def write_database(folder: Path, cells: int, probes: int, name: str = SHIPPED) -> Path:
    """Write both files; returns the path of the map."""
    texts = rack_database(cells, probes, name)
    (folder / f"{name}.dbc").write_text(texts.dbc, encoding="ascii")
    path = folder / f"{name}.toml"
    path.write_text(texts.map, encoding="ascii")
    return path


if __name__ == "__main__":
    write_database(Path(__file__).parents[1] / "maps", SHIPPED_CELLS, SHIPPED_PROBES)
