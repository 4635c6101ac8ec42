"""Errors of adapters. Only wrong configuration is raised to the host; everything else an adapter survives itself."""

from collections.abc import Iterable

from information_model.validation import InvalidConfiguration, Problem

__all__ = ["AdapterConfigurationError", "AdapterError", "BusLostError", "Problem"]


class AdapterError(Exception):
    """Base of what adapters raise."""


class AdapterConfigurationError(AdapterError, InvalidConfiguration):
    """Options, map and database do not fit together; `.problems` lists every mistake. Raised before anything opens."""

    def __init__(self, where: str, problems: Iterable[Problem]) -> None:
        InvalidConfiguration.__init__(self, where, problems)


class BusLostError(AdapterError):
    """The bus could not be opened, failed or fell silent. Handled inside the adapter: closed, reopened later."""
