"""Who may command what: the authority of each element, and what it means for where a command comes from.

Priority: protection, local, maintenance, station, remote, schedule. `Remote` includes station and schedule. Opening is
never refused to the people on site, and an emergency disconnection to nobody who has the role.
"""

import numpy as np
from numpy.typing import NDArray

from information_model.commands import OPENING, Command, Effect
from information_model.enumerations import Authority
from information_model.points.row import PLANT, Level
from information_model.roles import Origin, Role
from information_model.topology import Element, Topology

_BY_RANK = np.array([Authority.REMOTE, Authority.MAINTENANCE, Authority.LOCAL], np.int64)
_RANK = np.array([0, 2, 0, 1])
"""Rank by the code of an authority: the strictest has the highest."""


class Authorities:
    """The authority set at each element; in force is the strictest of the element and its parents."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self.own = {level: np.full(topology.count(level), int(Authority.REMOTE)) for level in PLANT}

    def in_force(self, element: Element) -> Authority:
        """Local before maintenance before remote."""
        ranks = [_RANK[self.own[e.level][e.ordinal]] for e in (element, *self._topology.ancestors(element))]
        return Authority(int(_BY_RANK[max(ranks)]))

    def codes(self) -> dict[Level, NDArray[np.int64]]:
        """The authority in force of every element by level."""
        rank = {level: _RANK[own] for level, own in self.own.items()}
        system = rank[Level.SYSTEM]
        array = np.maximum(rank[Level.ARRAY], system[0])
        rack = np.maximum(rank[Level.RACK], array[self._topology.rack_array])
        return {Level.SYSTEM: _BY_RANK[system], Level.ARRAY: _BY_RANK[array], Level.RACK: _BY_RANK[rack]}

    def give(self, element: Element, authority: Authority) -> None:
        """Set the authority at an element and at everything below it."""
        for level in PLANT:
            for other in self._topology.of_level(level):
                if other is element or element in self._topology.ancestors(other):
                    self.own[level][other.ordinal] = int(authority)

    def refusal(self, command: Command, element: Element, origin: Origin, roles: set[Role], argument: int) -> str:
        """Why a command is not for this origin now, or an empty text."""
        if command.effect is Effect.OPEN_AT_ONCE:
            return ""
        authority = self.in_force(element)
        local = origin is Origin.LOCAL
        if command.effect is Effect.SET_AUTHORITY:
            return self._set_refusal(authority, argument, local=local)
        if local and command.effect in OPENING:
            return ""
        if authority not in command.authorities:
            return f"{command.name} is not allowed while the authority is {authority.name.lower()}"
        if authority is Authority.LOCAL and not local:
            return "the authority is local: commands are accepted on site only"
        if authority is Authority.REMOTE and local:
            return "the authority is remote: take it over with SetAuthority first"
        if authority is Authority.MAINTENANCE and not local and Role.ENGINEER not in roles:
            return "the element is in maintenance: only an engineer or the people on site may command it"
        return ""

    def _set_refusal(self, authority: Authority, argument: int, *, local: bool) -> str:
        if argument == Authority.LOCAL and not local:
            return "local authority is taken on site only"
        if authority is Authority.LOCAL and not local:
            return "the authority is local: it is given back on site only"
        return ""
