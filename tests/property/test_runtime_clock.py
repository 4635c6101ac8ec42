"""Whatever the wall clock does, each error above a second is one event, and UTC rises inside an epoch."""

from hypothesis import given, settings
from hypothesis import strategies as st

from server.runtime.clock import Clock, Stepped

SECOND = 1_000_000_000

moves = st.lists(
    st.tuples(
        st.integers(1_000_000, 10 * SECOND),  # time passed
        st.one_of(
            st.just(0),
            st.integers(-400_000, 400_000),
            st.integers(-SECOND, SECOND),
            st.integers(-(10**9) * SECOND, 10**9 * SECOND),
        ),  # what is done to the wall clock
        st.sampled_from([0, 0, 0, 30_000, 150_000]),  # preemption inside the measurement
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(moves)
def test_every_error_above_a_second_gives_exactly_one_event(script: list[tuple[int, int, int]]) -> None:
    mono_ns, wall_ns, delay = 5 * SECOND, 1_700_000_000 * SECOND, 0

    def mono() -> int:
        nonlocal mono_ns, wall_ns
        mono_ns += delay
        wall_ns += delay
        return mono_ns

    clock = Clock(mono, lambda: wall_ns)
    last_utc, last_mono = clock.utc(mono_ns), mono_ns
    for passed, change, preemption in script:
        mono_ns, wall_ns, delay = mono_ns + passed, wall_ns + passed + change, preemption
        epoch, offset = clock.epoch, clock.offset_ns
        event = clock.tick()
        delay = 0
        error = wall_ns - mono_ns - offset
        if preemption > 100_000:
            assert event is None
            assert clock.offset_ns == offset
        elif isinstance(event, Stepped):
            assert abs(error) > SECOND - 100_000
            assert (event.epoch, clock.epoch) == (epoch + 1, epoch + 1)
            assert abs(event.step_ns - error) <= 100_000
            assert abs(clock.utc(mono_ns) - wall_ns) <= 100_000
        else:
            assert abs(error) <= SECOND + 100_000
            assert clock.epoch == epoch
            assert clock.utc(mono_ns) > last_utc
            within_measurements = 2_000_000  # five preempted tries lie between a reading and the end of its tick
            assert abs(clock.offset_ns - offset) * 2000 <= mono_ns - last_mono + within_measurements
        last_utc, last_mono = clock.utc(mono_ns), mono_ns
