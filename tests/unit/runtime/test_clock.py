"""UTC follows small errors slowly, steps once for a large one, and never falls inside an epoch."""

import itertools

from server.runtime.clock import Clock, Stepped

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


class Sources:
    """Monotonic and wall clock of a machine; `preempted` ns pass between two readings."""

    def __init__(self) -> None:
        self.mono_ns = 5 * SECOND
        self.wall_ns = START
        self.preempted = 0

    def mono(self) -> int:
        self.mono_ns += self.preempted
        return self.mono_ns

    def wall(self) -> int:
        return self.wall_ns

    def advance(self, ns: int, drift_ppm: int = 0) -> None:
        self.mono_ns += ns
        self.wall_ns += ns + ns * drift_ppm // 1_000_000


def clock(sources: Sources, **options: int) -> Clock:
    return Clock(sources.mono, sources.wall, **options)


def test_a_small_error_is_slewed_by_500_ppm_without_an_event() -> None:
    sources = Sources()
    tested = clock(sources)
    sources.wall_ns += 900_000_000
    stamps = []
    for _ in range(20_000):
        sources.advance(100_000_000)
        assert tested.tick() is None
        stamps.append(tested.utc(sources.mono_ns))
    assert all(b > a for a, b in itertools.pairwise(stamps))
    assert tested.error_ns == 0
    assert stamps[-1] == sources.wall_ns
    assert stamps[0] - START == 100_000_000 + 50_000
    assert tested.epoch == 0


def test_steps_of_an_hour_back_and_years_forward_begin_one_epoch_each() -> None:
    sources = Sources()
    tested = clock(sources, epoch=4)
    for n, step in enumerate((-3600 * SECOND, 300_000_000 * SECOND), start=5):
        sources.advance(SECOND)
        before = tested.utc(sources.mono_ns)
        sources.wall_ns += step
        assert tested.tick() == Stepped(n, step, sources.mono_ns, before, before + step)
        assert tested.utc(sources.mono_ns) == sources.wall_ns
        sources.advance(SECOND)
        assert tested.tick() is None


def test_a_drift_of_200_ppm_is_followed_without_an_event() -> None:
    sources = Sources()
    tested = clock(sources)
    for _ in range(72_000):
        sources.advance(100_000_000, drift_ppm=200)
        assert tested.tick() is None
    assert tested.utc(sources.mono_ns) == sources.wall_ns


def test_a_preempted_measurement_keeps_the_offset() -> None:
    sources = Sources()
    tested = clock(sources)
    offset = tested.offset_ns
    sources.preempted = 200_000
    sources.wall_ns += 3600 * SECOND
    sources.advance(SECOND)
    assert tested.tick() is None
    assert tested.offset_ns == offset
    sources.preempted = 0
    assert isinstance(tested.tick(), Stepped)


def test_a_clock_that_went_back_while_the_program_was_down_begins_a_new_epoch() -> None:
    sources = Sources()
    tested = clock(sources, epoch=2, not_before_ns=START + 7 * SECOND)
    assert (tested.behind_ns, tested.epoch) == (7 * SECOND, 3)
    assert tested.tick() is None
    assert (clock(sources, epoch=2, not_before_ns=START).behind_ns, clock(sources, epoch=2).epoch) == (0, 2)


def test_the_real_clocks_are_the_default() -> None:
    tested = Clock()
    assert tested.tick() is None
    assert tested.utc(0) > 0
