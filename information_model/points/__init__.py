"""The point tables: one row per quantity and level; topology multiplies them (see `information_model.catalogue`).

The mirrors of the alarms (`Alarms.<Alarm>`) and their thresholds (`Configuration.Thresholds.*`) are no rows here: they
follow from the alarm tables (`information_model.alarms.mirrors`).
"""

from information_model.points import (
    array_measurements,
    array_state,
    module,
    rack_devices,
    rack_limits,
    rack_measurements,
    rack_state,
    system_measurements,
    system_server,
    system_state,
)
from information_model.points.row import Aggregation, History, Kind, Level, Point, Producer

TABLE: tuple[Point, ...] = (
    *system_measurements.POINTS,
    *system_state.POINTS,
    *system_server.POINTS,
    *array_measurements.POINTS,
    *array_state.POINTS,
    *rack_measurements.POINTS,
    *rack_state.POINTS,
    *rack_limits.POINTS,
    *rack_devices.POINTS,
    *module.POINTS,
)

__all__ = ["TABLE", "Aggregation", "History", "Kind", "Level", "Point", "Producer"]
