"""Where an extreme cell sits, as one number: rack * 10^6 + module * 10^3 + cell, 1-based; 0 = not known.

In a rack the rack's part is left out. The same UInt32 is served on every face.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class CellAddress(NamedTuple):
    """The parts of an address; 0 where a part is not given."""

    rack: int
    module: int
    cell: int

    def __str__(self) -> str:
        parts = [f"{name} {number}" for name, number in zip(("rack", "module", "cell"), self, strict=True) if number]
        return ", ".join(parts) or "not known"


def pack(rack: int, module: int, cell: int) -> int:
    """Address of a cell (1-based parts; rack 0 inside a rack)."""
    return rack * 1_000_000 + module * 1_000 + cell


def unpack(address: int) -> CellAddress:
    """Parts of an address."""
    return CellAddress(address // 1_000_000, address // 1_000 % 1_000, address % 1_000)


def within_rack(index: NDArray[np.int64], per_module: NDArray[np.int64]) -> NDArray[np.int64]:
    """Addresses inside the rack of 0-based cell positions; negative positions give 0 (not known)."""
    address = (index // per_module + 1) * 1_000 + index % per_module + 1
    return np.where(index < 0, 0, address)


def position_in_rack(address: NDArray[np.int64], per_module: NDArray[np.int64]) -> NDArray[np.int64]:
    """The reverse of `within_rack`: 0-based positions of addresses (those of a rack or of a group), which must be known."""
    return np.asarray((address // 1_000 % 1_000 - 1) * per_module + address % 1_000 - 1)


def within_group(rack_number: NDArray[np.int64], address: NDArray[np.float64]) -> NDArray[np.float64]:
    """Addresses in an array or system of addresses inside racks; not known (NaN) is 0 there."""
    return np.asarray(rack_number * 1_000_000 + np.nan_to_num(address))
