"""The chunk that is being filled: samples of one history class, by group, until their span of time is over."""

from dataclasses import dataclass, field

import numpy as np

from information_model.points.row import History
from server.store.chunk import Column
from server.store.tail import MatrixSample, Part, SeriesOfGroup

CHUNK_S = 300
SPANS = {History.CHANGE: 3, History.S1: 1, History.S10: 6, History.S60: 24, History.DAY: 288}
"""Length of a chunk in chunks of the fastest class. A slow class needs longer ones: a column of five samples would be
mostly head."""
LONGEST_S = 86400
TIME_STEP_NS = {History.CHANGE: 1}
RASTER_TIME_STEP_NS = 1_000_000
"""Source times of sampled classes are kept to the millisecond, those of changes exactly."""


def span_ns(history: History, chunk_s: int = CHUNK_S) -> int:
    """Length of the chunks of a class where the fastest has chunks of `chunk_s`."""
    return min(LONGEST_S, SPANS[history] * chunk_s) * 1_000_000_000


def time_step_ns(history: History) -> int:
    """Resolution of the times of a class."""
    return TIME_STEP_NS.get(history, RASTER_TIME_STEP_NS)


@dataclass
class OpenGroup:
    """Samples of one group."""

    scalars: list[np.ndarray] = field(default_factory=list)
    matrices: list[MatrixSample] = field(default_factory=list)

    def add(self, part: Part) -> None:
        """Take the samples of a moment."""
        if len(part.scalars):
            self.scalars.append(part.scalars)
        self.matrices += part.matrices

    def columns(self, layout: SeriesOfGroup, series_of: dict[str, int]) -> list[Column]:
        """Columns for the chunk; `series_of` gives the number of a point."""
        found = []
        if self.scalars:
            rows = np.concatenate(self.scalars)
            rows = rows[np.argsort(rows["index"], kind="stable")]
            index, first = np.unique(rows["index"], return_index=True)
            for series, part in zip(index, np.split(rows, first[1:]), strict=True):
                point, step, built_in = layout.scalars[series]
                found.append(
                    Column(
                        series_of[point], step, built_in, part["value"], part["status"], part["time"].astype(np.int64)
                    )
                )
        for series in sorted({sample.index for sample in self.matrices}):
            samples = [sample for sample in self.matrices if sample.index == series]
            point, step, built_in = layout.matrices[series]
            found.append(
                Column(
                    series_of[point],
                    step,
                    built_in,
                    np.stack([sample.value for sample in samples]),
                    np.array([sample.status for sample in samples], np.uint32),
                    np.array([sample.time for sample in samples], np.int64),
                )
            )
        return found

    def check(self, layout: SeriesOfGroup) -> None:
        """Raises IndexError for samples of series that the layout does not have, ValueError for mixed widths."""
        if any(int(rows["index"].max()) >= len(layout.scalars) for rows in self.scalars):
            raise IndexError(f"{layout.name}: a scalar without a name")
        widths: dict[int, int] = {}
        for sample in self.matrices:
            if sample.index >= len(layout.matrices):
                raise IndexError(f"{layout.name}: a matrix without a name")
            if widths.setdefault(sample.index, len(sample.value)) != len(sample.value):
                raise ValueError(f"{layout.name}: a matrix of {len(sample.value)} values, expected the same throughout")

    @property
    def samples(self) -> int:
        """Number of single values."""
        return sum(len(rows) for rows in self.scalars) + sum(len(sample.value) for sample in self.matrices)
