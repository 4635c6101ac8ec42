"""A capture through the frame pipeline in simulated time: no event loop, no clock, as fast as it goes."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from adapters.api import Batch
from adapters.can.frame import Frames
from adapters.can.pipeline import FramePipeline
from adapters.replay.captures import CaptureReport, read_capture

SLICE_NS = 100_000_000


def at_speed(frames: Frames, start_ns: int, speed: float) -> Frames:
    """Times of a capture on the monotonic clock: start + (t - t0) / speed."""
    if speed == 1.0:
        return frames._replace(mono_ns=frames.mono_ns + np.int64(start_ns))
    return frames._replace(mono_ns=start_ns + np.rint(frames.mono_ns / speed).astype(np.int64))


def slices(frames: Frames, slice_ns: int = SLICE_NS) -> Iterator[Frames]:
    """The frames in pieces that lie within one multiple of `slice_ns`; small steps back stay in their piece."""
    running = np.maximum.accumulate(frames.mono_ns) // slice_ns
    cuts = [0, *(np.flatnonzero(np.diff(running)) + 1).tolist(), len(running)]
    for first, end in itertools.pairwise(cuts):
        yield frames.part(first, end)


def play(
    path: Path,
    pipeline: FramePipeline,
    report: CaptureReport,
    *,
    start_ns: int = 0,
    speed: float = 1.0,
    slice_ns: int = SLICE_NS,
) -> Iterator[tuple[int, Batch]]:
    """(simulated monotonic time in ns, values received until then), at most one `slice_ns` of frames at a time.

    `speed` must be positive. Raises CaptureError when the file cannot be opened.
    """
    for block in read_capture(path, report, pipeline.frame_width):
        for piece in slices(at_speed(block, start_ns, speed), slice_ns):
            yield int(piece.mono_ns.max()), pipeline.feed(*piece)
