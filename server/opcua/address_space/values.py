"""Values of computed nodes, encoded: from the image, from the configuration, from the tables."""

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from asyncua import ua

from information_model import quality
from information_model.catalogue import Catalogue, Constant
from information_model.enumerations import ENUMERATIONS
from information_model.exports import iec61850_reference
from information_model.expressions import evaluate
from information_model.members import NodeKind
from information_model.nodeset.generate import OUTPUTS
from information_model.points.row import Kind, Level
from information_model.quantities import UNIT_NAMESPACE
from information_model.topology import Element
from server.config.site import Site
from server.opcua import wire
from server.opcua.address_space.index_range import IndexRange, RangeError
from server.opcua.address_space.model import ARGUMENT_TYPES, TYPES_INDEX, Node
from server.opcua.image import ImageView

BAD_NO_DATA = int(ua.StatusCodes.BadNoData)
RANGE_ENCODING, UNITS_ENCODING, ARGUMENT_ENCODING = 886, 889, 298


class Value(NamedTuple):
    """An encoded Variant (empty = no value), its status and its source time in ticks."""

    variant: bytes
    status: int = 0
    ticks: int = 0


class Values:
    """Answers the Value attribute of every computed node."""

    def __init__(self, site: Site, image: ImageView, start_ns: int) -> None:
        self._site = site
        self._catalogue: Catalogue = site.catalogue
        self._image = image
        self._start_ticks = wire.ticks(start_ns)
        self._by_kind: dict[NodeKind, Callable[[Node, Element], Value]] = {
            NodeKind.EU_RANGE: self._range,
            NodeKind.ENGINEERING_UNITS: self._units,
            NodeKind.IEC61850: self._iec61850,
            NodeKind.ALARM_STATE: self._alarm_state,
            NodeKind.ALARM_COUNT: self._alarm_count,
            NodeKind.ALARM_TIME: self._alarm_time,
            NodeKind.INPUT_ARGUMENTS: self._inputs,
            NodeKind.OUTPUT_ARGUMENTS: self._outputs,
        }

    def slot(self, node: Node, element: Element) -> int:
        """Slot of a scalar in the image; -1 for everything else."""
        if node.node_kind is not NodeKind.POINT or node.row is None or node.row.base < 0:
            return -1
        return node.row.base + element.ordinal

    def read(self, node: Node, element: Element, index_range: IndexRange | None = None) -> Value:
        """Value of a variable, or of the part of it that `index_range` names.

        Raises RangeError where the range does not fit the value.
        """
        row = node.row
        if node.node_kind is not NodeKind.POINT or row is None:
            value = self._by_kind[node.node_kind](node, element)
        elif row.matrix:
            return self._matrix(node, element, index_range)
        elif row.base >= 0:
            value = self._scalar(node, row.base + element.ordinal)
        else:
            value = self._constant(node, element)
        if index_range is None:
            return value
        return Value(_part_of_text(node, value, index_range), value.status, value.ticks)

    def _scalar(self, node: Node, slot: int) -> Value:
        image = self._image
        status = int(image.status[slot])
        if status >= quality.BAD:
            return Value(b"", status, int(image.ticks[slot]))
        return Value(wire.scalar(node.built_in, float(image.value[slot])), status, int(image.ticks[slot]))

    def _matrix(self, node: Node, element: Element, index_range: IndexRange | None) -> Value:
        row, topology, columns = node.row, self._catalogue.topology, self._image.columns
        assert row is not None
        rack = element.rack
        shape = topology.shapes[rack]
        cells = row.point.kind is Kind.CELLS
        start = int((topology.cell_start if cells else topology.probe_start)[rack])
        width = shape.cells_per_module if cells else shape.probes_per_module
        data = columns[row.matrix][start : start + width * shape.modules].reshape(shape.modules, width)
        if node.level is Level.MODULE:
            data = data[element.number - 1]
        status = int(columns[f"{row.matrix}.status"][rack])
        ticks = wire.ticks(int(columns[f"{row.matrix}.time"][rack]))
        if index_range is not None:
            data = index_range.apply(data)
        if status >= quality.BAD:
            return Value(b"", status, ticks)
        return Value(wire.matrix(node.built_in, data), status, ticks)

    def _constant(self, node: Node, element: Element) -> Value:
        row = node.row
        assert row is not None
        value: Constant | None = self._catalogue.constants.get((element.name, row.point.path))
        if value is None:
            return Value(b"", BAD_NO_DATA, self._start_ticks)
        if node.built_in == wire.STRING:
            return Value(bytes((wire.STRING,)) + wire.string(str(value)), 0, self._start_ticks)
        if node.built_in == wire.DATE_TIME:
            return Value(wire.scalar(wire.DATE_TIME, wire.ticks(int(value))), 0, self._start_ticks)
        return Value(wire.scalar(node.built_in, float(value)), 0, self._start_ticks)

    def _range(self, node: Node, element: Element) -> Value:
        point = node.row.point if node.row is not None else None
        assert point is not None
        names = self._site.names[element.name]
        low, high = evaluate(point.low or "0", names), evaluate(point.high or "0", names)
        return Value(_structure(RANGE_ENCODING, struct.pack("<dd", low, high)), 0, self._start_ticks)

    def _units(self, node: Node, element: Element) -> Value:
        unit = node.row.point.unit if node.row is not None else None
        assert unit is not None
        body = wire.string(UNIT_NAMESPACE) + struct.pack("<i", unit.unit_id)
        body += wire.localized_text(unit.symbol) + wire.localized_text(unit.name)
        return Value(_structure(UNITS_ENCODING, body), 0, self._start_ticks)

    def _iec61850(self, node: Node, element: Element) -> Value:
        assert node.row is not None
        text = iec61850_reference(self._catalogue, element, node.row.point.iec61850, self._site.id)
        return Value(bytes((wire.STRING,)) + wire.string(text), 0, self._start_ticks)

    def _alarm(self, node: Node, element: Element, column: str) -> tuple[int, int, bool]:
        row, columns = node.row, self._image.columns
        assert row is not None
        place = row.alarm_base + element.ordinal
        ticks = wire.ticks(int(columns["source_time"][row.base + element.ordinal]))
        return int(columns[column][place]), ticks, self._image.alive

    def _alarm_state(self, node: Node, element: Element) -> Value:
        state, ticks, alive = self._alarm(node, element, "alarm.state")
        return Value(wire.scalar(6, state), 0, ticks) if alive else _silent(ticks)

    def _alarm_count(self, node: Node, element: Element) -> Value:
        count, ticks, alive = self._alarm(node, element, "alarm.count")
        return Value(wire.scalar(7, count), 0, ticks) if alive else _silent(ticks)

    def _alarm_time(self, node: Node, element: Element) -> Value:
        utc_ns, ticks, alive = self._alarm(node, element, "alarm.time")
        return Value(wire.scalar(wire.DATE_TIME, wire.ticks(utc_ns)), 0, ticks) if alive else _silent(ticks)

    def _inputs(self, node: Node, element: Element) -> Value:
        command = node.member.command if node.member is not None else None
        assert command is not None
        rows = []
        for argument in command.arguments:
            if argument.data_type in ENUMERATIONS:
                kind = wire.string_node_id(argument.data_type, TYPES_INDEX)
            else:
                number = ARGUMENT_TYPES[argument.data_type]
                kind = wire.numeric_node_id(number)
            rows.append(_argument(argument.name, kind, argument.text))
        return Value(_structures(rows), 0, self._start_ticks)

    def _outputs(self, node: Node, element: Element) -> Value:
        rows = [_argument(name, wire.numeric_node_id(number), text) for name, number, text in OUTPUTS]
        return Value(_structures(rows), 0, self._start_ticks)


def _silent(ticks: int) -> Value:
    return Value(b"", quality.BAD_NO_COMMUNICATION, ticks)


def _structure(encoding: int, body: bytes) -> bytes:
    return b"\x16" + _extension_object(encoding, body)


def _structures(bodies: list[bytes]) -> bytes:
    return b"\x96" + wire.array(_extension_object(ARGUMENT_ENCODING, body) for body in bodies)


def _extension_object(encoding: int, body: bytes) -> bytes:
    return wire.numeric_node_id(encoding) + b"\x01" + len(body).to_bytes(4, "little") + body


def _argument(name: str, data_type: bytes, text: str) -> bytes:
    return wire.string(name) + data_type + struct.pack("<ii", -1, -1) + wire.localized_text(text)


def _part_of_text(node: Node, value: Value, index_range: IndexRange) -> bytes:
    """A String may be read in parts (OPC 10000-4, 7.27); nothing else that is no array."""
    if node.built_in != wire.STRING or not value.variant:
        raise RangeError
    text = np.frombuffer(value.variant[5:], np.uint8)
    return bytes((wire.STRING,)) + wire.string(index_range.apply(text).tobytes().decode("utf-8", "replace"))
