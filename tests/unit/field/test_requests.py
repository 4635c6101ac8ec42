"""From the core's block to the requests of the adapters: leases, and what happens when they run out."""

import numpy as np
import pytest

from adapters.api import SafeRequest
from information_model.enumerations import Desired
from server.config.site import Site
from server.field.requests import Requests

MS = 1_000_000
SECOND = 1000 * MS
BOTH, FIRST = np.array([True, True]), np.array([True, False])
START = 100 * SECOND
NOTHING, OPEN, CLOSED = Desired


class Core:
    """Writes output blocks in simulated time and looks at what becomes of them."""

    def __init__(self, site: Site) -> None:
        (plan,) = site.inputs
        self.requests = Requests(plan)
        self.columns = {name: np.zeros(length, dtype) for name, dtype, length in plan.output_columns()}

    def ask(self, now: int, desired: tuple[int, int] = (CLOSED, CLOSED), lease_ns: int = SECOND) -> None:
        self.columns["desired"][:] = desired
        self.columns["charge_limit_a"][:] = 50.0
        self.columns["discharge_limit_a"][:] = 60.0
        self.columns["reset_counter"][:] = 3
        self.columns["alive"][:] += 1
        self.columns["lease_until_mono_ns"][:] = np.where(np.array(desired) > 0, now + lease_ns, 0)
        self.requests.take(self.columns, now)

    def seen(self, now: int, heard: np.ndarray = BOTH):
        self.requests.judge(now)
        return self.requests.of_bus("array1", heard, now)


@pytest.fixture
def core(site: Site) -> Core:
    return Core(site)


def test_nothing_is_requested_before_the_first_block(core: Core) -> None:
    assert core.seen(START) is None


def test_a_valid_lease_carries_wish_limits_and_counters(core: Core) -> None:
    core.ask(START, (CLOSED, OPEN))
    closed, opened = core.seen(START + MS)
    assert (closed.desired, opened.desired) == (CLOSED, OPEN)
    assert (closed.charge_limit_a, closed.discharge_limit_a) == (50.0, 60.0)
    assert (closed.reset_counter, closed.alive, closed.lease_valid, closed.safe) == (3, 1, True, SafeRequest.NONE)


def test_a_lease_that_runs_out_means_zero_current_at_once_and_open_five_seconds_later(core: Core) -> None:
    core.ask(START)
    assert core.seen(START + 999 * MS)[0].safe == SafeRequest.NONE
    first = core.seen(START + 1000 * MS)[0]
    assert (first.safe, first.lease_valid, first.desired) == (SafeRequest.ZERO_CURRENT, False, CLOSED)
    assert core.seen(START + 5999 * MS)[0].safe == SafeRequest.ZERO_CURRENT
    assert core.seen(START + 6000 * MS)[0].safe == SafeRequest.OPEN


def test_a_block_older_than_a_second_is_no_lease_however_long_it_promises(core: Core) -> None:
    core.ask(START, lease_ns=3600 * SECOND)
    assert core.seen(START + 1000 * MS)[0].lease_valid
    assert core.seen(START + 1001 * MS)[0].safe == SafeRequest.ZERO_CURRENT


def test_a_core_that_returns_in_time_finds_its_racks_closed(core: Core) -> None:
    core.ask(START)
    core.seen(START)
    core.seen(START + 2 * SECOND)
    core.ask(START + 3 * SECOND, (NOTHING, NOTHING))  # a new core requests nothing before it has seen the racks
    waiting = core.seen(START + 3 * SECOND)[0]
    assert (waiting.desired, waiting.safe) == (CLOSED, SafeRequest.ZERO_CURRENT)
    core.ask(START + 4 * SECOND)
    again = core.seen(START + 4 * SECOND)[0]
    assert (again.desired, again.safe, again.lease_valid) == (CLOSED, SafeRequest.NONE, True)


def test_the_time_to_open_runs_from_the_latest_loss(core: Core) -> None:
    core.ask(START)
    core.seen(START)
    core.seen(START + 5 * SECOND)
    core.ask(START + 6 * SECOND)
    core.seen(START + 6 * SECOND)
    core.seen(START + 7 * SECOND)
    assert core.seen(START + 11_900 * MS)[0].safe == SafeRequest.ZERO_CURRENT
    assert core.seen(START + 12_000 * MS)[0].safe == SafeRequest.OPEN


def test_a_bus_waits_until_the_core_has_a_wish_for_every_rack_that_is_heard(core: Core) -> None:
    core.ask(START, (CLOSED, NOTHING))
    assert core.seen(START) is None
    core.ask(START + 500 * MS, (CLOSED, CLOSED))
    assert [row.desired for row in core.seen(START + 500 * MS)] == [CLOSED, CLOSED]


def test_a_rack_that_is_not_heard_keeps_nobody_waiting_and_is_asked_to_open(core: Core) -> None:
    core.ask(START, (CLOSED, NOTHING))
    first, second = core.seen(START, FIRST)
    assert (first.desired, first.lease_valid) == (CLOSED, True)
    assert (second.desired, second.lease_valid, second.safe) == (OPEN, False, SafeRequest.ZERO_CURRENT)


def test_a_rack_without_a_wish_is_waited_for_three_seconds_at_most(core: Core) -> None:
    core.ask(START, (CLOSED, NOTHING))
    assert core.seen(START) is None
    core.ask(START + 2900 * MS, (CLOSED, NOTHING))
    assert core.seen(START + 2900 * MS) is None
    core.ask(START + 3000 * MS, (CLOSED, NOTHING))
    assert [row.desired for row in core.seen(START + 3000 * MS)] == [CLOSED, OPEN]


def test_a_wish_that_nobody_knows_means_open(core: Core) -> None:
    core.ask(START, (7, 255))
    assert [row.desired for row in core.seen(START)] == [OPEN, OPEN]


def test_the_last_word_is_zero_current_and_never_closes_or_opens(core: Core) -> None:
    core.ask(START, (CLOSED, OPEN))
    core.seen(START)
    rows = core.requests.at_stop("array1", BOTH, START + MS)
    assert rows is not None
    assert [(row.desired, row.safe, row.charge_limit_a, row.lease_valid) for row in rows] == [
        (CLOSED, SafeRequest.ZERO_CURRENT, 0.0, False),
        (OPEN, SafeRequest.ZERO_CURRENT, 0.0, False),
    ]
