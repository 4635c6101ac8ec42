"""The site: what every process derives from the site file, and derives alike.

    load_site(Path("examples/demo.toml")) -> Site(file, topology, catalogue, racks, inputs, ...)

A file is read into a draft, which tells every mistake at once: each stage goes on with what the stages before it left
whole. A site is built from a draft without mistakes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from information_model import catalogue as catalogues
from information_model import topology as topologies
from information_model.catalogue import Catalogue
from information_model.device_map import DeviceMap
from information_model.expressions import evaluate
from information_model.topology import Topology
from information_model.validation import InvalidConfiguration, Problem, examine, read_toml
from server import __version__
from server.config.cells import check_cells
from server.config.constants import site_constants
from server.config.inputs import InputPlan, plan_inputs
from server.config.maps import check_counts, check_points, field_points, load_maps
from server.config.model import REMEDIES, SiteFile
from server.config.names import site_names
from server.config.racks import DraftRack, Rack, check_references, draft_racks, known_racks
from server.config.sections import Sections, read_sections
from server.config.thresholds import check_thresholds, threshold_constants


@dataclass(frozen=True)
class Draft:
    """A site file that may be wrong: its usable parts, and every mistake that shows without asking an adapter."""

    path: Path
    file: SiteFile | None
    """The whole file; None where it has mistakes in itself."""
    sections: Sections
    maps: Mapping[str, DeviceMap]
    """What can be used of them, by the name that the site file gives them."""
    racks: tuple[DraftRack, ...]
    field_points: frozenset[str] | None
    """Paths of the points that the racks deliver; None while that is in doubt."""
    mistakes: tuple[Problem, ...]

    @property
    def knows_all_racks(self) -> bool:
        """True where no rack of the site is missing or wrong in the draft."""
        return self.sections.sound and len(known_racks(self.racks)) == len(self.racks)


@dataclass(frozen=True)
class Site:
    """A validated site file and all that follows from it."""

    path: Path
    file: SiteFile
    topology: Topology
    catalogue: Catalogue
    racks: tuple[Rack, ...]
    inputs: tuple[InputPlan, ...]
    """One per field process."""
    names: Mapping[str, Mapping[str, float]] = field(repr=False)
    """Element id -> configuration names for expressions."""
    hash: str
    """Hash of the site file and its maps."""

    @property
    def id(self) -> str:
        """Id of the site."""
        return self.file.site.id

    @property
    def application_uri(self) -> str:
        """ApplicationUri of the OPC UA server of this site."""
        return f"urn:gridbms:application:{self.id}"

    def value(self, element: str, expression: str) -> float:
        """Value of a table's expression for an element."""
        return evaluate(expression, self.names[element])


def load_site(path: Path) -> Site:
    """Site of a file. Raises InvalidConfiguration with every mistake: key, given, expected, remedy."""
    return build_site(read_draft(path))


def read_draft(path: Path) -> Draft:
    """Draft of a file whose maps are found relative to it. Raises InvalidConfiguration where it is no TOML at all."""
    document = read_toml(path)
    findings = examine(SiteFile, document, REMEDIES)
    mistakes = list(findings.problems)
    sections = read_sections(document, findings, mistakes)
    check_cells(sections.cells, mistakes)
    check_references(sections, mistakes)
    maps, all_maps = load_maps(sections.rows, path.parent, mistakes)
    racks = draft_racks(sections, maps, mistakes)
    check_points(maps, mistakes)
    check_counts(sections, maps, mistakes)
    points = field_points(maps) if all_maps and sections.sound else None
    check_thresholds(sections, racks, points, mistakes)
    return Draft(path, findings.model, sections, maps, racks, points, tuple(mistakes))


def build_site(draft: Draft) -> Site:
    """Site of a draft. Raises InvalidConfiguration with the mistakes of the draft, if it has any."""
    file, points = draft.file, draft.field_points
    if draft.mistakes or file is None or points is None:
        raise InvalidConfiguration(str(draft.path), draft.mistakes)
    racks = known_racks(draft.racks)
    topology = _topology(file, racks)
    names = site_names(file, topology, racks)
    identity = _hash(file, draft.maps)
    constants = site_constants(file, topology, racks, names)
    constants |= threshold_constants(file, topology, racks, names, points)
    constants["ESS", "Server.Version"] = __version__
    constants["ESS", "Server.ConfigurationHash"] = identity
    # The row has to stand before the hash can be taken; the hash covers ids and places, no constants.
    constants["ESS", "Server.CatalogueHash"] = ""
    catalogue = catalogues.build(topology, points, constants)
    constants["ESS", "Server.CatalogueHash"] = catalogue.hash
    return Site(
        path=draft.path,
        file=file,
        topology=topology,
        catalogue=catalogue,
        racks=racks,
        inputs=plan_inputs(file, racks, catalogue),
        names=names,
        hash=identity,
    )


def _topology(file: SiteFile, racks: Sequence[Rack]) -> Topology:
    return topologies.build(
        [
            (array.number, [(rack.number, rack.kind.shape) for rack in racks if rack.array == array.number])
            for array in file.arrays
        ]
    )


def _hash(file: SiteFile, maps: Mapping[str, DeviceMap]) -> str:
    digest = hashlib.sha256(file.model_dump_json().encode())
    for name in sorted(maps):
        digest.update(name.encode() + maps[name].model_dump_json().encode())
    return digest.hexdigest()[:32]
