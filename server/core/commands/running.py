"""Commands on their way: accepted, being carried out, done or failed when the feedback says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import numpy as np

from information_model.commands import Command, Effect
from information_model.enumerations import OperatingState
from information_model.points.row import Level
from information_model.topology import Element
from server.config.site import Site
from server.core.board import Board
from server.core.control.feedback import Feedback
from server.core.control.permissives import Permissives
from server.core.control.racks import Racks
from server.core.now import Now

S = OperatingState


@dataclass
class Running:
    """A command that has been accepted and not yet ended."""

    id: str
    sequence: int
    command: Command
    element: Element
    racks: list[int]
    until_ns: int
    asked: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)


class Ending(Enum):
    """How a command ends. Superseded is a failure that nobody need look after."""

    DONE = "done"
    UNCONFIRMED = "unconfirmed"
    SUPERSEDED = "superseded"


Finish = Callable[[Running, Ending, str, Now], None]
"""(command, how it ended, message, when)"""


class Way(NamedTuple):
    """How an effect is carried out: once when it is accepted, then in every cycle until it ends."""

    begin: Callable[[Running], None]
    step: Callable[[Running, Now], None]


class Runner:
    """Carries commands out, cycle by cycle. Racks of one array are connected one after another."""

    def __init__(
        self, site: Site, board: Board, racks: Racks, feedback: Feedback, permissives: Permissives, finish: Finish
    ) -> None:
        self._board, self._racks, self._feedback, self._permissives = board, racks, feedback, permissives
        self._rack_array = site.topology.rack_array
        self._names = [element.name for element in site.topology.of_level(Level.RACK)]
        self._finish = finish
        self.ways = {
            Effect.CONNECT: Way(self._leave, self._connect),
            Effect.OPEN: Way(self._give_up, self._open),
            Effect.OPEN_AT_ONCE: Way(self._hurry, self._open_at_once),
            Effect.OPEN_AND_DISABLE: Way(self._disable, self._open),
        }
        """The effects that take time; one that does not stand here is not carried out at all."""
        self.running: list[Running] = []

    def overlapping(self, element: Element) -> list[Running]:
        """Commands under way on an element, on one above or on one below it."""
        return [r for r in self.running if _related(r.element.name, element.name)]

    def start(self, running: Running) -> None:
        """Take a command over; an opening one acts at once. KeyError where nothing carries its effect out."""
        self.ways[running.command.effect].begin(running)
        self.running.append(running)

    def step(self, now: Now) -> None:
        """Look at the feedback of every command under way, and take the next step of those that have several."""
        for running in list(self.running):
            self.ways[running.command.effect].step(running, now)

    def _end(self, running: Running, message: str, ending: Ending, now: Now) -> None:
        self.running.remove(running)
        self._finish(running, ending, message, now)

    def supersede(self, running: Running, by: str, racks: Sequence[int], now: Now) -> None:
        """A stronger command takes racks away from it; it ends when it has none left."""
        running.racks = [rack for rack in running.racks if rack not in racks]
        running.asked -= set(racks)
        if not running.racks:
            self._end(running, f"superseded by {by}", Ending.SUPERSEDED, now)

    def _leave(self, running: Running) -> None:
        """Racks are asked one by one, cycle by cycle."""

    def _give_up(self, running: Running) -> None:
        self._racks.wanted[running.racks] = False

    def _hurry(self, running: Running) -> None:
        self._give_up(running)
        self._racks.emergency[running.racks] = True

    def _disable(self, running: Running) -> None:
        self._racks.enabled[running.racks] = False
        self._give_up(running)

    def _open_at_once(self, running: Running, now: Now) -> None:
        mine = np.array(running.racks)
        self._racks.emergency[mine] |= self._racks.state[mine] == S.OPENING
        self._open(running, now)

    def _open(self, running: Running, now: Now) -> None:
        racks, feedback = self._racks, self._feedback
        mine = np.array(running.racks)
        left = mine[~feedback.opened[mine]]
        if not len(left):
            self._end(running, "", Ending.DONE, now)
            return
        stayed = left[racks.wanted[left]]
        if len(stayed) == len(left):
            self._end(running, f"the current does not fall: {self._list(stayed.tolist())}", Ending.UNCONFIRMED, now)
        elif now.mono_ns >= running.until_ns:
            self._end(running, f"not confirmed open: {self._list(left.tolist())}", Ending.UNCONFIRMED, now)

    def _connect(self, running: Running, now: Now) -> None:
        racks = self._racks
        for rack in running.asked - set(running.failed):
            if racks.state[rack] not in (S.PRECHARGE, S.CLOSED):
                running.failed[rack] = "not confirmed" if racks.state[rack] != S.FAULT else "fault"
                racks.wanted[rack] = False
        late = now.mono_ns >= running.until_ns
        if not late:
            busy = [self._next(running, array) for array in np.unique(self._rack_array[running.racks]).tolist()]
            if any(busy):
                return
        self._end_connect(running, now, late=late)

    def _next(self, running: Running, array: int) -> bool:
        """Ask the next rack of an array when none is on its way; False where nothing is left to do."""
        racks = self._racks
        of_array = np.flatnonzero(self._rack_array == array)
        if np.isin(racks.state[of_array], (S.PRECHARGE, S.OPENING)).any():
            return True
        waiting = [
            rack
            for rack in running.racks
            if self._rack_array[rack] == array
            and rack not in running.asked
            and racks.state[rack] != S.CLOSED
            and self._permissives.permitted[rack]
        ]
        if not waiting:
            return False
        rack = self._nearest(waiting, of_array)
        running.asked.add(rack)
        racks.wanted[rack] = True
        return True

    def _nearest(self, waiting: list[int], of_array: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> int:
        """The rack nearest to the bus; the first one nearest to the middle, so that most others can follow."""
        voltage = self._board.numbers(Level.RACK, "Measurements.DcVoltage")
        if voltage is None:
            return waiting[0]
        live = of_array[self._racks.is_closed[of_array]]
        target = np.nanmean(voltage[live]) if len(live) else np.nanmedian(voltage[waiting])
        distance = np.nan_to_num(np.abs(voltage[waiting] - target), nan=np.inf)
        return waiting[int(distance.argmin())]

    def _end_connect(self, running: Running, now: Now, *, late: bool) -> None:
        racks = self._racks
        closed = [rack for rack in running.racks if racks.state[rack] == S.CLOSED]
        for rack in running.racks:
            if rack not in closed and rack not in running.failed:
                running.failed[rack] = "not in time" if late and rack in running.asked else "not permitted"
                racks.wanted[rack] = False
        missing = ", ".join(f"{self._names[rack]} ({why})" for rack, why in sorted(running.failed.items()))
        ending = Ending.DONE if closed else Ending.UNCONFIRMED
        if len(running.racks) == 1:
            self._end(running, missing, ending, now)
            return
        text = f"{len(closed)} of {len(running.racks)} racks connected"
        self._end(running, f"{text}; left out: {missing}" if missing else text, ending, now)

    def _list(self, racks: Sequence[int]) -> str:
        return ", ".join(self._names[rack] for rack in racks)


def _related(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
