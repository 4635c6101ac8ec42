"""Whatever goes into a chunk comes out of it; damaged bytes are found, never shown as numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from server.store.chunk import Chunk, Column, DamagedChunkError, check_sum, encode_chunk
from server.store.columns import DamagedColumnError, decode_integers, encode_integers, to_integers, to_numbers

whole = st.integers(-(2**61), 2**61 - 1)


@given(arrays.arrays(np.int64, st.integers(1, 200), elements=st.one_of(whole, st.integers(-3, 3))))
def test_whole_numbers_come_back(values) -> None:
    assert (decode_integers(encode_integers(values), len(values)) == values).all()


@given(arrays.arrays(np.int64, st.tuples(st.integers(1, 20), st.integers(2, 30)), elements=st.integers(-1000, 1000)))
def test_matrices_come_back(values) -> None:
    assert (decode_integers(encode_integers(values), len(values)) == values).all()


@given(arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_counters_come_back_bit_by_bit(values) -> None:
    assert to_numbers(to_integers(values, 0.0), 0.0).tobytes() == values.tobytes()


@given(
    arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1e6, 1e6) | st.just(np.nan)),
    st.sampled_from([1.0, 0.1, 0.01, 0.001, 10.0, 0.0001]),
)
def test_values_come_back_within_half_a_step(values, step) -> None:
    found = to_numbers(to_integers(values, step), step)
    assert (np.isnan(found) == np.isnan(values)).all()
    known = ~np.isnan(values)
    assert (np.abs(found[known] - values[known]) <= step * 0.5000001).all()


def test_a_step_gives_the_number_that_a_person_expects() -> None:
    assert to_numbers(to_integers(np.array([3.3, 0.1, 52.17]), 0.01), 0.01).tolist() == [3.3, 0.1, 52.17]


columns = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        arrays.arrays(np.float64, n, elements=st.integers(-5000, 5000).map(lambda i: i / 1000)),
        arrays.arrays(np.uint32, n, elements=st.sampled_from([0, 0x40900000, 0x80310000])),
        arrays.arrays(np.int64, n, elements=st.integers(0, 10**6)).map(np.sort),
    )
)


@given(st.lists(columns, min_size=1, max_size=5))
def test_every_column_of_a_chunk_comes_back(given_columns) -> None:
    base = 1_700_000_000_000_000_000
    blob = encode_chunk(
        [Column(i, 0.001, 10, v, s, base + t * 1_000_000) for i, (v, s, t) in enumerate(given_columns)], 1_000_000
    )
    chunk = Chunk(blob)
    assert chunk.series == list(range(len(given_columns)))
    for i, (value, status, time) in enumerate(given_columns):
        found = chunk.read(i)
        assert found is not None
        assert np.allclose(found.value, value, atol=1e-9)
        assert (found.status == status).all()
        assert (found.time == base + time * 1_000_000).all()
    assert chunk.read(len(given_columns)) is None


@given(st.data())
def test_a_changed_byte_changes_the_check_sum(data) -> None:
    blob = encode_chunk([Column(1, 0.1, 10, np.arange(9.0), np.zeros(9, np.uint32), np.arange(9) * 10**9)], 1)
    at = data.draw(st.integers(0, len(blob) - 1))
    bad = bytearray(blob)
    bad[at] ^= data.draw(st.integers(1, 255))
    good = check_sum(1, 0, 0, 9, blob)
    assert check_sum(1, 0, 0, 9, bytes(bad)) != good
    assert good not in [check_sum(*key, blob) for key in ((2, 0, 0, 9), (1, 1, 0, 9), (1, 0, 1, 9), (1, 0, 0, 8))]


@given(st.binary(max_size=300))
def test_bytes_that_are_no_chunk_are_refused(noise) -> None:
    with pytest.raises(DamagedChunkError):
        Chunk(noise)


@given(st.binary(max_size=100), st.integers(1, 50))
def test_bytes_that_are_no_column_never_crash(noise, count) -> None:
    try:
        found = decode_integers(noise, count)
    except DamagedColumnError:
        return
    assert len(found) == count
