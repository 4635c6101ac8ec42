"""The racks of a site: its rows multiplied by their numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from information_model.device_map import DeviceMap
from information_model.validation import Problem, closest
from server.config.model import RackType
from server.config.sections import RackRow, Sections

_LISTED = 4


@dataclass(frozen=True)
class DraftRack:
    """A rack as a site file has it that may be wrong; None stands for what is wrong and has been told."""

    array: int | None
    number: int
    kind: RackType | None
    bus: str | None
    node: int | None
    map: DeviceMap | None

    @property
    def element(self) -> str:
        """Id of the rack; for messages a likeness of it where its array is not known."""
        return f"ESS.ARR{'??' if self.array is None else f'{self.array:02}'}.R{self.number:03}"


@dataclass(frozen=True)
class Rack(DraftRack):
    """A rack of a site: what it is and where its values come from. `ordinal` is its ordinal in the topology."""

    array: int
    kind: RackType
    bus: str
    node: int
    map: DeviceMap
    ordinal: int


def known_racks(racks: Iterable[DraftRack]) -> tuple[Rack, ...]:
    """The racks of which everything is known, in their order. All racks of a file without mistakes are."""
    return tuple(
        Rack(rack.array, rack.number, rack.kind, rack.bus, rack.node, rack.map, ordinal)
        for ordinal, rack in enumerate(racks)
        if rack.array is not None
        and rack.kind is not None
        and rack.bus is not None
        and rack.node is not None
        and rack.map is not None
    )


def check_references(sections: Sections, mistakes: list[Problem]) -> None:
    """Rack types and buses that a row names exist; a bus that does not is told once for the row."""
    types, buses = sections.rack_types, sections.buses
    for row in sections.rows:
        if row.type is not None and sections.lacks_type(row.type):
            remedy = closest(row.type, types, "Name a table of rack_types.")
            mistakes.append(Problem(f"{row.key}.type", repr(row.type), f"one of {', '.join(types)}", remedy))
        if unknown := [name for name in row.bus_names() if sections.lacks_bus(name)]:
            given, remedy = _listed(map(repr, unknown)), closest(unknown[0], buses, "Name a table of buses.")
            mistakes.append(Problem(f"{row.key}.bus", given, f"one of {', '.join(buses)}", remedy))


def draft_racks(sections: Sections, maps: Mapping[str, DeviceMap], mistakes: list[Problem]) -> tuple[DraftRack, ...]:
    """Every rack of the file, in its order; a node that another rack of its bus has is told once for the row."""
    found: list[DraftRack] = []
    owners: dict[tuple[str, int], DraftRack] = {}
    for row in sections.rows:
        if row.node is not None and len(row.numbers) > 1:
            remedy = "Leave it out: the node of a rack is then its number."
            mistakes.append(Problem(f"{row.key}.node", str(row.node), "no node for several racks", remedy))
        taken: dict[int, DraftRack] = {}
        for number in row.numbers:
            rack = _draft_rack(sections, row, number, maps)
            if rack.bus is not None and rack.node is not None:
                owner = owners.setdefault((rack.bus, rack.node), rack)
                if owner is not rack:
                    taken[rack.node] = owner
                    rack = replace(rack, node=None)
            found.append(rack)
        if taken:
            node, owner = next(iter(taken.items()))
            remedy = f"{owner.element} has it already." if len(taken) == 1 else f"{owner.element} has {node} already."
            given = _listed(map(str, taken))
            mistakes.append(Problem(f"{row.key}.node", given, f"a node that is free on {owner.bus}", remedy))
    return tuple(found)


def _draft_rack(sections: Sections, row: RackRow, number: int, maps: Mapping[str, DeviceMap]) -> DraftRack:
    bus = row.bus_of(number)
    if bus is not None and sections.lacks_bus(bus):
        bus = None
    kind = sections.rack_types.get(row.type or "")
    return DraftRack(row.array, number, kind, bus, row.node_of(number), maps.get(row.map or ""))


def _listed(texts: Iterable[str]) -> str:
    all_of_them = list(texts)
    return ", ".join(all_of_them[:_LISTED]) + (", …" if len(all_of_them) > _LISTED else "")
