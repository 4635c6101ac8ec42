"""Raw history over OPC UA: 1,000,000 values of one series to a counting client, beside node-opcua's server."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from information_model.points.row import History
from server.config.site import Site, load_site
from server.store.columns import as_stored
from server.store.tail import SCALAR, Part
from tests.benchmarks.child import ROOT, Child
from tests.benchmarks.credentials import NONE, SIGN_AND_ENCRYPT, USER
from tests.benchmarks.face import ServedFace, make_data, served
from tests.benchmarks.figure import Figure
from tests.benchmarks.machine import cpu_s
from tests.benchmarks.offline_archive import OfflineArchive
from tests.interop.node_client import NodeClient
from tests.program import PASSWORD

GROUP = "history"
VALUES, NODE_VALUES = 1_000_000, 100_000
NODE_PAGE = 10_000
READS = 5
NODE, GROUP_NAME = "ESS.ARR01.R001.Measurements.DcVoltage", "ESS.ARR01.R001/1s"
CHECKED = 100_000
START_NS, SECOND_NS = 1_700_000_100_000_000_000, 1_000_000_000
SPAN_S = 300
TARGET_PER_S, TARGET_RATIO = 1_000_000.0, 5.0


def make_archive(site: Site, data: Path) -> NDArray[np.float64]:
    """A million seconds of one rack's group of the class 1 s, made by the real writer: every series of it, with noise.

    Returns the values of NODE, a Float, as they are to come back [VALUES].
    """
    archive = OfflineArchive(site, data)
    number, group = archive.group(GROUP_NAME)
    series = len(group.scalars)
    steps = np.array([one.step for one in group.scalars])
    rng = np.random.default_rng(1)
    start = np.full(series, 700.0)
    watched = [one.point for one in group.scalars].index(NODE)
    kept = []
    for first in range(0, VALUES, SPAN_S):
        count = min(SPAN_S, VALUES - first)
        walk = start + np.cumsum(steps * rng.standard_normal((count, series)), axis=0)
        start = walk[-1]
        kept.append(as_stored(walk[:, watched], steps[watched]))
        rows = np.zeros(count * series, SCALAR)
        rows["index"] = np.tile(np.arange(series), count)
        rows["value"] = walk.reshape(-1)
        times = START_NS + (first + np.arange(count)) * SECOND_NS
        rows["time"] = np.repeat(times, series)
        archive.writer.put(History.S1, 1, int(times[0]), {number: Part(rows)})
        archive.wait(50)
    archive.last_ns = START_NS + VALUES * SECOND_NS
    archive.close()
    return np.concatenate(kept).astype(np.float32).astype(np.float64)


def content(face: ServedFace, folder: Path, expected: NDArray[np.float64]) -> Figure:
    """What a client that is not ours reads: each value and its time must be those that were written."""
    client = NodeClient(folder)
    try:
        client.connect(face.endpoint, USER, PASSWORD, mode="None", policy="None")
        begin = START_NS // 1_000_000
        found = client("history", id=f"ns=3;s={NODE}", start=begin, end=begin + CHECKED * 1000)
    finally:
        client.close()
    values = found["values"]

    same = len(values) == CHECKED and all(
        (value["value"], value["status"], value["source"]) == (written, 0, begin + number * 1000)
        for number, (value, written) in enumerate(zip(values, expected.tolist(), strict=False))
    )
    what = f"node-opcua's client reads {CHECKED:,} values"
    text = (
        f"{len(values):,} values in {found['pages']} pages, {'all equal' if same else 'NOT equal'} to what was written"
    )
    return Figure(GROUP, what, text, "every value and time", same)


def read(server: Child, arguments: tuple[object, ...], log: Path) -> tuple[float, float, int]:
    """(values a second, CPU us of the server per value, pages), the median of several reads after one to warm up."""
    with Child.python("history_client", *arguments, log=log) as client:
        client.line()
        rates, costs, pages = [], [], 0
        for turn in range(READS + 1):
            before = cpu_s(server.pid)
            client.say()
            found = client.answer()
            if turn:
                rates.append(found["values"] / found["seconds"])
                costs.append((cpu_s(server.pid) - before) / found["values"] * 1e6)
                pages = found["pages"]
    return statistics.median(rates), statistics.median(costs), pages


def peer(folder: Path) -> tuple[float, float, int]:
    """node-opcua's server with its in-memory historian."""
    log, items = folder / "node.txt", folder / "node.items"
    script = str(ROOT / "tests" / "benchmarks" / "node_server.mjs")
    with Child(
        "node", "--no-warnings", script, "history", str(NODE_VALUES), str(items), str(folder / "node-pki"), log=log
    ) as server:
        return read(server, (server.line(), NONE, items, NODE_VALUES, NODE_PAGE), log)


def measure(*, long: bool) -> Iterator[Figure]:
    """The long form is the same."""
    with tempfile.TemporaryDirectory(prefix="gridbms-bench-") as name:
        folder = Path(name)
        node, cost, pages = peer(folder)
        text = f"{node:,.0f} values/s, {cost:.2f} us server CPU per value"
        what = f"node-opcua's server, {NODE_VALUES:,} values, None"
        yield Figure(GROUP, what, text, remark=f"in-memory historian; {pages} pages of {NODE_PAGE:,}")
        site_file = _site_file(folder)
        site = load_site(site_file)
        make_data(folder / "data")
        written = make_archive(site, folder / "data")
        items = folder / "own.items"
        items.write_text(f"ns=3;s={NODE}")
        with served("site", site, site_file, folder, np.zeros(1, np.int64)) as face:
            yield content(face, folder, written[:CHECKED])
            for mode in (NONE, SIGN_AND_ENCRYPT):
                arguments = (face.endpoint, mode, items, VALUES, 0, face.credentials)
                rate, cost, pages = read(face.child, arguments, face.log)
                text = f"{rate:,.0f} values/s, {cost:.2f} us server CPU per value; {rate / node:.1f} x node-opcua"
                judged = mode == NONE
                met = rate >= TARGET_PER_S and rate >= TARGET_RATIO * node
                what = f"gridbms, {VALUES:,} values, {mode}"
                target = ">= 1,000,000; >= 5 x" if judged else ""
                yield Figure(
                    GROUP, what, text, target, met if judged else None, f"{pages} pages; class 1 s, from disk cache"
                )


def _site_file(folder: Path) -> Path:
    """The demo's site, which a test network may reach without encryption."""
    text = (ROOT / "examples" / "demo.toml").read_text()
    path = folder / "demo.toml"
    path.write_text(text.replace("[opcua]", "[opcua]\nsecurity_none = true"))
    return path
