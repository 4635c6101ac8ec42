"""Adapters by name: entry points of the group `gridbms.adapters`."""

import time
from importlib.metadata import EntryPoint, entry_points

from adapters.api import Adapter, BusSpec, Clock
from adapters.errors import AdapterConfigurationError, Problem

GROUP = "gridbms.adapters"


def adapter_names() -> tuple[str, ...]:
    """Names that the `adapter` key of a bus may have, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def create_adapter(bus: BusSpec, *, clock: Clock = time.monotonic_ns) -> Adapter:
    """The adapter of `bus`, not yet running.

    Raises AdapterConfigurationError when no adapter has that name, when it cannot be imported, or when it refuses its
    options or maps.
    """
    where = f"bus {bus.name}"
    adapter = _entry_point(where, bus.adapter)
    try:
        make = adapter.load()
    except Exception as error:  # whatever a plug-in raises on import is that plug-in's fault
        row = Problem(
            "adapter", repr(bus.adapter), "an adapter that can be imported", f"Mend {adapter.value}: {error!r}"
        )
        raise AdapterConfigurationError(where, [row]) from error
    made: Adapter = make(bus, clock=clock)
    return made


def bus_identity(bus: BusSpec) -> str | None:
    """Which bus the options of `bus` lead to, as its adapter says (`adapters.api.Adapter.identity`).

    None where the adapter says nothing, cannot be imported, or cannot tell from wrong options.
    """
    try:
        identity = getattr(_entry_point(f"bus {bus.name}", bus.adapter).load(), "identity", None)
        found = None if identity is None else identity(bus.options)
    except Exception:  # noqa: BLE001 - `create_adapter` says what is wrong with it
        return None
    return found if isinstance(found, str) else None


def _entry_point(where: str, name: str) -> EntryPoint:
    found = tuple(entry_points(group=GROUP, name=name))
    if len(found) == 1:
        return found[0]
    if not found:
        row = Problem("adapter", repr(name), ", ".join(adapter_names()), "Use one of these, or install the plug-in.")
    else:
        values = ", ".join(sorted(point.value for point in found))
        row = Problem("adapter", repr(name), "one adapter of that name", f"Uninstall all but one of: {values}.")
    raise AdapterConfigurationError(where, [row])
