"""Where device maps are found: beside the site file, or among those that come with the program."""

from importlib.resources import files
from pathlib import Path

from information_model.device_map import DeviceMap, load_device_map
from information_model.validation import InvalidConfiguration, Problem


def find_map(name: str, folder: Path) -> DeviceMap:
    """Device map `name`: a path relative to `folder`, else one of the program's own. Raises InvalidConfiguration."""
    own = Path(str(files("adapters.maps")))
    for place in (folder / name, own / name):
        if place.is_file():
            return load_device_map(place)
    choices = ", ".join(sorted(path.name for path in own.glob("*.toml")))
    problem = Problem("map", name, f"a file in {folder}, or one of {choices}", "Correct the name of the device map.")
    raise InvalidConfiguration(str(folder / name), [problem])
