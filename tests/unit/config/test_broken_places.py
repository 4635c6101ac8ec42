"""However many places of a site file are broken at random: every one is named, each once, and nothing else is."""

import re
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from information_model.validation import InvalidConfiguration
from server.cli.check import checked_site
from server.config.model import Array, Bus, Racks, RackType, SiteFile, SiteSection

DEMO = (Path(__file__).parents[3] / "examples" / "demo.toml").read_text().splitlines()
REQUIRED = {
    name
    for model in (SiteFile, SiteSection, RackType, Bus, Array, Racks)
    for name, field in model.model_fields.items()
    if field.is_required()
}
UNKNOWN = {
    "type": '"nothing"',
    "bus": '"nowhere"',
    "map": '"nothing.toml"',
    "adapter": '"telepathy"',
    "profile": '"holiday"',
    "port": "-1",
    "id": '"?"',
    "chemistry": '"lead"',
    "numbers": '"3-1"',
}
"""Values of the right type that do not exist, or are not allowed."""


class Place(NamedTuple):
    """A line `name = value`, and the key of the table that it stands in."""

    line: int
    table: str
    name: str

    def key(self, ending: str = "") -> str:
        return f"{self.table}.{self.name}{ending}".lstrip(".")


def places() -> list[Place]:
    """Every line of the demo site that gives a key a value."""
    found, table, arrays, racks = [], "", 0, 0
    for number, line in enumerate(DEMO):
        if line == "[[arrays]]":
            arrays, racks = arrays + 1, 0
            table = f"arrays[{arrays}]"
        elif line == "[[arrays.racks]]":
            racks += 1
            table = f"arrays[{arrays}].racks[{racks}]"
        elif line.startswith("["):
            table = line.strip("[]")
        elif match := re.match(r"(\w+) = ", line):
            found.append(Place(number, table, match[1]))
    return found


def wrong_type(place: Place) -> tuple[str, set[str]]:
    return f"{place.name} = 1979-05-27", {place.key()}


def misspelt(place: Place) -> tuple[str, set[str]]:
    value = DEMO[place.line].partition(" = ")[2]
    return f"{place.name}_x = {value}", {place.key("_x")} | ({place.key()} if place.name in REQUIRED else set())


def unknown(place: Place) -> tuple[str, set[str]]:
    return (f"{place.name} = {UNKNOWN[place.name]}", {place.key()}) if place.name in UNKNOWN else wrong_type(place)


def added(place: Place) -> tuple[str, set[str]]:
    return f"{DEMO[place.line]}\nqqqq{place.line} = 1", {f"{place.table}.qqqq{place.line}".lstrip(".")}


breaks = st.lists(
    st.tuples(st.sampled_from(places()), st.sampled_from([wrong_type, misspelt, unknown, added])),
    min_size=1,
    max_size=12,
    unique_by=lambda broken: broken[0],
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(breaks)
def test_every_broken_place_is_named_once_and_nothing_else(broken) -> None:
    lines, keys = list(DEMO), set()
    for place, how in broken:
        lines[place.line], named = how(place)
        keys |= named
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "site.toml"
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(InvalidConfiguration) as caught:
            checked_site(path)
    found = caught.value.problems
    assert sorted(problem.key for problem in found) == sorted(keys)
    assert len(found) >= len(broken)
    assert all(problem.given and problem.expected and problem.remedy for problem in found)
