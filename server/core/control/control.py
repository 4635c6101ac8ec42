"""The stage `control` of the cycle: permissives, machines of the racks, limits, states.

It knows racks and what is wanted of them, not who wants it: `look` comes before the commands under way take their next
step, `step` after it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from information_model.enumerations import Desired, OperatingState
from information_model.points.row import Level
from server.config.site import Site
from server.core.board import Board
from server.core.control.feedback import Feedback
from server.core.control.limits import Limits
from server.core.control.permissives import Permissives
from server.core.control.racks import Racks, Situation
from server.core.control.states import States
from server.core.event_pen import EventPen
from server.core.now import Now
from server.core.protection.actions import Demand
from server.core.protection.protection import Protection
from server.runtime.records import ModeRecord, RecordKind

MACHINE = "rack"
Blocks = dict[str, dict[str, NDArray[Any]]]


class Control:
    """Everything that decides what is asked of the racks."""

    def __init__(self, site: Site, board: Board, pen: EventPen, protection: Protection) -> None:
        n = len(site.racks)
        self.site, self._board, self._pen, self._protection = site, board, pen, protection
        self._names = [element.name for element in site.topology.of_level(Level.RACK)]
        self.feedback = Feedback(board, n)
        self.racks = Racks(n, self.feedback, self._moved)
        self.permissives = Permissives(site, board, self.racks, self.feedback)
        self.limits = Limits(site, board)
        self.states = States(site, board, self.racks, self.feedback, self.permissives, protection.quantities)
        self._order = {
            plan.process: np.array([source.rack.ordinal for source in plan.sources], np.int64) for plan in site.inputs
        }
        self._lease_s = site.file.core.lease_s
        self._alive = 0

    def _moved(self, rack: int, old: OperatingState, new: OperatingState, reason: str, now: Now) -> None:
        record = ModeRecord(self._names[rack], MACHINE, old.name, new.name, reason)
        self._pen.append(RecordKind.MODE, record, now)

    def look(self, now: Now) -> None:
        """What the racks say in this cycle, and what may be closed."""
        self.feedback.step()
        self.permissives.step(self._pen.writable, self._protection.quantities.quiet, now)

    def step(self, demand: Demand, authority: dict[Level, NDArray[np.int64]], now: Now) -> None:
        """Move the racks, then limits and states. `authority`: the codes in force by level."""
        board, racks, quantities = self._board, self.racks, self._protection.quantities
        n = len(self._names)
        no = np.zeros(n, np.bool_)
        tripped = board.true(Level.RACK, "Protection.TripActive")
        seen = board.true(Level.RACK, "Permissives.FirstFrameSeen")
        racks.step(
            Situation(
                permitted=self.permissives.permitted,
                may_believe=no if seen is None else seen,
                must_open=demand.open,
                opens_once=demand.open_once,
                faulted=no if tripped is None else tripped,
                below_break=quantities.below_break,
            ),
            now,
        )
        heard = board.true(Level.RACK, "Permissives.CommunicationGood")
        self.limits.step(racks.is_closed, no if heard is None else heard, demand, now)
        self.states.step(self.limits.derated, authority, now.utc_ns)
        lease_s = np.where(racks.commanded == Desired.NOTHING, 0.0, self._lease_s)
        board.measure(Level.RACK, "Control.LeaseRemaining", lease_s, now.utc_ns)

    def outputs(self, now: Now) -> Blocks:
        """Columns of the output block of each field process."""
        self._alive = (self._alive + 1) % 2**32
        racks = self.racks
        asked = racks.commanded != Desired.NOTHING
        lease_ns = now.mono_ns + int(self._lease_s * 1e9)
        columns = {
            "desired": racks.commanded,
            "charge_limit_a": np.where(asked, self.limits.charge.rack_a, 0.0),
            "discharge_limit_a": np.where(asked, self.limits.discharge.rack_a, 0.0),
            "reset_counter": racks.reset_counter,
            "lease_until_mono_ns": np.where(asked, lease_ns, 0),
            "alive": np.full(len(asked), self._alive, np.uint32),
        }
        return {
            process: {name: column[order] for name, column in columns.items()} for process, order in self._order.items()
        }
