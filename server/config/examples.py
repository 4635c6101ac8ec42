"""The example sites that come with the program, wherever it is started.

A wheel carries them inside the package `server`; in a checkout (an editable installation) they lie beside it. Their
device maps and DBC files belong to the package `adapters.maps` in both.
"""

from importlib.resources import files
from pathlib import Path

from information_model.validation import InvalidConfiguration, Problem

DEMO = "demo.toml"


def example(name: str) -> Path:
    """Path of the example site `name`. Raises InvalidConfiguration where the installation has none of that name."""
    package = Path(str(files("server")))
    folders = (package / "examples", package.parent / "examples")
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    places = " or ".join(map(str, folders))
    problem = Problem("example", repr(name), f"a file in {places}", "Install the program anew, or name a site file.")
    raise InvalidConfiguration(name, [problem])


def demo_site() -> Path:
    """Site file of the demonstration plant: what commands take where none is named."""
    return example(DEMO)
