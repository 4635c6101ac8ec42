"""What faces ask over the link: commands, acknowledgements, audit entries, notes. Recorded first, then done.

A command's sequence is the number of its last record before the answer, so an answer that waits for that number on disk
waits for all of it. Refused commands are recorded and numbered too. Settings are not served yet and are refused.
"""

from collections.abc import Callable

from information_model.commands import BY_NAME, OPENING, TABLE, Command, Effect
from information_model.enumerations import Authority, RefusalReason
from information_model.points.row import Level
from information_model.roles import Role
from information_model.topology import Element
from server.config.site import Site
from server.core.board import Board
from server.core.commands.arbiter import Arbiter, Verdict, known_roles
from server.core.commands.authority import Authorities
from server.core.commands.command_points import CommandPoints
from server.core.commands.notes import TEXT, Notes
from server.core.commands.running import Ending, Runner, Running
from server.core.control.control import Control
from server.core.event_pen import EventPen
from server.core.now import Now
from server.core.protection.alarms import ALL, Alarms
from server.runtime.link import Answer, Request
from server.runtime.records import AckRecord, CommandRecord, OutcomeRecord, RecordKind

RESTARTED = "the core was restarted while the command was under way"
NAMED = 20
"""Elements that an answer names at most."""


class Desk:
    """Takes requests. `handle` answers at once; what takes time ends later, as a record and in the points of Control."""

    def __init__(
        self,
        site: Site,
        board: Board,
        pen: EventPen,
        alarms: Alarms,
        control: Control,
    ) -> None:
        self._site, self._pen, self._alarms, self._racks = site, pen, alarms, control.racks
        self.authorities = Authorities(site.topology)
        self._runner = Runner(site, board, control.racks, control.feedback, control.permissives, self.finish)
        notes = Notes(pen)
        self._kinds: dict[str, Callable[[Request, Now], tuple[Answer, bool]]] = {
            "command": self._command,
            "acknowledge": self._acknowledge,
            "audit": notes.audit,
            "note": notes.note,
            "health": notes.health,
            "setting": self._setting,
        }
        self._immediate: dict[Effect, Callable[[Element, dict[str, object], Now], str]] = {
            Effect.ENABLE: self._enable,
            Effect.ACKNOWLEDGE: self._acknowledge_all,
            Effect.RESET: self._reset,
            Effect.SET_AUTHORITY: self._set_authority,
        }
        self._check_handlers()
        handled = (*self._immediate, *self._runner.ways)
        self._arbiter = Arbiter(site.topology, board, self.authorities, self._runner, handled)
        self._points = CommandPoints(site, board)
        self.on_acknowledge: Callable[[str, str], None] = lambda element, condition: None
        """Told of each acknowledgement: (element, condition or ALL)."""
        self.accepted = 0
        self.refused = 0

    def _check_handlers(self) -> None:
        """Every effect is carried out by exactly one handler, or the core does not start."""
        twice = self._immediate.keys() & self._runner.ways.keys()
        wanted = {*Effect, *(command.effect for command in TABLE)}
        without = [effect for effect in wanted if effect not in self._immediate and effect not in self._runner.ways]
        if twice or without:
            raise ValueError(f"effects of commands without a handler: {without}; with two handlers: {list(twice)}")

    def handle(self, request: Request, now: Now) -> tuple[Answer, bool]:
        """Answer, and whether it waits until the log is on disk."""
        return self._kinds[request.kind](request, now)

    # commands

    def _command(self, request: Request, now: Now) -> tuple[Answer, bool]:
        verdict = self._arbiter.judge(request, now)
        accepted = verdict.reason is RefusalReason.NONE
        sequence = self._record(request, verdict, now)
        if verdict.element is not None and verdict.command is not None and verdict.element.level is not Level.MODULE:
            self._points.note(verdict.element, sequence, verdict.reason)
        if not accepted or verdict.command is None or verdict.element is None:
            self.refused += 1
            return (
                Answer(
                    request.id, "refused", verdict.reason.name, verdict.message, verdict.permissives, sequence=sequence
                ),
                False,
            )
        self.accepted += 1
        message = self._begin(request, verdict.command, verdict.element, sequence, now)
        answer = Answer(request.id, "accepted", "", message or f"{verdict.command.name} accepted", sequence=sequence)
        return answer, verdict.command.waits_for_disk

    def _record(self, request: Request, verdict: Verdict, now: Now) -> int:
        sequence = self._pen.next + 1
        command = CommandRecord(
            id=request.id,
            sequence=sequence,
            command=request.command[:TEXT],
            target=request.target[:TEXT],
            arguments=_short(request.arguments),
            user=request.user[:TEXT],
            roles=[role.value for role in known_roles(request.roles)],
            origin=request.origin[:TEXT],
            face=request.face[:TEXT],
            peer=request.peer[:TEXT],
            test=request.test,
        )
        outcome = OutcomeRecord(
            id=request.id,
            sequence=sequence,
            command=command.command,
            target=command.target,
            outcome="accepted" if verdict.reason is RefusalReason.NONE else "refused",
            reason="" if verdict.reason is RefusalReason.NONE else verdict.reason.name,
            permissives=verdict.permissives,
            message=verdict.message[:TEXT],
        )
        self._pen.append(RecordKind.COMMAND, command, now)
        return self._pen.append(RecordKind.OUTCOME, outcome, now)

    def _begin(self, request: Request, command: Command, element: Element, sequence: int, now: Now) -> str:
        """Carry an accepted command out, or begin to; what the answer says."""
        racks = [rack.ordinal for rack in self._site.topology.racks_below(element)]
        running = Running(request.id, sequence, command, element, racks, now.mono_ns)
        if request.test:
            self.finish(running, Ending.DONE, "test: nothing was done", now)
            return "test: nothing is done"
        immediate = self._immediate.get(command.effect)
        if immediate is not None:
            message = immediate(element, request.arguments, now)
            if command.effect is Effect.ACKNOWLEDGE:
                self._record_acknowledgement(request, element.name, ALL, ALL, now)
            self.finish(running, Ending.DONE, message, now)
            return message
        for other in self._runner.overlapping(element):
            self._runner.supersede(other, command.name, racks, now)
        running.until_ns = now.mono_ns + int(command.timeout_s[element.level] * 1e9)
        self._runner.start(running)
        return ""

    def finish(self, running: Running, ending: Ending, message: str, now: Now) -> None:
        """A command has ended: its outcome goes to the log and to the points."""
        outcome = OutcomeRecord(
            id=running.id,
            sequence=running.sequence,
            command=running.command.name,
            target=running.element.name,
            outcome="done" if ending is Ending.DONE else "failed",
            message=message[:TEXT],
        )
        self._pen.append(RecordKind.OUTCOME, outcome, now)
        self._points.end(running.element, running.sequence, ending)

    def _enable(self, element: Element, arguments: dict[str, object], now: Now) -> str:
        self._racks.enabled[element.ordinal] = True
        return ""

    def _acknowledge_all(self, element: Element, arguments: dict[str, object], now: Now) -> str:
        count = self._alarms.acknowledge(self._alarms.below(element.name), ALL)
        self._tell_acknowledged(element.name, ALL)
        return f"{count} alarms acknowledged"

    def _reset(self, element: Element, arguments: dict[str, object], now: Now) -> str:
        """Reset the element, and below it all that may be reset; the rest is named with its permissives that are false."""
        command = BY_NAME["ResetAlarms"]
        topology = self._site.topology
        ready: list[str] = [element.name]
        left: dict[tuple[str, ...], list[str]] = {}
        for name in self._alarms.below(element.name)[1:]:
            level = topology.by_name[name].level.name.lower()
            whole = self._arbiter.false_permissives(command, topology.by_name[name])
            own = tuple(permissive for permissive in whole if permissive.startswith(f"{level}:"))
            (left.setdefault(own, []) if own else ready).append(name)
        count = self._alarms.reset(ready, now)
        for name in ready:
            if topology.by_name[name].level is Level.RACK:
                self._racks.forget_failures(topology.by_name[name].ordinal)
        parts = [f"{count} trips reset"]
        for own, names in left.items():
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            parts.append(f"left out because of {', '.join(own)}: {', '.join(names[:NAMED])}{more}")
        return "; ".join(parts)

    def _set_authority(self, element: Element, arguments: dict[str, object], now: Now) -> str:
        authority = Authority(int(str(arguments["Authority"]).partition(".")[0]))
        self.authorities.give(element, authority)
        return f"authority is {authority.name.lower()}"

    def replay(self, command: CommandRecord, now: Now) -> None:
        """Do again what an accepted command did at once; what takes time is not begun again."""
        element, known = self._site.topology.by_name.get(command.target), BY_NAME.get(command.command)
        if element is None or known is None or command.test or element.level is Level.MODULE:
            return
        if known.effect is Effect.RESET:
            # What lay below the target has records of its own; without them it stays latched, which is safe.
            self._alarms.reset([element.name], now, again=True)
        elif known.effect in self._immediate:
            self._immediate[known.effect](element, command.arguments, now)
        elif known.effect is Effect.OPEN_AND_DISABLE:
            self._racks.enabled[element.ordinal] = False

    def abandon(self, command: CommandRecord, now: Now) -> None:
        """A command of the core before this one never ended: say so, and finish what was to be opened."""
        element, known = self._site.topology.by_name.get(command.target), BY_NAME.get(command.command)
        if element is None or known is None or element.level is Level.MODULE:
            return
        racks = [rack.ordinal for rack in self._site.topology.racks_below(element)]
        if known.effect in OPENING:
            self._racks.opening_before[racks] = True
        self._points.note(element, command.sequence, RefusalReason.NONE)
        running = Running(command.id, command.sequence, known, element, racks, 0)
        self.finish(running, Ending.UNCONFIRMED, RESTARTED, now)

    def under_way(self) -> list[CommandRecord]:
        """Commands that have not ended, as a restart needs to know them."""
        return [
            CommandRecord(running.id, running.sequence, running.command.name, running.element.name)
            for running in self._runner.running
        ]

    # the other kinds

    def _acknowledge(self, request: Request, now: Now) -> tuple[Answer, bool]:
        """One condition: `target` is the element, `command` the name of the condition, `Comment` an argument."""
        if known_roles(request.roles).isdisjoint((Role.OPERATOR, Role.ENGINEER)):
            text = "acknowledging needs the role Operator or Engineer"
            return Answer(request.id, "refused", RefusalReason.ROLE.name, text), False
        index = self._alarms.places.by_name.get((request.target, request.command))
        if index is None:
            text = f"{request.target}.Conditions.{request.command} does not exist on this site"
            return Answer(request.id, "refused", RefusalReason.NOT_SUPPORTED.name, text), False
        if not self._alarms.acknowledge([request.target], request.command):
            return Answer(request.id, "refused", RefusalReason.DUPLICATE.name, "it is acknowledged already"), False
        alarm = self._alarms.places.conditions[index].alarm.name
        number = self._record_acknowledgement(request, request.target, alarm, request.command, now)
        self._tell_acknowledged(request.target, request.command)
        return Answer(request.id, "accepted", sequence=number), True

    def _record_acknowledgement(self, request: Request, element: str, alarm: str, condition: str, now: Now) -> int:
        comment = str(request.arguments.get("Comment", ""))[:TEXT]
        record = AckRecord(element, alarm, condition, request.user[:TEXT], comment, request.face[:TEXT])
        return self._pen.append(RecordKind.ACKNOWLEDGE, record, now)

    def _tell_acknowledged(self, element: str, condition: str) -> None:
        if condition in (ALL, "CommandFailed"):
            for name in self._alarms.below(element) if condition == ALL else [element]:
                self._points.forgive(self._site.topology.by_name[name])
        self.on_acknowledge(element, condition)

    def _setting(self, request: Request, now: Now) -> tuple[Answer, bool]:
        text = "settings cannot be changed at run time in this version; change the site file"
        return Answer(request.id, "refused", RefusalReason.NOT_SUPPORTED.name, text), False

    def carry_out(self, now: Now) -> None:
        """Take the next step of every command under way; before the racks move."""
        self._runner.step(now)

    def step(self, now: Now) -> None:
        """Write the group Control of all elements."""
        self._points.step(self.authorities, self._racks.wanted, self._runner.running, now.utc_ns)


def _short(arguments: dict[str, object]) -> dict[str, object]:
    """Arguments as they are recorded: a hostile number or size of them is cut."""
    few = list(arguments.items())[:16]
    return {name[:64]: value if isinstance(value, int | float | bool) else str(value)[:TEXT] for name, value in few}
