"""The arbiter: every request of a face is judged here, by one set of rules, whoever asks.

The order of the checks: known command and target, role, arguments, authority, repetition, what is under way, permissives.
The first one that fails is the reason of the refusal; a permissive that is false is named as `level:Name`. Nothing is
executed here.
"""

import collections
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from information_model.commands import BY_NAME, MOVING, OPENING, Argument, Command, Effect
from information_model.enumerations import RefusalReason
from information_model.roles import Origin, Role
from information_model.topology import Element, Topology
from server.core.board import Board
from server.core.commands.authority import Authorities
from server.core.commands.running import Runner
from server.core.now import Now
from server.runtime.link import Request

REPETITION_NS = 1_000_000_000
REMEMBERED = 256


@dataclass(frozen=True)
class Verdict:
    """Accepted where `reason` is NONE."""

    reason: RefusalReason
    message: str = ""
    permissives: list[str] = field(default_factory=list)
    command: Command | None = None
    element: Element | None = None


class Arbiter:
    """Judges commands. `handled`: the effects that somebody carries out; any other is refused."""

    def __init__(
        self,
        topology: Topology,
        board: Board,
        authorities: Authorities,
        runner: Runner,
        handled: Collection[Effect],
    ) -> None:
        self._topology, self._board = topology, board
        self._authorities, self._runner, self._handled = authorities, runner, handled
        self._recent: collections.deque[tuple[int, str]] = collections.deque(maxlen=REMEMBERED)

    def judge(self, request: Request, now: Now) -> Verdict:
        """Whether a command may be carried out now."""
        command, element = BY_NAME.get(request.command), self._topology.by_name.get(request.target)
        no = _Refusal(command, element)
        if command is None:
            return no(RefusalReason.NOT_SUPPORTED, f"{request.command!r} is not a command")
        if command.effect not in self._handled:
            return no(RefusalReason.NOT_SUPPORTED, f"{command.name} has an effect that nothing here carries out")
        if element is None:
            return no(RefusalReason.NOT_SUPPORTED, f"{request.target!r} is not an element of this site")
        if element.level not in command.levels:
            where = ", ".join(level.name.lower() for level in command.levels)
            return no(RefusalReason.NOT_SUPPORTED, f"{command.name} exists for {where} only")
        roles = known_roles(request.roles)
        if roles.isdisjoint(command.roles):
            needed = " or ".join(role.value for role in command.roles)
            return no(RefusalReason.ROLE, f"{command.name} needs the role {needed}")
        origin = _origin(request.origin)
        if origin is None:
            return no(RefusalReason.AUTHORITY, f"origin {request.origin!r} is not known")
        wrong = check_arguments(command, request.arguments)
        if wrong:
            return no(RefusalReason.RANGE, wrong)
        authority = self._authorities.refusal(
            command, element, origin, roles, int(request.arguments.get("Authority", 0))
        )
        if authority:
            return no(RefusalReason.AUTHORITY, authority)
        key = f"{request.user}|{request.face}|{request.target}|{request.command}|{sorted(request.arguments.items())}"
        repeated = any(known == key and now.mono_ns - at < REPETITION_NS for at, known in self._recent)
        if repeated and command.effect not in OPENING:
            return no(RefusalReason.DUPLICATE, "the same command was given a moment ago")
        under_way = [r for r in self._runner.overlapping(element) if not overtakes(command, r.command)]
        if under_way and command.effect in MOVING:
            first = under_way[0]
            return no(RefusalReason.BUSY, f"{first.command.name} of {first.element.name} is under way")
        false = self.false_permissives(command, element)
        if false:
            return no(RefusalReason.PERMISSIVE, f"{command.name} is not permitted now", false)
        self._recent.append((now.mono_ns, key))
        return Verdict(RefusalReason.NONE, "", [], command, element)

    def false_permissives(self, command: Command, element: Element) -> list[str]:
        """Permissives of the element and its parents that are not true; one that the site does not have is no matter."""
        found = []
        for part in (element, *self._topology.ancestors(element)):
            for name in command.permissives.get(part.level, ()):
                true = self._board.true(part.level, f"Permissives.{name}")
                if true is not None and not true[part.ordinal]:
                    found.append(f"{part.level.name.lower()}:{name}")
        return found


class _Refusal:
    def __init__(self, command: Command | None, element: Element | None) -> None:
        self._command, self._element = command, element

    def __call__(self, reason: RefusalReason, message: str, permissives: list[str] | None = None) -> Verdict:
        return Verdict(reason, message, permissives or [], self._command, self._element)


def overtakes(new: Command, old: Command) -> bool:
    """True where a command towards safety is stronger than the one under way."""
    if new.effect not in OPENING:
        return False
    if new.effect is OPENING[0] or old.effect not in OPENING:
        return True
    return OPENING.index(new.effect) < OPENING.index(old.effect)


def known_roles(names: list[str]) -> set[Role]:
    """Roles by their names; one that is not known gives nothing."""
    return {role for role in Role if role.value in names}


def _origin(name: str) -> Origin | None:
    return next((origin for origin in Origin if origin.value == name), None)


def check_arguments(command: Command, given: dict[str, Any]) -> str:
    """What is wrong with the arguments, or an empty text."""
    known = {argument.name: argument for argument in command.arguments}
    for name in given:
        if name not in known:
            return f"{name!r} is not an argument of {command.name}; it has {', '.join(known) or 'none'}"
    for name, argument in known.items():
        if name not in given:
            return f"the argument {name} is missing"
        wrong = _check(argument, given[name])
        if wrong:
            return wrong
    return ""


def _check(argument: Argument, value: Any) -> str:
    expected = f"{argument.low:g} to {argument.high:g}"
    if argument.data_type in ("LocalizedText", "String"):
        if not isinstance(value, str):
            return f"{argument.name}: {value!r} is no text"
        return "" if len(value) <= argument.high else f"{argument.name}: {len(value)} characters, allowed {expected}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"{argument.name}: {value!r} is no number"
    if argument.data_type not in ("Float", "Double") and value != int(value):
        return f"{argument.name}: {value!r} is not a whole number"
    if not argument.low <= value <= argument.high:
        return f"{argument.name}: {value!r} is not in {expected}"
    return ""
