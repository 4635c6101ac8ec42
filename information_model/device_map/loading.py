"""Loading of device maps: every mistake of a file at once, and what can still be used of it for further checks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from information_model.device_map.model import VERSION, DeviceMap
from information_model.validation import Findings, InvalidConfiguration, Problem, closest, examine, read_toml, shown

_REMEDIES = {
    "version": f"This program reads format version {VERSION}.",
    "point": "Write the group and the name of a point of the catalogue, for example Measurements.DcVoltage.",
    "sign": "Write 1, or -1 where the device counts discharge as negative.",
    "dbc": "Put the DBC beside the map and write its file name.",
    "safe": "Say what is sent while nothing may be requested.",
    "zero_current": "Say what is sent while no current may flow.",
    "open": "Say what is sent while the rack must open.",
}
_ROWS = ("matrix", "scalar", "check", "command")
_GUIDING = ("message", "first")
"""Without these a row would be taken for another one."""
_MARKS = {"dbc": "", "node_offset": -1}
"""What stands in their place where they are wrong: whoever checks further must not take a usual value for theirs."""

Row = Mapping[str, Any]


def load_device_map(path: Path) -> DeviceMap:
    """The map in the file `path`; raises InvalidConfiguration with every mistake that is in it."""
    found, mistakes = examine_device_map(path)
    if found is None or mistakes:
        raise InvalidConfiguration(str(path), mistakes)
    return found


def examine_device_map(path: Path) -> tuple[DeviceMap | None, tuple[Problem, ...]]:
    """The map in the file `path` and every mistake that is in it.

    Where there are any, the map is what remains without the wrong keys and rows: good for further checks only, and where
    they are wrong with an empty `dbc` and a `node_offset` of -1; None where nothing of use remains. Raises
    InvalidConfiguration when the file cannot be read.
    """
    document = read_toml(path)
    findings = examine(DeviceMap, document, _REMEDIES)
    rows = {kind: _tables(document.get(kind)) for kind in _ROWS}
    mistakes = (*findings.problems, *_between_rows(rows, findings))
    found = findings.model or _remains(document, rows, findings, path)
    return (None if found is None else found.placed_in(path.parent)), mistakes


def _tables(value: object) -> list[Row]:
    return [_table(item) for item in value] if isinstance(value, list) else []


def _table(value: object) -> Row:
    return value if isinstance(value, dict) else {}


def _between_rows(rows: Mapping[str, list[Row]], findings: Findings[DeviceMap]) -> Iterator[Problem]:
    """What is wrong with rows that are right each for itself."""
    if not any(rows[kind] or findings.spoils(kind) for kind in ("matrix", "scalar")):
        yield Problem("scalar", "nothing", "at least one matrix or scalar", "Add the points of the device.")
    for kinds, name in ((("matrix", "scalar"), "point"), (("check",), "message"), (("command",), "message")):
        yield from _twice([(kind, number, row) for kind in kinds for number, row in enumerate(rows[kind], 1)], name)
    alive = [number for number, row in enumerate(rows["check"], 1) if row.get("liveness") is True]
    for number in alive[1:]:
        remedy = f"check[{alive[0]}] has it already: choose the counter that is the sign of life."
        yield Problem(f"check[{number}].liveness", "True", "liveness in at most one check", remedy)
    for number in alive:
        if "counter" not in rows["check"][number - 1] and not findings.spoils("check", number - 1, "counter"):
            expected = "a counter where liveness is true"
            yield Problem(f"check[{number}].liveness", "True", expected, "Add the counter, or remove liveness.")
    for number, row in enumerate(rows["command"], 1):
        yield from _foreign_signals(f"command[{number}]", row)


def _twice(rows: list[tuple[str, int, Row]], name: str) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for kind, number, row in rows:
        value, place = row.get(name), f"{kind}[{number}]"
        if isinstance(value, str) and owners.setdefault(value, place) != place:
            what = "point" if name == "point" else kind
            remedy = f"{owners[value]} has it already: correct one of the two."
            yield Problem(f"{place}.{name}", shown(value), f"each {what} once", remedy)


def _foreign_signals(key: str, row: Row) -> Iterator[Problem]:
    """Tables of a command that name what is no signal of it."""
    signals = row.get("signals")
    if not isinstance(signals, dict):
        return
    safe = _table(row.get("safe"))
    tables = {"codes": row.get("codes"), **{f"safe.{name}": safe.get(name) for name in ("zero_current", "open")}}
    for place, table in tables.items():
        for name, given in _table(table).items():
            if name not in signals:
                remedy = closest(name, signals, f"Add {name} to signals.")
                yield Problem(
                    f"{key}.{place}.{name}", shown(given), f"a signal of the command: {', '.join(signals)}", remedy
                )


def _remains(
    document: Row, rows: Mapping[str, list[Row]], findings: Findings[DeviceMap], path: Path
) -> DeviceMap | None:
    """The map without the wrong keys; without the rows that mean nothing without them."""
    usable: dict[str, Any] = {"version": VERSION, "name": path.stem, "kind": "can"}
    usable |= {
        key: value
        for key, value in document.items()
        if key in DeviceMap.model_fields and key not in _ROWS and not findings.concerns(key)
    }
    doubtful = {key: mark for key, mark in _MARKS.items() if findings.spoils(key)}
    usable.setdefault("dbc", "unknown")
    for kind in _ROWS:
        kept = (_without_mistakes(kind, number, row, findings) for number, row in enumerate(rows[kind]))
        usable[kind] = [row for row in kept if row is not None]
    second = examine(DeviceMap, usable)
    for kind in _ROWS:
        usable[kind] = [row for number, row in enumerate(usable[kind]) if not second.concerns(kind, number)]
    found = examine(DeviceMap, usable).model
    return None if found is None else found.model_copy(update=doubtful)


def _without_mistakes(kind: str, number: int, row: Row, findings: Findings[DeviceMap]) -> Row | None:
    if not findings.concerns(kind, number):
        return row
    if any(findings.spoils(kind, number, key) for key in _GUIDING):
        return None
    kept = {key: value for key, value in row.items() if not findings.concerns(kind, number, key)}
    if kind == "command":
        signals = {
            # The name of a signal can be checked whatever it carries.
            name: 0 if findings.concerns(kind, number, "signals", name) else value
            for name, value in _table(row.get("signals")).items()
        }
        anything = dict.fromkeys(signals, 0)
        kept = {"period": 1.0, "safe": {"zero_current": anything, "open": anything}} | kept | {"signals": signals}
    elif kind == "check":
        if "crc" not in kept and "counter" not in kept:
            kept["counter"] = {"start": 0, "length": 1}  # any: its message can be checked
    else:
        period = kept.get("period", kept.get("timeout", 1.0))
        kept = {"timeout": period} | kept | {"period": period}
    return kept
