"""NumericRange of OPC 10000-4, 7.27: `a`, `a:b`, one per dimension with commas. Inclusive, from 0."""

import re
from typing import Any

from numpy.typing import NDArray

_PART = re.compile(r"(\d{1,10})(?::(\d{1,10}))?", re.ASCII)
_LONGEST = 200


class RangeSyntaxError(ValueError):
    """The text is no range: BadIndexRangeInvalid."""


class RangeError(ValueError):
    """The range names nothing of the value: BadIndexRangeNoData."""


class IndexRange:
    """A parsed range. Raises RangeSyntaxError for a text that is none."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise RangeSyntaxError
        self.parts: list[slice] = []
        for part in text.split(","):
            match = _PART.fullmatch(part)
            if match is None:
                raise RangeSyntaxError
            first = int(match[1])
            last = first if match[2] is None else int(match[2])
            if match[2] is not None and last <= first:
                raise RangeSyntaxError
            self.parts.append(slice(first, last + 1))

    def apply(self, data: NDArray[Any]) -> NDArray[Any]:
        """The named part; an end behind the array is cut, a start behind it raises RangeError."""
        if len(self.parts) != data.ndim:
            raise RangeError
        if any(part.start >= size for part, size in zip(self.parts, data.shape, strict=True)):
            raise RangeError
        return data[tuple(self.parts)]


def parse(text: str | None) -> IndexRange | None:
    """Range of a text; None where there is none."""
    return IndexRange(text) if text else None
