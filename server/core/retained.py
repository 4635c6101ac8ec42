"""What survives a restart: the retained state, and the records of the log behind it, applied by the same functions.

The body is JSON with a version: alarms (activity, latches, acknowledgements, counts), racks (enabled, failures, counters of
operations, the reset counter), authority, estimates, and the number of clock steps. A state of another version or one
that cannot be read counts as lost: every trip that latches is then latched, and somebody has to look.
"""

import logging
from collections.abc import Iterable
from typing import Any

import msgspec

from information_model.enumerations import OperatingState
from information_model.points.row import PLANT, Level
from server.core.commands.requests import Desk
from server.core.control.control import MACHINE, Control
from server.core.now import Now
from server.core.protection.alarms import Alarms
from server.core.stages import Estimator
from server.runtime.records import (
    AckRecord,
    AlarmRecord,
    ClockRecord,
    CommandRecord,
    ModeRecord,
    OutcomeRecord,
    RecordKind,
    StartRecord,
    UnknownRecord,
    decode,
)
from server.runtime.segment import Record

log = logging.getLogger("gridbms.core")

VERSION = 1
_RACK_COUNTERS = ("close_failures", "precharge_failures", "reset_counter")


class Retained:
    """Writes and reads the body of the retained state for one core."""

    def __init__(self, alarms: Alarms, control: Control, desk: Desk, estimation: Estimator) -> None:
        self._alarms, self._control, self._desk, self._estimation = alarms, control, desk, estimation
        self._names = [element.name for element in control.site.topology.of_level(Level.RACK)]
        self._commands: dict[int, CommandRecord] = {}
        self._open: dict[int, CommandRecord] = {}
        self.epoch = 0
        self.unclean = False
        """The newest start has no stop behind it."""
        self.running = True
        """False once this core has said that it stops."""

    def body(self, now: Now) -> bytes:
        """The state now, as bytes."""
        racks = self._control.racks
        return msgspec.json.encode(
            {
                "version": VERSION,
                "utc_ns": now.utc_ns,
                "epoch": now.epoch,
                "running": self.running,
                "alarms": self._alarms.retained(),
                "racks": {
                    name: {
                        "enabled": bool(racks.enabled[i]),
                        "opening": bool(racks.state[i] == OperatingState.OPENING),
                        "operations": {key: int(count[i]) for key, count in racks.operations.items()},
                        **{key: int(getattr(racks, key)[i]) for key in _RACK_COUNTERS},
                    }
                    for i, name in enumerate(self._names)
                },
                "authority": {
                    element.name: int(self._desk.authorities.own[level][element.ordinal])
                    for level in PLANT
                    for element in self._control.site.topology.of_level(level)
                },
                "commands": [msgspec.to_builtins(r) for r in self._desk.under_way()],
                "estimates": self._estimation.retained(),
            }
        )

    def restore(self, body: bytes, now: Now) -> None:
        """Take a body over. Raises ValueError where it cannot be read."""
        try:
            content: dict[str, Any] = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise ValueError(f"retained state: {error}") from None
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise ValueError(f"retained state is not of version {VERSION}")
        try:
            self._alarms.restore(content["alarms"])
            self._restore_racks(content["racks"])
            self._restore_authority(content["authority"])
            for entry in content["commands"]:
                command = msgspec.convert(entry, CommandRecord)
                self._open[command.sequence] = command
            self.epoch = int(content["epoch"])
            self.unclean = bool(content["running"])
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
            raise ValueError(f"retained state: {error!r}") from None
        self._restore_estimates(content.get("estimates"), (now.utc_ns - int(content["utc_ns"])) / 1e9)

    def _restore_racks(self, content: dict[str, Any]) -> None:
        racks = self._control.racks
        for i, name in enumerate(self._names):
            entry = content.get(name)
            if entry is None:
                continue
            racks.enabled[i] = bool(entry["enabled"])
            racks.opening_before[i] = bool(entry["opening"])
            for key in _RACK_COUNTERS:
                getattr(racks, key)[i] = int(entry[key])
            for key, count in entry["operations"].items():
                racks.operations[key][i] = int(count)

    def _restore_authority(self, content: dict[str, Any]) -> None:
        for level in PLANT:
            for element in self._control.site.topology.of_level(level):
                if element.name in content:
                    self._desk.authorities.own[level][element.ordinal] = int(content[element.name])

    def _restore_estimates(self, content: Any, down_s: float) -> None:
        """Estimates that do not fit (another version, other racks) begin anew: nothing depends on them for safety."""
        if not content:
            return
        try:
            self._estimation.restore(content, max(0.0, down_s))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            log.warning("estimates begin anew: %s", error)

    def replay(self, records: Iterable[Record], now: Now) -> None:
        """Apply records of the log in their order; one that cannot be read is named in the program's log."""
        for record in records:
            try:
                content = decode(record)
            except UnknownRecord as error:
                log.warning("%s", error)
                continue
            self._apply(record, content, now._replace(utc_ns=record.utc_ns, mono_ns=record.mono_ns))
            self.epoch = max(self.epoch, record.time_epoch)

    def _apply(self, record: Record, content: object, then: Now) -> None:
        match content:
            case AlarmRecord():
                self._alarms.replay_alarm(content, record.utc_ns)
            case AckRecord():
                self._alarms.replay_acknowledge(content)
            case CommandRecord():
                self._commands[content.sequence] = content
            case OutcomeRecord():
                self._outcome(content, then)
            case ModeRecord() if content.machine == MACHINE and content.element in self._names:
                opening = content.new == OperatingState.OPENING.name
                self._control.racks.opening_before[self._names.index(content.element)] = opening
            case ClockRecord():
                self.epoch = max(self.epoch, content.epoch)
            case StartRecord():
                self.unclean = record.kind == RecordKind.CORE_STARTED
            case _:
                pass

    def _outcome(self, outcome: OutcomeRecord, then: Now) -> None:
        command = self._commands.pop(outcome.sequence, None) or self._open.get(outcome.sequence)
        if outcome.outcome == "accepted" and command is not None:
            self._open[outcome.sequence] = command
            self._desk.replay(command, then)
        elif outcome.outcome in ("done", "failed"):
            self._open.pop(outcome.sequence, None)

    def finish(self, now: Now) -> None:
        """After the replay: commands that never ended are said to have failed."""
        for command in self._open.values():
            self._desk.abandon(command, now)
        self._open.clear()
        self._commands.clear()
        self._alarms.changed = True
