"""A small site with a simulated plant: two racks of twelve cells on one bus."""

from pathlib import Path

import pytest

from adapters.simulator.database import write_database
from server.config.site import Site, load_site

SITE = """version = 1

[site]
id = "TINY01"

[rack_types.small]
chemistry = "LFP"
modules = 2
cells_per_module = 6
probes_per_module = 2
rated_capacity_ah = 280.0
max_charge_current_a = 140.0
max_discharge_current_a = 140.0

[buses.array1]
adapter = "can"
options = { interface = "gridbms-plant", channel = "{run}/plant/array1.sock" }

[[arrays]]
number = 1
[[arrays.racks]]
numbers = "1-2"
type = "small"
bus = "array1"
map = "tiny.toml"

[simulator]
seed = 3
profile = "full_cycle"
"""


def write_site(folder: Path, text: str = SITE) -> Site:
    write_database(folder, 12, 4, "tiny")
    path = folder / "site.toml"
    path.write_text(text)
    return load_site(path)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return write_site(tmp_path)
