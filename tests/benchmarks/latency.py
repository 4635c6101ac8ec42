"""From the frame on the bus to the client's callback: sampling and publishing every 100 ms, rack scalars of the demo."""

from collections.abc import Iterator

from information_model.points.row import Level
from tests.benchmarks.child import Child
from tests.benchmarks.figure import Figure
from tests.benchmarks.plant import running
from tests.benchmarks.spread import Spread, verdict

GROUP = "latency"
STARTS, COUNT, LONG_STARTS, LONG_COUNT = 3, 1_500, 10, 5_000
"""The clocks of plant and core keep the phase of their start: one start alone would measure its phase."""
POINTS = ("Measurements.DcVoltage", "Measurements.DcCurrent")
P50_MS, P99_MS = 150.0, 250.0


def one_start(count: int) -> tuple[list[float], list[float], str]:
    """(ages of the values, lateness of the empty loop, its priority) of one life of the program, in seconds."""
    with running("demo") as plant:
        racks = plant.site.topology.of_level(Level.RACK)
        items = plant.folder / "items"
        items.write_text("\n".join(f"ns=3;s={rack.name}.{point}" for rack in racks for point in POINTS))
        with Child.python("empty_loop", plant.site.file.core.period_s, log=plant.log) as empty:
            priority = empty.line()
            arguments = (plant.program.endpoint, plant.credentials, items, count)
            with Child.python("latency_client", *arguments, log=plant.log) as client:
                ages = client.answer(400)
            empty.say()
            return ages, empty.answer(), priority


def measure(*, long: bool) -> Iterator[Figure]:
    """Short form three starts with 1,500 notifications each, long form ten with 5,000."""
    ages: list[float] = []
    late: list[float] = []
    medians = []
    priority = ""
    for _ in range(LONG_STARTS if long else STARTS):
        found, beside, priority = one_start(LONG_COUNT if long else COUNT)
        ages += found
        late += beside
        medians.append(Spread.of(found).p50)
    seen, empty = Spread.of(ages), Spread.of(late)
    met = verdict(seen.p50 <= P50_MS and seen.p99 <= P99_MS, empty)
    what = f"reception of the frame to the callback, {seen.number:,} notifications"
    each = ", ".join(f"{median:.0f}" for median in medians)
    remark = f"client: asyncua, SignAndEncrypt; medians of the starts {each} ms"
    yield Figure(GROUP, what, str(seen), "p50 <= 150, p99 <= 250 ms", met, remark)
    yield Figure(
        GROUP, f"empty loop, {priority}, {empty.number:,} turns", str(empty), remark="counts below 1 ms at p99.9"
    )
