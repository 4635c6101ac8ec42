"""Listening sockets, and what runs beside them: deadlines, expiry, hot reload of trust and users."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from asyncua import ua

from server.opcua.connection.transport import Connection
from server.opcua.context import ServerContext
from server.opcua.security.client_trust import ClientTrust
from server.opcua.session import Session
from server.pki.files import UnsafeFileError
from server.users import UsersError

log = logging.getLogger("gridbms.opcua")
Codes = ua.StatusCodes
SWEEP_S = 2.0
"""Deadlines are noticed, and changed files, so late at most."""
BACKLOG = 128


class Listener:
    """Accepts connections on one port of one or more addresses."""

    def __init__(self, context: ServerContext) -> None:
        self.context = context
        self.port = 0
        self.connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._watcher: asyncio.Task[None] | None = None
        self._users_complaint = ""

    async def start(self, hosts: Sequence[str], port: int) -> int:
        """Listen; port 0 picks a free one, the same for all hosts. Returns the port.

        Raises:
            OSError: port taken or address not of this machine.
        """
        loop = asyncio.get_running_loop()
        try:
            for host in hosts:
                server = await loop.create_server(
                    lambda: Connection(self.context, self.connections),
                    host,
                    port or self.port,
                    backlog=BACKLOG,
                    start_serving=False,
                )
                self._servers.append(server)
                if not self.port:
                    self.port = int(server.sockets[0].getsockname()[1])
            # Descriptions must name the real port before the first client can ask for them.
            self.context.endpoints = replace(self.context.endpoints, port=self.port)
            for server in self._servers:
                await server.start_serving()
        except OSError:
            await self.stop()
            raise
        self._watcher = loop.create_task(self._watch())
        return self.port

    async def stop(self) -> None:
        """Close listening sockets, sessions and connections; returns when all is closed."""
        context = self.context
        context.accepting = False
        for server in self._servers:
            server.close()
        if self._watcher is not None:
            self._watcher.cancel()
        context.sessions.close_where(lambda session: True, "server is stopping")
        connections = list(self.connections)
        for connection in connections:
            connection.processor.close(Codes.BadShutdown, "server is stopping")
        for connection in connections:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(connection.finished(), 1.0)
            if connection.counted:
                connection.abort("server is stopping")
        if self._watcher is not None:
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
        context.authenticator.close()
        context.pool.shutdown(wait=False, cancel_futures=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                self.sweep(self.context.clock())
                await self.reload()
            except Exception:
                # Deadlines and trust must go on being watched, whatever one round stumbled over.
                log.exception("periodic check of the OPC UA server")

    def sweep(self, now_s: float) -> None:
        """Close what is overdue at monotonic time `now_s`."""
        self.context.sessions.expire()
        for connection in list(self.connections):
            connection.sweep(now_s)

    async def reload(self) -> None:
        """Look for changed trust lists and users, and end what they no longer allow."""
        # One way to a thread and back for all three: this happens again and again.
        applications, certificates, users = await asyncio.get_running_loop().run_in_executor(
            self.context.pool, self._look
        )
        if applications:
            await self._judge_applications()
        if certificates:
            await self._judge_user_certificates()
        if users:
            self._judge_users()

    def _look(self) -> tuple[bool, bool, bool]:
        """Which of application certificates, user certificates and users have changed. Does file I/O."""
        return self.context.trust.reload(), self.context.user_trust.reload(), self._users_changed()

    async def _judge_applications(self) -> None:
        context = self.context
        verdicts: dict[bytes, bool] = {}
        for connection in list(self.connections):
            peer = connection.processor.channel.peer
            if peer is not None and not await self._judge(context.trust, peer.raw, verdicts):
                log.warning("certificate %s is no longer trusted: its channels are closed", peer.thumbprint)
                self._close_sessions(_has_thumbprint(peer.thumbprint), "certificate no longer trusted")
                connection.processor.close(Codes.BadSecurityChecksFailed, "certificate no longer trusted")
        for session in context.sessions:
            # Sessions whose client is away at the moment.
            if session.client_certificate and not await self._judge(
                context.trust, session.client_certificate, verdicts
            ):
                context.sessions.close(session, delete_subscriptions=True, reason="certificate no longer trusted")

    async def _judge_user_certificates(self) -> None:
        verdicts: dict[bytes, bool] = {}
        for session in self.context.sessions:
            if session.user_certificate and not await self._judge(
                self.context.user_trust, session.user_certificate, verdicts
            ):
                self._close_sessions(_is(session), "user certificate no longer trusted")

    async def _judge(self, trust: ClientTrust, der: bytes, verdicts: dict[bytes, bool]) -> bool:
        if der not in verdicts:
            verdicts[der] = await asyncio.get_running_loop().run_in_executor(self.context.pool, trust.still_valid, der)
        return verdicts[der]

    def _users_changed(self) -> bool:
        try:
            changed = self.context.authenticator.directory.reload()
        except (UnsafeFileError, UsersError, OSError) as error:
            # The users read before stay valid: a typing error must not throw the operators out.
            if str(error) != self._users_complaint:
                self._users_complaint = str(error)
                log.error("users are not read again: %s", error)
            return False
        if changed:
            self._users_complaint = ""
        return changed

    def _judge_users(self) -> None:
        directory = self.context.authenticator.directory
        for session in self.context.sessions:
            if not session.activated or not session.user.name:
                continue
            user = directory.find(session.user.name)
            if user is None or (user.password_hash, user.certificates) != (
                session.user.password_hash,
                session.user.certificates,
            ):
                self._close_sessions(_is(session), "user removed or credentials changed")
            elif user != session.user:
                session.user = user
                for callback in list(session.on_user_changed):
                    callback(session)

    def _close_sessions(self, matches: Callable[[Session], bool], reason: str) -> None:
        for session in self.context.sessions.close_where(matches, reason):
            if session.channel is not None:
                session.channel.close(Codes.BadSessionClosed, reason)


def _is(session: Session) -> Callable[[Session], bool]:
    return lambda other: other is session


def _has_thumbprint(thumbprint: str) -> Callable[[Session], bool]:
    return lambda session: session.identity.thumbprint == thumbprint
