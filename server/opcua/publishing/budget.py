"""Memory that queues may take: a share per subscription, and a sum for all."""

from __future__ import annotations


class Budget:
    """Bytes in use below a maximum; a share is charged to the budget that it belongs to as well."""

    __slots__ = ("_maximum", "_whole", "used")

    def __init__(self, maximum: int, whole: Budget | None = None) -> None:
        self._maximum, self._whole = maximum, whole
        self.used = 0

    def room_for(self, size: int) -> bool:
        """True where another `size` bytes may be taken."""
        return self.used + size <= self._maximum and (self._whole is None or self._whole.room_for(size))

    def charge(self, size: int) -> None:
        """Take bytes, or give back a negative number of them."""
        self.used += size
        if self._whole is not None:
            self._whole.charge(size)

    def release(self) -> None:
        """Give everything back."""
        self.charge(-self.used)
