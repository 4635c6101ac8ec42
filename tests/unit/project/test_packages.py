"""The four import names are common words: no other distribution of the environment may provide one of them (ADR 1)."""

import sys
from importlib.metadata import packages_distributions

import pytest

PACKAGES = ("information_model", "adapters", "estimators", "server")


def intruders(package: str) -> set[str]:
    return set(packages_distributions().get(package, [])) - {"gridbms"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_provides_our_package(package) -> None:
    assert intruders(package) == set()


def test_one_that_does_is_found(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "intruder-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: intruder\nVersion: 1.0\n")
    (folder / "top_level.txt").write_text("server\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert intruders("server") == {"intruder"}
