"""A site and a bench over it, for the tests of subscriptions."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.config.site import Site
from tests.unit.opcua.publishing_kit import Bench, demo_site


@pytest.fixture(scope="session")
def site() -> Site:
    return demo_site()


@pytest.fixture
def bench(tmp_path: Path, site: Site) -> Bench:
    return Bench(tmp_path, site)
