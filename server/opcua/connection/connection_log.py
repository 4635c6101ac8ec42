"""One log line per bad connection, and never a flood of them."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

MAXIMUM_KEYS = 1000
PERIOD_S = 60.0


class ConnectionLog:
    """Writes at most one line per address and reason in a minute, and a bounded number per address.

    A line that follows suppressed ones says how many there were.
    """

    def __init__(
        self, lines_per_minute: int, clock: Callable[[], float] = time.monotonic, log: logging.Logger | None = None
    ) -> None:
        self._logger = log or logging.getLogger("gridbms.opcua")
        self._clock = clock
        self._lines_per_minute = lines_per_minute
        self._reasons: OrderedDict[tuple[str, str], list[float]] = OrderedDict()
        """(address, reason) -> [time of the last line, lines suppressed since]."""
        self._addresses: OrderedDict[str, list[float]] = OrderedDict()
        """address -> [begin of its minute, lines in it]."""

    def complain(self, address: str, reason: str, detail: str = "") -> bool:
        """Log one line unless the same was said within the last minute; True when it was written."""
        now = self._clock()
        entry = self._reasons.setdefault((address, reason), [-PERIOD_S, 0])
        minute = self._addresses.setdefault(address, [now, 0])
        if now - minute[0] >= PERIOD_S:
            minute[:] = [now, 0]
        if now - entry[0] < PERIOD_S or minute[1] >= self._lines_per_minute:
            entry[1] += 1
            return False
        again = f" ({int(entry[1])} more since the last line)" if entry[1] else ""
        entry[:] = [now, 0]
        minute[1] += 1
        for table in (self._reasons, self._addresses):
            while len(table) > MAXIMUM_KEYS:
                table.popitem(last=False)
        self._logger.warning("OPC UA client %s: %s%s%s", address, reason, f": {detail}" if detail else "", again)
        return True
