"""Device maps that come with the program: TOML and DBC, one pair per kind of device."""

from pathlib import Path

from information_model.device_map import DeviceMap, load_device_map
from information_model.validation import InvalidConfiguration, Problem

FOLDER = Path(__file__).parent


def shipped_maps() -> tuple[str, ...]:
    """Names of the maps that come with the program, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_shipped(name: str) -> DeviceMap:
    """The map `name`, for example `tesla_model_s`; raises InvalidConfiguration when there is none of that name."""
    if name not in shipped_maps():
        known = ", ".join(shipped_maps())
        raise InvalidConfiguration("device map", [Problem("map", repr(name), known, "Use one of these or a path.")])
    return load_device_map(FOLDER / f"{name}.toml")
