"""Sessions and their manager (OPC 10000-4, 5.7): tokens, nonces, time-outs, quotas.

A session belongs to one channel at a time. Its authentication token is a secret of 32 random bytes that is compared
with every request and never logged; its session id is public.
"""

from __future__ import annotations

import logging
import secrets
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from asyncua import ua

from information_model.roles import Role
from server.opcua.errors import ServiceFaultError
from server.opcua.limits import Limits
from server.users import ANONYMOUS, User

Codes = ua.StatusCodes
log = logging.getLogger("gridbms.opcua.session")
_node_id: Callable[..., ua.NodeId] = ua.NodeId
"""asyncua's NodeId wants its own number types where plain ones do."""
TOKEN_BYTES = 32
"""Length of an authentication token; requests whose token is as long are read the fast way."""
NONCE_BYTES = 32
"""Length of a server nonce."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


class Audit(Protocol):
    """Takes one audit entry. Must not block and must not raise."""

    def __call__(self, event: str, ok: bool, user: str, peer: str, detail: str) -> None:
        """`event` such as `ActivateSession`; `detail` never holds a secret."""


class Channel(Protocol):
    """What a session needs to know of the connection that it uses."""

    @property
    def address(self) -> str:
        """Address of the peer."""

    @property
    def congested(self) -> bool:
        """True while the client does not read fast enough: produce nothing for it."""

    def close(self, code: int, reason: str) -> None:
        """End the connection with an ERR message."""


@dataclass(frozen=True)
class ChannelIdentity:
    """Security of the channel on which a session was created."""

    policy_uri: str
    mode: ua.MessageSecurityMode
    thumbprint: str = ""
    chain: tuple[str, ...] = ()
    """Thumbprints of the client's certificate chain, leaf first."""


def readable(text: str | None, maximum: int) -> str:
    """A name from a stranger, cut and without control or direction characters, fit for logs and pages."""
    return "".join("?" if unicodedata.category(char)[0] == "C" else char for char in (text or "")[:maximum])


@dataclass(eq=False)
class Session:
    """One session of one client. Other service sets keep their state in `storage` and end it in `on_close`."""

    id: ua.NodeId
    token: bytes = field(repr=False)
    name: str
    identity: ChannelIdentity
    peer: str
    timeout_s: float
    created_s: float
    nonce: bytes = field(repr=False)
    channel: Channel | None
    application_uri: str = ""
    client_certificate: bytes = field(default=b"", repr=False)
    user_certificate: bytes = field(default=b"", repr=False)
    """Certificate by which the user identified itself, empty for a password."""
    user: User = ANONYMOUS
    locale_ids: tuple[str, ...] = ()
    activated: bool = False
    closed: bool = False
    failures: int = 0
    last_request_s: float = 0.0
    storage: dict[str, object] = field(default_factory=dict, repr=False)
    on_close: list[Callable[[Session, bool], None]] = field(default_factory=list, repr=False)
    """(session, delete_subscriptions): called once, in order, when the session ends for whatever reason."""
    on_channel_lost: list[Callable[[Session], None]] = field(default_factory=list, repr=False)
    """Called when the session loses its channel but lives on: queued Publish requests are gone with the channel."""
    on_user_changed: list[Callable[[Session], None]] = field(default_factory=list, repr=False)
    """Called after the user of the session has changed: permissions must be judged anew."""
    on_cancel: list[Callable[[Session, int], int]] = field(default_factory=list, repr=False)
    """(session, request handle) -> number of pending requests answered BadRequestCancelledByClient."""
    audit: Callable[[str, bool, str], None] = field(default=lambda event, ok, detail: None, repr=False)

    @property
    def roles(self) -> frozenset[Role]:
        """Roles of the user; empty before activation and for Anonymous."""
        return self.user.roles

    @property
    def authentication_token(self) -> ua.NodeId:
        """The token as it travels: never show it in diagnostics, logs or audit."""
        return _node_id(self.token, 0, ua.NodeIdType.ByteString)


class SessionManager:
    """All sessions of the server, with their quotas. Times are monotonic seconds of `clock`."""

    def __init__(self, limits: Limits, audit: Audit, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._audit = audit
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def create(
        self,
        *,
        channel: Channel,
        identity: ChannelIdentity,
        peer: str,
        name: str | None,
        requested_timeout_ms: float,
        application_uri: str,
        client_certificate: bytes,
    ) -> Session:
        """A new session that waits for its activation.

        Raises:
            ServiceFaultError: BadTooManySessions.
        """
        self._make_room(channel.address, identity)
        limits, now = self.limits, self._clock()
        requested_s = requested_timeout_ms / 1000 if requested_timeout_ms == requested_timeout_ms else 0.0
        session = Session(
            id=_node_id(uuid.uuid4(), 1, ua.NodeIdType.Guid),
            token=secrets.token_bytes(TOKEN_BYTES),
            name=readable(name, limits.name_characters),
            identity=identity,
            peer=peer,
            channel=channel,
            timeout_s=min(max(requested_s, limits.minimum_session_timeout_s), limits.maximum_session_timeout_s),
            created_s=now,
            last_request_s=now,
            nonce=secrets.token_bytes(NONCE_BYTES),
            application_uri=readable(application_uri, limits.name_characters),
            client_certificate=client_certificate,
        )
        if not session.name:
            session.name = f"Session {str(session.id.Identifier)[:8]}"
        session.audit = lambda event, ok, detail: self._audit(event, ok, session.user.name, session.peer, detail)
        self._sessions[session.token] = session
        return session

    def _make_room(self, address: str, identity: ChannelIdentity) -> None:
        limits = self.limits
        total = limits.sessions
        if address not in LOOPBACK:
            # Seats for somebody at the machine itself, when strangers have taken all others.
            total -= min(limits.sessions_reserved_for_loopback, total - 1)
        quotas: tuple[tuple[int, Callable[[Session], bool]], ...] = (
            (total, lambda session: True),
            (limits.sessions_per_address, lambda session: session.peer.rpartition(":")[0] == address),
            (
                limits.sessions_per_certificate,
                lambda session: bool(identity.thumbprint) and session.identity.thumbprint == identity.thumbprint,
            ),
        )
        for maximum, counts in quotas:
            mine = [session for session in self._sessions.values() if counts(session)]
            if len(mine) < maximum:
                continue
            # At the limit the oldest session that was never activated goes first.
            idle = next((session for session in mine if not session.activated), None)
            if idle is None:
                raise ServiceFaultError(Codes.BadTooManySessions, f"{len(mine)} sessions, at most {maximum}")
            self.close(idle, delete_subscriptions=True, reason="never activated, room needed")

    def find(self, token: ua.NodeId) -> Session | None:
        """Session of an authentication token, whatever its channel; None when there is none."""
        if token.NodeIdType != ua.NodeIdType.ByteString or token.NamespaceIndex != 0:
            return None
        identifier = token.Identifier
        # A dictionary look-up of 256 random bits: its timing tells a stranger nothing that could be used.
        return self._sessions.get(identifier) if isinstance(identifier, bytes) else None

    def authorise(self, token: ua.NodeId, channel: Channel) -> Session:
        """Session for a request: must exist, be on this channel and be activated (OPC 10000-4, 5.7.3).

        Raises:
            ServiceFaultError: BadSessionIdInvalid, or BadSessionNotActivated after which the session is closed.
        """
        session = self.find(token)
        if session is None or session.channel is not channel:
            raise ServiceFaultError(Codes.BadSessionIdInvalid, "token is not of a session on this channel")
        now = self._clock()
        if now - session.last_request_s > session.timeout_s:
            # Timed out between two rounds of `expire`.
            self.close(session, delete_subscriptions=False, reason="timed out")
            raise ServiceFaultError(Codes.BadSessionIdInvalid, "session has timed out")
        if not session.activated:
            self.close(session, delete_subscriptions=True, reason="used before activation")
            raise ServiceFaultError(Codes.BadSessionNotActivated, "session was closed")
        session.last_request_s = now
        return session

    def activated(self, session: Session, channel: Channel, user: User, locale_ids: tuple[str, ...]) -> bytes:
        """Mark as activated for `user` on `channel`; returns the next server nonce. The old nonce is dead."""
        moved, changed = session.channel is not channel, session.activated and session.user != user
        session.channel = channel
        session.user = user
        session.activated = True
        session.failures = 0
        session.nonce = secrets.token_bytes(NONCE_BYTES)
        session.last_request_s = self._clock()
        if locale_ids:
            session.locale_ids = locale_ids
        if moved:
            for lost in list(session.on_channel_lost):
                lost(session)
        if changed:
            for callback in list(session.on_user_changed):
                callback(session)
        return session.nonce

    def activation_failed(self, session: Session) -> None:
        """Count a failed activation; the third closes the session, since a refusal cannot carry a new nonce."""
        session.failures += 1
        if session.failures >= self.limits.activation_failures:
            self.close(session, delete_subscriptions=True, reason="activation failed too often")

    def close(self, session: Session, *, delete_subscriptions: bool, reason: str) -> None:
        """End a session; a second call does nothing."""
        if session.closed:
            return
        session.closed = True
        self._sessions.pop(session.token, None)
        for callback in list(session.on_close):
            try:
                callback(session, delete_subscriptions)
            except Exception:
                # One service set must not keep the others from letting go of the session.
                log.exception("closing session %s", session.name)
        session.audit("CloseSession", True, reason)
        session.storage.clear()

    def channel_lost(self, channel: Channel) -> None:
        """The connection is gone: activated sessions wait for their client until they time out, others end."""
        for session in self:
            if session.channel is not channel:
                continue
            if not session.activated:
                self.close(session, delete_subscriptions=True, reason="connection lost before activation")
                continue
            session.channel = None
            for callback in list(session.on_channel_lost):
                callback(session)

    def expire(self) -> None:
        """Close what has timed out or was never activated. Subscriptions outlive a timed-out session."""
        now = self._clock()
        for session in self:
            if not session.activated and now - session.created_s > self.limits.activation_timeout_s:
                self.close(session, delete_subscriptions=True, reason="never activated")
            elif now - session.last_request_s > session.timeout_s:
                self.close(session, delete_subscriptions=False, reason="timed out")

    def close_where(self, matches: Callable[[Session], bool], reason: str) -> list[Session]:
        """Close all sessions that match, with their subscriptions; returns them."""
        found = [session for session in self if matches(session)]
        for session in found:
            self.close(session, delete_subscriptions=True, reason=reason)
        return found
