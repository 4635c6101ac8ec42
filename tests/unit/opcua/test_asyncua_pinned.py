"""What we rely on inside asyncua is what was read."""

from importlib.metadata import version

from server.opcua import asyncua_patch


def test_the_pinned_version_of_asyncua_is_installed() -> None:
    assert version("asyncua") == asyncua_patch.VERSION


def test_no_pinned_piece_of_asyncua_has_changed() -> None:
    assert asyncua_patch.changed() == []


def test_a_changed_piece_would_be_named() -> None:
    name = next(iter(asyncua_patch.PINNED))
    original = asyncua_patch.PINNED[name]
    try:
        asyncua_patch.PINNED[name] = "0" * 32
        assert asyncua_patch.changed() == [name]
    finally:
        asyncua_patch.PINNED[name] = original
