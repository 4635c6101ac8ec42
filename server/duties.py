"""The processes of a site: which kinds there are, and what everybody has to know of each.

Supervisor, core and the processes themselves read this one table. What a process does stands in `server.processes`, what
it counts in `server.runtime.health`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.config.site import Site


@dataclass(frozen=True, slots=True)
class Kind:
    """One line. `silence_s`: after that long it counts as hung; `stop_turn`: lower ones stop first, before others begin.

    `face`: clients are served. `builds_much`: before it serves it makes so many objects that the garbage collector would
    double its start; it puts the collector right itself.
    """

    name: str
    silence_s: float
    stop_turn: int
    face: bool = False
    builds_much: bool = False


TABLE = (
    Kind("core", 1.0, 1, builds_much=True),
    Kind("mirror", 10.0, 3),
    Kind("plant", 5.0, 3),
    Kind("field", 3.0, 2),
    Kind("opcua", 5.0, 0, face=True, builds_much=True),
    Kind("archive", 15.0, 3),
)
KINDS = {kind.name: kind for kind in TABLE}


@dataclass(frozen=True, slots=True)
class Duty:
    """One process. Its name is its kind, or `<kind>-<part>` where a site has several of them: `field-field1`."""

    name: str

    @property
    def kind(self) -> Kind:
        """KeyError for a kind that the table does not have."""
        return KINDS[self.name.partition("-")[0]]

    @property
    def part(self) -> str:
        """`field1` of `field-field1`."""
        return self.name.partition("-")[2]


def duties_of(site: "Site", *, simulated: bool) -> list[Duty]:
    """The processes of a site, in the order of the table.

    All start at once and each waits for what it needs: a face opens its port only when the core has published.
    """
    file = site.file
    parts = {
        "plant": [""] if simulated and file.simulator is not None else [],
        "field": [f"-{plan.process}" for plan in site.inputs],
        "opcua": [""] if file.opcua.enabled else [],
        "archive": [""] if file.archive.enabled else [],
    }
    return [Duty(kind.name + part) for kind in TABLE for part in parts.get(kind.name, [""])]
