"""Extremes over ragged groups equal those that a person would find by looking."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from estimators.charge import ChargeCounter
from estimators.energy import Throughput
from estimators.segments import Segments

groups = st.lists(
    st.lists(st.one_of(st.just(np.nan), st.floats(-10, 10, width=32)), min_size=0, max_size=6), min_size=1, max_size=6
)


@given(groups)
def test_extremes_equal_the_plain_search(given_groups) -> None:
    values = np.array([value for group in given_groups for value in group], np.float64)
    start = np.concatenate(([0], np.cumsum([len(group) for group in given_groups])))
    found = Segments(start).extremes(values)
    for i, group in enumerate(given_groups):
        known = [value for value in group if not np.isnan(value)]
        assert found.known[i] == len(known)
        if not known:
            assert np.isnan([found.low[i], found.high[i], found.mean[i], found.total[i]]).all()
            assert (found.low_at[i], found.high_at[i]) == (-1, -1)
            continue
        assert found.low[i] == min(known)
        assert found.high[i] == max(known)
        assert np.isclose(found.total[i], sum(known))
        assert found.low_at[i] == start[i] + group.index(min(known))
        assert found.high_at[i] == start[i] + group.index(max(known))


currents = st.lists(st.one_of(st.just(np.nan), st.floats(-100, 100)), min_size=1, max_size=50)


@given(currents)
def test_throughput_never_runs_backwards(series) -> None:
    counter = Throughput(1)
    before = dict.fromkeys(counter.totals, 0.0)
    for current in series:
        counter.step(np.array([current]), np.array([current * 10]), np.array([True]), 0.1)
        for name, total in counter.totals.items():
            assert total[0] >= before[name]
            assert not np.isnan(total[0])
            before[name] = total[0]


@given(currents, st.floats(2.6, 3.5))
def test_charge_stays_between_empty_and_full_and_its_uncertainty_never_shrinks(series, voltage) -> None:
    counter = ChargeCounter(np.array([0.01]), ("LFP",))
    before = 0.0
    for current in series:
        counter.step(np.array([current]), np.array([voltage]), np.array([True]), np.array([True]), 0.5)
        assert 0 <= counter.soc[0] <= 100
    for _ in range(20):
        counter.step(np.array([1.0]), np.array([voltage]), np.array([False]), np.array([False]), 0.5)
        assert counter.sigma[0] >= before or counter.sigma[0] >= 2.0
        before = counter.sigma[0]
