"""The filter of a data item: trigger and deadband (OPC 10000-4, 7.22.2; OPC 10000-8, 6.2)."""

import math
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.ua import uaprotocol_auto as auto  # what the decoder makes; those of `ua` may be subclasses

from server.opcua.publishing.row import STATUS_VALUE
from server.opcua.publishing.sources import ItemError, Source, Sources

Codes = ua.StatusCodes
_NONE, _ABSOLUTE, _PERCENT = 0, 1, 2
_HIGHEST_PERCENT = 100.0


class Filter(NamedTuple):
    """When a sample is reported; `deadband` in units of the value, 0 = every change."""

    trigger: int = STATUS_VALUE
    deadband: float = 0.0


def data_filter(given: Any, source: Source, sources: Sources) -> Filter:
    """Filter of a request for a source. Raises ItemError."""
    if given is None or (isinstance(given, ua.ExtensionObject) and given.TypeId.is_null()):
        return Filter()
    if isinstance(given, auto.EventFilter):
        raise ItemError(Codes.BadFilterNotAllowed)
    if isinstance(given, auto.AggregateFilter):
        raise ItemError(Codes.BadMonitoredItemFilterUnsupported)
    if not isinstance(given, auto.DataChangeFilter):
        raise ItemError(Codes.BadMonitoredItemFilterInvalid)
    trigger, kind, value = int(given.Trigger), int(given.DeadbandType), float(given.DeadbandValue)
    if kind == _NONE:
        return Filter(trigger)
    if kind not in (_ABSOLUTE, _PERCENT):
        raise ItemError(Codes.BadDeadbandFilterInvalid)
    if not sources.is_number(source):
        raise ItemError(Codes.BadFilterNotAllowed)
    if not 0 <= value < math.inf or (kind == _PERCENT and value > _HIGHEST_PERCENT):
        raise ItemError(Codes.BadDeadbandFilterInvalid)
    if kind == _ABSOLUTE:
        return Filter(trigger, value)
    width = sources.range_of(source)
    if width is None:
        raise ItemError(Codes.BadMonitoredItemFilterUnsupported)
    return Filter(trigger, value / 100 * width)
