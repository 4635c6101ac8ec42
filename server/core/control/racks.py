"""The state machine of a rack, over all racks at once.

Wanted is what people and protection have decided, commanded is what goes out, and the state follows the feedback alone:
CLOSED means that both main contactors were seen closed. The rack sequences its own precharge. A trip and an emergency
open in three steps: ask for zero current, wait until the current is below what contactors may break or 3 s have
passed, open. An ordinary opening does not break current: where the current does not fall within 8 s it is given up.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from information_model.enumerations import Desired, OperatingState
from server.core.control.feedback import CONTACTORS, Feedback
from server.core.now import Now

Flags = NDArray[np.bool_]
S = OperatingState
CLOSE_LIMIT_NS = 5_000_000_000
BREAK_WAIT_NS = 3_000_000_000
ORDINARY_WAIT_NS = 8_000_000_000
OPEN_LIMIT_NS = 2_000_000_000
WELD_NS = 1_000_000_000


@dataclass
class Situation:
    """What the machine is told in a cycle, [racks]."""

    permitted: Flags
    """Every permissive for closing is true."""
    may_believe: Flags
    """The rack has been heard since the core started: its counter has advanced twice."""
    must_open: Flags
    """Protection demands it."""
    opens_once: Flags
    """A limit that opens has arisen in this cycle."""
    faulted: Flags
    """A trip is active or latched."""
    below_break: Flags


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of the table: racks in `sources` for which `condition` holds go to `target`."""

    sources: tuple[OperatingState, ...]
    condition: str
    target: OperatingState
    reason: str


# The first line that applies moves a rack; it moves once in a cycle.
TABLE = (
    Transition((S.PRECHARGE, S.CLOSED), "must_open", S.OPENING, "protection"),
    Transition((S.PRECHARGE, S.CLOSED), "not_wanted", S.OPENING, "command"),
    Transition((S.PRECHARGE,), "closed", S.CLOSED, "feedback"),
    Transition((S.PRECHARGE,), "close_late", S.OPENING, "not closed in time"),
    Transition((S.CLOSED,), "opened", S.OFF, "opened by itself"),
    Transition((S.OPENING,), "opened", S.OFF, "feedback"),
    Transition((S.OPENING,), "current_stays", S.CLOSED, "the current does not fall"),
    Transition((S.OPENING,), "open_late", S.FAULT, "not opened in time"),
    Transition((S.OFF, S.STANDBY), "closed", S.OPENING, "found closed although nobody asked"),
    Transition((S.OFF, S.STANDBY), "faulted", S.FAULT, "trip"),
    Transition((S.FAULT,), "well", S.OFF, "trip gone"),
    Transition((S.OFF, S.STANDBY), "close_now", S.PRECHARGE, "command"),
    Transition((S.OFF,), "ready", S.STANDBY, ""),
    Transition((S.STANDBY,), "not_ready", S.OFF, ""),
)

_SOURCES = [np.isin(np.arange(len(S)), line.sources) for line in TABLE]
"""By line of the table: whether a state is one of its sources."""

OnMove = Callable[[int, OperatingState, OperatingState, str, Now], None]
"""(rack, from, to, reason, when)"""


class Racks:
    """States, wishes and commands of all racks, [racks]."""

    def __init__(self, racks: int, feedback: Feedback, on_move: OnMove) -> None:
        self._feedback, self._on_move = feedback, on_move
        self.state = np.full(racks, int(S.OFF), np.uint8)
        self.since_ns = np.zeros(racks, np.int64)
        self.wanted = np.zeros(racks, np.bool_)
        self.enabled = np.ones(racks, np.bool_)
        self.emergency = np.zeros(racks, np.bool_)
        """The present opening is to happen as fast as the break-current rule allows."""
        self.adopted = np.zeros(racks, np.bool_)
        """The rack has been seen since the core started; before that nothing is requested of it."""
        self.opening_before = np.zeros(racks, np.bool_)
        """The core before this one was opening the rack: that is finished, not taken over."""
        self.breaking = np.zeros(racks, np.bool_)
        self.breaking_since_ns = np.zeros(racks, np.int64)
        self.precharged = np.zeros(racks, np.bool_)
        self.close_failures = np.zeros(racks, np.int64)
        self.precharge_failures = np.zeros(racks, np.int64)
        self.last_failure_ns = np.zeros(racks, np.int64)
        self.recent_failures: list[list[int]] = [[] for _ in range(racks)]
        self.operations = {name: np.zeros(racks, np.int64) for name in CONTACTORS}
        self.welded = {name: np.zeros(racks, np.bool_) for name in CONTACTORS}
        self.reset_counter = np.zeros(racks, np.uint32)
        self.commanded = np.zeros(racks, np.uint8)
        self._open_since_ns = np.zeros(racks, np.int64)
        self._was_closed: dict[str, Flags] = {}

    @property
    def is_closed(self) -> Flags:
        """Racks in the state CLOSED."""
        return np.asarray(self.state == S.CLOSED)

    def step(self, situation: Situation, now: Now) -> None:
        """Adopt, move, command, count."""
        feedback = self._feedback
        self._adopt(situation, now)
        self._break(situation, now)
        self._count_operations()
        conditions = self._conditions(situation, now)
        free = self.adopted.copy()
        for line, sources in zip(TABLE, _SOURCES, strict=True):
            at = conditions[line.condition] & sources[self.state] & free
            if at.any():
                free &= ~at
                for rack in np.flatnonzero(at).tolist():
                    self._move(rack, line, now)
        self.precharged |= (self.state == S.PRECHARGE) & feedback.is_closed.get("Precharge", False)
        self._command()
        self._find_welds(now)

    def _adopt(self, situation: Situation, now: Now) -> None:
        """Take a rack over as it is: closed ones stay closed, unless the core before was opening them."""
        fresh = ~self.adopted & situation.may_believe & self._feedback.known
        for rack in np.flatnonzero(fresh).tolist():
            self.adopted[rack] = True
            closed = bool(self._feedback.closed[rack])
            wanted = closed and not self.opening_before[rack] and bool(self.enabled[rack])
            self.wanted[rack] = wanted
            if closed:
                self._enter(rack, S.CLOSED, "taken over", now)

    def _break(self, situation: Situation, now: Now) -> None:
        """Which openings may break the current now."""
        waited = now.mono_ns - self.since_ns
        urgent = self.emergency | situation.must_open
        may = (self.state == S.OPENING) & (situation.below_break | (urgent & (waited >= BREAK_WAIT_NS)))
        begun = may & ~self.breaking
        self.breaking_since_ns[begun] = now.mono_ns
        self.breaking |= begun

    def _conditions(self, situation: Situation, now: Now) -> dict[str, Flags]:
        feedback = self._feedback
        waited = now.mono_ns - self.since_ns
        opening = self.state == S.OPENING
        urgent = self.emergency | situation.must_open
        well = ~situation.faulted & ~situation.must_open & feedback.opened & ~self.any_weld
        wish = self.wanted & self.enabled
        return {
            "must_open": situation.must_open | situation.opens_once,
            "not_wanted": ~wish,
            "closed": feedback.closed,
            "opened": feedback.opened,
            "close_late": waited >= CLOSE_LIMIT_NS,
            "current_stays": opening & ~self.breaking & ~urgent & feedback.closed & (waited >= ORDINARY_WAIT_NS),
            "open_late": self.breaking & (now.mono_ns - self.breaking_since_ns >= OPEN_LIMIT_NS),
            "faulted": situation.faulted | situation.must_open,
            "well": well,
            "close_now": wish & situation.permitted & ~situation.must_open & ~situation.faulted & feedback.opened,
            "ready": situation.permitted,
            "not_ready": ~situation.permitted,
        }

    def _move(self, rack: int, line: Transition, now: Now) -> None:
        old, new = S(int(self.state[rack])), line.target
        if line.condition == "must_open" or (line.condition == "closed" and new is S.OPENING):
            self.emergency[rack] = True
        if line.condition == "current_stays":
            self.wanted[rack] = True
        elif line.condition == "close_late":
            self._failed_to_close(rack, now)
        elif old is S.PRECHARGE and new is S.CLOSED:
            self.close_failures[rack] = self.precharge_failures[rack] = 0
        if new in (S.OPENING, S.OFF, S.FAULT) and line.condition not in ("not_ready",):
            self.wanted[rack] = False
        if new is S.PRECHARGE:
            self.precharged[rack] = False
        self._enter(rack, new, line.reason, now, old)

    def _enter(self, rack: int, new: OperatingState, reason: str, now: Now, old: OperatingState | None = None) -> None:
        old = S(int(self.state[rack])) if old is None else old
        self.state[rack] = int(new)
        self.since_ns[rack] = now.mono_ns
        self.breaking[rack] = False
        if new is not S.OPENING:
            self.emergency[rack] = False
        if reason:
            self._on_move(rack, old, new, reason, now)

    def _failed_to_close(self, rack: int, now: Now) -> None:
        positive = self._feedback.is_closed.get("Positive")
        if self.precharged[rack] and positive is not None and not positive[rack]:
            self.precharge_failures[rack] += 1
        else:
            self.close_failures[rack] += 1
        self.last_failure_ns[rack] = now.mono_ns
        self.recent_failures[rack] = [*self.recent_failures[rack][-9:], now.mono_ns]

    def _command(self) -> None:
        """What goes out: nothing before the rack is known, else open or closed."""
        state = self.state
        close = (state == S.PRECHARGE) | (state == S.CLOSED) | ((state == S.OPENING) & ~self.breaking)
        wish = np.where(close, int(Desired.CLOSED), int(Desired.OPEN))
        self.commanded = np.where(self.adopted, wish, int(Desired.NOTHING)).astype(np.uint8)

    def _count_operations(self) -> None:
        for name, closed in self._feedback.is_closed.items():
            before = self._was_closed.get(name)
            was_open = self._feedback.is_open[name]
            if before is None:
                self._was_closed[name] = closed.copy()
                continue
            self.operations[name] += closed & ~before
            self._was_closed[name] = (before | closed) & ~was_open

    def _find_welds(self, now: Now) -> None:
        """A contactor that is still closed one second after opening was commanded is welded, until it is seen open."""
        asked = self.commanded == Desired.OPEN
        self._open_since_ns[~(asked & self._feedback.known)] = now.mono_ns
        late = asked & (now.mono_ns - self._open_since_ns >= WELD_NS)
        for name in self._feedback.names:
            self.welded[name] |= late & self._feedback.is_closed[name]
            self.welded[name] &= ~self._feedback.is_open[name]

    @property
    def any_weld(self) -> Flags:
        """Racks with a welded contactor."""
        return np.asarray(self.welded["Positive"] | self.welded["Negative"] | self.welded["Precharge"])

    def forget_failures(self, rack: int) -> None:
        """A reset: the counts of failures begin anew, and the rack is asked to reset too."""
        self.close_failures[rack] = self.precharge_failures[rack] = 0
        self.recent_failures[rack] = []
        self.reset_counter[rack] += np.uint32(1)
