"""The archive: bytes per sample on measured data; samples a second, bytes at rest and written for the site of 240 racks."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from information_model.points.row import Level
from tests.benchmarks.figure import Figure
from tests.benchmarks.machine import bytes_written
from tests.benchmarks.measured_data import START_NS, Recording, recordings
from tests.benchmarks.offline_archive import OfflineArchive, by_class
from tests.benchmarks.synthetic_image import SECOND_NS, SyntheticImage, large_site
from tests.measured import NoMeasuredDataError

GROUP = "archive"
ARRAYS, HOURS, LONG_ARRAYS, LONG_HOURS = 1, 4, 20, 2
ALL_ARRAYS = 20
BYTES_PER_SAMPLE, AT_REST_GB = 1.5, 3.0


class Kept(NamedTuple):
    """What an archive of a recording is made of."""

    samples: int
    size: int
    classes: dict[str, tuple[int, int]]


def keep(recording: Recording, folder: Path) -> Kept:
    """Through sampler and writer as the program does it."""
    folder.mkdir()
    site = recording.site(folder)
    archive = OfflineArchive(site, folder / "data")
    for time_ns in recording.play(site, archive.columns):
        archive.take(time_ns)
    size = archive.close()
    return Kept(archive.writer.samples_written, size, by_class(folder / "data"))


def _classes(classes: dict[str, tuple[int, int]], factor: float = 0.0) -> str:
    parts = []
    for history, (samples, size) in classes.items():
        day = f", {size * factor / 1e9:.2f} GB a day" if factor else ""
        parts.append(f"{history}: {samples:,} samples, {size / max(1, samples):.2f} bytes each{day}")
    return "; ".join(parts)


def measured(folder: Path) -> Iterator[Figure]:
    """Each recording, then all together."""
    try:
        found = [(recording, keep(recording, folder / f"recording{i}")) for i, recording in enumerate(recordings())]
    except NoMeasuredDataError as error:
        yield Figure(GROUP, "measured data", "not measured", "<= 1.5 bytes per sample", remark=str(error))
        return
    for recording, kept in found:
        text = f"{kept.size / kept.samples:.2f} bytes per sample"
        yield Figure(GROUP, f"measured data: {recording.name}", text, remark=f"file size; {_classes(kept.classes)}")
    samples, size = sum(kept.samples for _, kept in found), sum(kept.size for _, kept in found)
    each = size / samples
    remark = f"{samples:,} samples in {size:,} bytes of database, index included"
    yield Figure(
        GROUP, "measured data, all", f"{each:.2f} bytes per sample", "<= 1.5 bytes", each <= BYTES_PER_SAMPLE, remark
    )


def large(folder: Path, arrays: int, hours: float) -> Iterator[Figure]:
    """The site of 240 racks in simulated time; a part of its arrays is counted up to all, groups being per rack."""
    site = large_site(folder, arrays)
    archive = OfflineArchive(site, folder / "data")
    image = SyntheticImage(site, archive.columns)
    before, began, cpu = bytes_written(), time.monotonic(), os.times()
    making = 0.0
    for second in range(int(hours * 3600)):
        utc_ns = START_NS // SECOND_NS * SECOND_NS + second * SECOND_NS
        start = time.thread_time()
        image.at(second, utc_ns)
        making += time.thread_time() - start
        archive.take(utc_ns)
    size = archive.close()
    written, took, used = bytes_written() - before, time.monotonic() - began, os.times()
    busy = used.user + used.system - cpu.user - cpu.system - making
    samples = archive.writer.samples_written
    factor = 24 / hours * ALL_ARRAYS / arrays
    what = f"240 racks, {arrays} of {ALL_ARRAYS} arrays ({site.topology.count(Level.RACK)} racks) for {hours} h"
    rest, daily = size * factor / 1e9, written * factor / 1e9
    remark = f"{size / samples:.2f} bytes per sample; {_classes(by_class(folder / 'data'), factor)}"
    yield Figure(GROUP, f"{what}: bytes at rest", f"{rest:.2f} GB a day", "<= 3 GB a day", rest <= AT_REST_GB, remark)
    tails = archive.writer.bytes_written * factor / 1e9
    remark = f"all write calls, write-ahead log included; tails and chunks alone {tails:.2f} GB"
    yield Figure(GROUP, f"{what}: bytes written", f"{daily:.2f} GB a day", remark=remark)
    rate = samples * factor / 86_400
    remark = (
        f"the site makes {rate:,.0f} samples/s: {rate * busy / samples:.3f} cores; {samples:,} samples in {took:.0f} s"
    )
    yield Figure(GROUP, "samples written", f"{samples / busy:,.0f} per CPU second of sampler and writer", remark=remark)


def measure(*, long: bool) -> Iterator[Figure]:
    """Short form one array for 4 h, long form the whole site for 2 h."""
    with tempfile.TemporaryDirectory(prefix="gridbms-bench-") as name:
        folder = Path(name)
        yield from measured(folder)
        yield from large(folder, *((LONG_ARRAYS, LONG_HOURS) if long else (ARRAYS, HOURS)))
