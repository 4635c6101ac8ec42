"""Server CPU per delivered notification: 10,000 Doubles, one change a second each, beside two peers in the same run."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.bench_site import doubles, load_bench_site, write_site
from tests.benchmarks.child import ROOT, Child
from tests.benchmarks.credentials import NONE, SIGN_AND_ENCRYPT
from tests.benchmarks.face import ServedFace, make_data, served
from tests.benchmarks.figure import Figure
from tests.benchmarks.machine import cpu_s

GROUP = "notifications"
ITEMS, STOCK_ITEMS, NODE_ITEMS = 10_000, 2_000, 10_000
SECONDS = 12
SETTLE_S = 2.5
SETUPS = [(clients, mode, queue) for clients in (1, 10) for mode in (NONE, SIGN_AND_ENCRYPT) for queue in (1, 10)]
SHARES = (1.0, 0.05)


class Window(NamedTuple):
    """What a server used and its clients received in a span of time."""

    cpu_s: float
    notifications: int
    seconds: float

    @property
    def us_each(self) -> float:
        """CPU microseconds per notification."""
        return self.cpu_s / max(1, self.notifications) * 1e6


def window(server: Child, client: Child, seconds: float = SECONDS) -> Window:
    """Measure for a while."""
    client.say()
    client.line()
    before, began = cpu_s(server.pid), time.monotonic()
    time.sleep(seconds)
    used, took = cpu_s(server.pid) - before, time.monotonic() - began
    client.say()
    return Window(used, client.answer()["notifications"], took)


@contextlib.contextmanager
def clients(
    endpoint: str, count: int, mode: str, items: Path, queue: int, credentials: Path | None, log: Path
) -> Iterator[Child]:
    """Counting clients that have all first values."""
    folder = [credentials] if credentials else []
    with Child.python("counting_client", endpoint, count, mode, items, queue, 1000, 1000, *folder, log=log) as child:
        child.line()
        yield child
        child.finish()


def own(face: ServedFace, items: Path) -> Iterator[tuple[str, Window, float]]:
    """(what, window, share of the ordinary path) of each setup of the real face."""
    before = cpu_s(face.child.pid)
    time.sleep(SECONDS)
    yield "idle", Window(cpu_s(face.child.pid) - before, 0, SECONDS), 0.0
    for count, mode, queue in SETUPS:
        with clients(face.endpoint, count, mode, items, queue, face.credentials, face.log) as client:
            for share in SHARES:
                face.image.share = share
                time.sleep(SETTLE_S)
                start = _counts(face.child)
                found = window(face.child, client)
                end = _counts(face.child)
                all_of_them = end["notifications"] - start["notifications"]
                ordinary = end["ordinary_notifications"] - start["ordinary_notifications"]
                name = f"{count} x {ITEMS:,}, {mode}, {share:.0%} changing, queue {queue}"
                yield name, found, ordinary / max(1, all_of_them)
        face.image.share = 1.0


def _counts(face: Child) -> dict[str, int]:
    face.say()
    found: dict[str, int] = face.answer()
    return found


def peer(kind: str, items: Path, folder: Path) -> Window:
    """A peer with one client."""
    log = folder / f"{kind}.txt"
    if kind == "asyncua":
        server = Child.python("stock_server", STOCK_ITEMS, items, log=log)
    else:
        script = str(ROOT / "tests" / "benchmarks" / "node_server.mjs")
        arguments = ("notifications", str(NODE_ITEMS), str(items), str(folder / "node-pki"))
        server = Child("node", "--no-warnings", script, *arguments, log=log)
    with server:
        endpoint = server.line()
        with clients(endpoint, 1, NONE, items, 1, None, log) as client:
            return window(server, client)


def measure(*, long: bool) -> Iterator[Figure]:
    """All lines of the figure; the long form is the same."""
    with tempfile.TemporaryDirectory(prefix="gridbms-bench-") as name:
        folder = Path(name)
        peers = {kind: peer(kind, folder / f"{kind}.items", folder) for kind in ("asyncua", "node-opcua")}
        for kind, count, why in (
            ("asyncua", STOCK_ITEMS, "saturated at 10,000; its writing of the values included"),
            ("node-opcua", NODE_ITEMS, "its setting of the values included"),
        ):
            found = peers[kind]
            delivered = found.notifications / (count * found.seconds)
            text = f"{found.us_each:.1f} us per notification"
            yield Figure(
                GROUP,
                f"{kind}'s server, 1 x {count:,}, None, 100% changing, queue 1",
                text,
                remark=f"{delivered:.0%} delivered; {why}",
            )
        site_file = write_site(folder)
        site = load_bench_site(site_file)
        names, slots = doubles(site, ITEMS)
        items = folder / "own.items"
        items.write_text("\n".join(f"{one}" for one in names))
        make_data(folder / "data")
        with served("bench", site, site_file, folder, slots) as face:
            yield from _lines(own(face, items), peers)


def _lines(found: Iterator[tuple[str, Window, float]], peers: dict[str, Window]) -> Iterator[Figure]:
    idle = 0.0
    for what, seen, ordinary in found:
        if what == "idle":
            idle = seen.cpu_s / seen.seconds
            yield Figure(GROUP, "gridbms, no client", f"{idle * 1e3:.1f} ms CPU per second", remark="the idle share")
            continue
        clean = (seen.cpu_s - idle * seen.seconds) / max(1, seen.notifications) * 1e6
        stock, node = (peers[kind].us_each / seen.us_each for kind in ("asyncua", "node-opcua"))
        judged = "None, 100%" in what
        wanted = 10_000 * int(what.split()[0]) * seen.seconds * (0.05 if " 5% " in what else 1.0)
        yield Figure(
            GROUP,
            what,
            f"{seen.us_each:.3f} us per notification; 1/{stock:.0f} of asyncua, 1/{node:.0f} of node-opcua",
            "1/300; 1/20" if judged else "",
            (stock >= 300 and node >= 20) if judged else None,
            f"{clean:.3f} us without the idle share; {ordinary:.1%} on the ordinary path; "
            f"{seen.notifications / wanted:.0%} delivered",
        )
