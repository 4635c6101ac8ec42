"""For all tests."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _collect_garbage() -> Iterator[None]:
    """Maps and sockets in reference cycles are closed by the collector, which the tests of a start switch off."""
    yield
    gc.enable()
    gc.unfreeze()
    gc.collect()
