"""The control of one simulated rack: contactors, precharge, supervision of who commands it, its own failures."""

from collections.abc import Callable
from dataclasses import dataclass

from adapters.simulator.layout import RequestWord, Supervision
from information_model.enumerations import ConnectionFailure, DoublePoint, OperatingState

FASTEST_S, SLOWEST_S = 0.08, 0.3
"""What a contactor takes from its coil to its feedback."""
LEASE_S, OPEN_AFTER_S = 1.0, 6.0
"""Without a valid command for so long: zero current at once, then opening."""
PRECHARGED_V = 5.0
_CLOSING_S = 3.0
_OPENING_S = 1.5
_ALIVE_CODES = 256
_WORDS = frozenset(RequestWord)
POSITIVE, NEGATIVE, PRECHARGE = range(3)


@dataclass
class Command:
    """A command frame whose check sum was right."""

    desired: int
    charge_limit_a: float
    discharge_limit_a: float
    reset: int
    alive: int


@dataclass
class Defects:
    """What is broken in a rack at this moment; set by the faults."""

    welded: tuple[bool, bool, bool] = (False, False, False)
    blocked: tuple[bool, bool, bool] = (False, False, False)
    precharge_open: bool = False
    interlock_open: bool = False
    fuse_open: bool = False
    short_circuit: bool = False


class Contactor:
    """One contactor: its coil acts at once, its contacts follow."""

    def __init__(self, delay_s: Callable[[], float], *, closed: bool) -> None:
        self._delay_s = delay_s
        self.closed = self._wanted = closed
        self._due_s = 0.0
        self.moving = False

    def command(self, closed: bool, now_s: float) -> None:
        """Energise the coil or not."""
        if closed != self._wanted:
            self._wanted = closed
            self._due_s = now_s + self._delay_s()
            self.moving = closed != self.closed

    def step(self, now_s: float, *, welded: bool, blocked: bool) -> None:
        """Move the contacts when they are due; a weld never opens, a blocked one never closes."""
        if self.closed == self._wanted or now_s < self._due_s:
            self.moving = self.moving and self.closed != self._wanted
            return
        self.moving = False
        if (self.closed and not welded) or (not self.closed and not blocked):
            self.closed = self._wanted

    @property
    def unsettled(self) -> bool:
        """Whether coil and contacts differ: still moving, welded or blocked."""
        return self.closed != self._wanted

    @property
    def position(self) -> DoublePoint:
        """Feedback of the auxiliary contact."""
        if self.moving:
            return DoublePoint.INTERMEDIATE
        return DoublePoint.CLOSED if self.closed else DoublePoint.OPEN


class RackControl:
    """State machine of one rack. It obeys commands that are alive and goes to its safe state when they cease."""

    def __init__(self, delay_s: Callable[[], float], *, connected: bool, now_s: float = 0.0) -> None:
        self.contactors = tuple(
            Contactor(delay_s, closed=connected and which != PRECHARGE) for which in (POSITIVE, NEGATIVE, PRECHARGE)
        )
        self.state = OperatingState.CLOSED if connected else OperatingState.OFF
        self.failure = ConnectionFailure.NONE
        self.supervision = Supervision.NEVER_COMMANDED
        self.defects = Defects()
        self.reset_echo = 0
        self._wanted = connected
        self._alive: int | None = None
        self._reset: int | None = None
        self._valid_s = self._since_s = self._alive_s = now_s
        self._limits_a = (0.0, 0.0)

    @property
    def limits_a(self) -> tuple[float, float]:
        """(charge, discharge) that are commanded now; zero without a valid command."""
        return self._limits_a if self.supervision is Supervision.COMMANDED else (0.0, 0.0)

    @property
    def moving(self) -> bool:
        """Whether something happens in it that wants to be looked at every 100 ms."""
        resting = self.state in (OperatingState.OFF, OperatingState.CLOSED, OperatingState.FAULT)
        wanted = self._wanted == (self.state is OperatingState.CLOSED) or self.state is OperatingState.FAULT
        return not (resting and wanted) or any(contactor.unsettled for contactor in self.contactors)

    @property
    def conducting(self) -> bool:
        """Whether the string hangs on the DC bus."""
        positive, negative, _ = self.contactors
        return positive.closed and negative.closed and not self.defects.fuse_open

    @property
    def precharging(self) -> bool:
        """Whether the string charges the DC bus through the resistor."""
        _, negative, precharge = self.contactors
        whole = not self.defects.fuse_open and not self.defects.precharge_open
        return precharge.closed and negative.closed and whole

    def receive(self, command: Command, now_s: float) -> bool:
        """Take a command whose check sum is right; False when its counter or request word is not."""
        # After a silence the counter of whoever commands next says nothing yet.
        before = self._alive if now_s - self._alive_s <= LEASE_S else None
        self._alive, self._alive_s = command.alive, now_s
        if before is None:
            return False  # an advance has to be seen first
        distance = (command.alive - before) % _ALIVE_CODES
        if not 1 <= distance <= _ALIVE_CODES // 2 or command.desired not in _WORDS:
            return False
        self._valid_s = now_s
        self.supervision = Supervision.COMMANDED
        self._limits_a = command.charge_limit_a, command.discharge_limit_a
        if command.desired != RequestWord.NONE:
            self._wanted = command.desired == RequestWord.CLOSE
        if self._reset is not None and command.reset != self._reset:
            self._try_reset()
        self._reset = self.reset_echo = command.reset
        return True

    def _try_reset(self) -> None:
        if self.state is OperatingState.FAULT and not any(contactor.closed for contactor in self.contactors):
            self.state, self.failure = OperatingState.OFF, ConnectionFailure.NONE

    def step(self, now_s: float, rack_v: float, bus_v: float) -> None:
        """Contacts, supervision and state at `now_s`; voltages on both sides of the positive contactor."""
        for contactor, welded, blocked in zip(self.contactors, self.defects.welded, self.defects.blocked, strict=True):
            contactor.step(now_s, welded=welded, blocked=blocked)
        self._supervise(now_s)
        self._protect(now_s)
        match self.state:
            case OperatingState.OFF:
                if self._wanted:
                    self._enter(OperatingState.PRECHARGE, now_s)
            case OperatingState.PRECHARGE:
                self._close(now_s, rack_v, bus_v)
            case OperatingState.CLOSED:
                if not self._wanted:
                    self._enter(OperatingState.OPENING, now_s)
            case OperatingState.OPENING:
                self._open(now_s)
            case _:
                self._drop(now_s)

    def _enter(self, state: OperatingState, now_s: float) -> None:
        self.state, self._since_s = state, now_s

    def _fail(self, failure: ConnectionFailure, now_s: float) -> None:
        self.failure = failure
        self._enter(OperatingState.FAULT, now_s)

    def _supervise(self, now_s: float) -> None:
        age = now_s - self._valid_s
        if age > OPEN_AFTER_S:
            self._wanted = False
            self.supervision = Supervision.OPENED
        elif age > LEASE_S:
            self.supervision = Supervision.ZERO_CURRENT

    def _protect(self, now_s: float) -> None:
        """What the hardware of the rack does by itself."""
        if self.state is OperatingState.FAULT:
            return
        defects = self.defects
        if defects.short_circuit:
            self._fail(ConnectionFailure.RACK_FAULT, now_s)
        elif defects.fuse_open and self._wanted:
            self._fail(ConnectionFailure.FUSE_OPEN, now_s)
        elif defects.interlock_open and (self._wanted or self.state is not OperatingState.OFF):
            self._fail(ConnectionFailure.BUTTON, now_s)

    def _close(self, now_s: float, rack_v: float, bus_v: float) -> None:
        """Negative, precharge, positive, each after the feedback of the one before; then the resistor is taken off."""
        positive, negative, precharge = self.contactors
        if not self._wanted:
            self._enter(OperatingState.OPENING, now_s)
            return
        negative.command(True, now_s)
        if negative.closed:
            precharge.command(True, now_s)
        if precharge.closed and abs(rack_v - bus_v) < PRECHARGED_V:
            positive.command(True, now_s)
        if positive.closed:
            precharge.command(False, now_s)
            self._enter(OperatingState.CLOSED, now_s)
        elif now_s - self._since_s > _CLOSING_S:
            matched = abs(rack_v - bus_v) < PRECHARGED_V
            stuck = not negative.closed or not precharge.closed or matched
            self._fail(ConnectionFailure.CONTACTOR if stuck else ConnectionFailure.PRECHARGE, now_s)

    def _drop(self, now_s: float) -> None:
        """Positive and precharge open; negative after them, so that one contactor alone breaks the current."""
        positive, negative, precharge = self.contactors
        positive.command(False, now_s)
        precharge.command(False, now_s)
        if not positive.closed or now_s - self._since_s > 2 * SLOWEST_S:
            negative.command(False, now_s)

    def _open(self, now_s: float) -> None:
        self._drop(now_s)
        if not any(contactor.closed for contactor in self.contactors):
            self._enter(OperatingState.OFF, now_s)
        elif now_s - self._since_s > _OPENING_S:
            self._fail(ConnectionFailure.CONTACTOR, now_s)
