"""Requests that only want to be recorded: audit entries, notes of operators, events of other processes."""

from information_model.enumerations import RefusalReason
from information_model.roles import Role
from server.core.commands.arbiter import known_roles
from server.core.event_pen import EventPen
from server.core.now import Now
from server.runtime.link import Answer, Request
from server.runtime.records import AuditRecord, HealthRecord, NoteRecord, RecordKind

TEXT = 1000
"""Longest text of a request that is recorded; the rest is cut."""


class Notes:
    """One method per kind of request: the answer, and whether it waits for the disk."""

    def __init__(self, pen: EventPen) -> None:
        self._pen = pen

    def audit(self, request: Request, now: Now) -> tuple[Answer, bool]:
        """A matter of security that a face tells of: `event`, `ok` and `detail` are arguments."""
        given = request.arguments
        record = AuditRecord(
            face=request.face[:TEXT],
            event=str(given.get("event", request.command))[:TEXT],
            user=request.user[:TEXT],
            peer=request.peer[:TEXT],
            ok=bool(given.get("ok", True)),
            detail=str(given.get("detail", ""))[:TEXT],
        )
        return self._write(request, RecordKind.AUDIT, record, now)

    def note(self, request: Request, now: Now) -> tuple[Answer, bool]:
        """A remark of an operator about the target: `text` is an argument."""
        if known_roles(request.roles).isdisjoint((Role.OPERATOR, Role.ENGINEER)):
            text = "a note needs the role Operator or Engineer"
            return Answer(request.id, "refused", RefusalReason.ROLE.name, text), False
        text = str(request.arguments.get("text", ""))[:TEXT]
        return self._write(request, RecordKind.NOTE, NoteRecord(request.user[:TEXT], text, request.target[:TEXT]), now)

    def health(self, request: Request, now: Now) -> tuple[Answer, bool]:
        """What happened to a process: `event` and `detail` are arguments."""
        event, detail = (str(request.arguments.get(name, ""))[:TEXT] for name in ("event", "detail"))
        return self._write(request, RecordKind.HEALTH, HealthRecord(request.face[:TEXT], event, detail), now)

    def _write(
        self, request: Request, kind: RecordKind, record: AuditRecord | NoteRecord | HealthRecord, now: Now
    ) -> tuple[Answer, bool]:
        number = self._pen.append(kind, record, now)
        if not number:
            return Answer(request.id, "error", "JournalUnavailable", "the event log has no room"), False
        return Answer(request.id, "accepted", sequence=number), True
