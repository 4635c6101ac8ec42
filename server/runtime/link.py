"""The link: faces ask, the cycle's own thread answers between two cycles. Server side; the client is `LinkClient`.

A Unix stream socket, 0600, the peer's user checked (SO_PEERCRED). Every peer is hostile: a message has at most 64 kB,
unread answers 256 kB, one read of 16 kB per face and turn, ids are kept for 60 s and bounded in number.
"""

import collections
import logging
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from zlib import crc32

import msgspec

from server.runtime.link_client import LinkClient, LinkDown
from server.runtime.messages import Answer, MalformedError, Request, decode_request, frame, new_id, split

__all__ = ["Answer", "LinkClient", "LinkDown", "LinkServer", "Request", "new_id"]

log = logging.getLogger("gridbms.runtime")

READ = 16 * 1024
MAX_UNREAD = 256 * 1024
MAX_PEERS = 64
KEEP_S = 60.0
MAX_KEPT = 65_536
DURABLE_S = 0.25
_GRAIN_S = 0.001
_CREDENTIALS = struct.Struct("3i")

Handle = Callable[[Request], tuple[Answer, bool]]


class _Peer:
    """One connection of a face."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.connection = connection
        self.pid = pid
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.writing = False
        self.open = True


class _Deed:
    """What is remembered of a request: its answer, and who waits for it."""

    __slots__ = ("answer", "askers", "check", "sent")

    def __init__(self, check: int, asker: _Peer) -> None:
        self.check = check
        self.answer: Answer | None = None
        self.sent = False
        self.askers = [asker]


class LinkServer:
    """`handle` judges and does a request, and says whether its answer waits until the log is on disk.

    It waits while `durable()` is below the answer's sequence, at most 0.25 s; then the answer leaves with
    `durable=False`. Opening, emergency and refused requests do not wait. An exception of `handle` is answered as an
    error and logged: no request ends the core. `requests`, `dropped` and `late` (answers that left before the disk had
    them) only rise.
    """

    def __init__(
        self,
        path: Path | str,
        handle: Handle,
        durable: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        allowed_uids: Iterable[int] | None = None,
    ) -> None:
        self.path = Path(path)
        self._handle, self._durable, self._clock = handle, durable, clock
        self._allowed = frozenset(allowed_uids) if allowed_uids is not None else frozenset({os.geteuid()})
        self._selector = selectors.DefaultSelector()
        self._deeds: dict[str, _Deed] = {}
        self._kept: collections.deque[tuple[float, str]] = collections.deque()
        self._waiting: collections.deque[tuple[float, _Deed]] = collections.deque()
        self._seen_durable = 0
        self._peers: set[_Peer] = set()
        self._quiet_until = 0.0
        self._listening = True
        self.requests = 0
        self.dropped = 0
        self.late = 0
        self._listener = self._listen()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _listen(self) -> socket.socket:
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        before = os.umask(0o177)  # before bind: the socket never has another mode than 0600
        try:
            listener.bind(str(self.path))
        except OSError as error:
            listener.close()
            raise OSError(error.errno, f"link {self.path}: {error} (a socket path has at most 107 bytes)") from error
        finally:
            os.umask(before)
        listener.listen(MAX_PEERS)
        return listener

    def wake_on(self, fd: int) -> None:
        """Look at the waiting answers when this descriptor (eventfd, inotify) becomes readable; it is drained here.

        A negative descriptor (no inotify on this machine) is none: answers then leave at the next request or cycle.
        """
        if fd < 0:
            return

        def drain(mask: int) -> None:
            try:
                os.read(fd, 4096)
            except BlockingIOError:
                return

        os.set_blocking(fd, False)
        self._selector.register(fd, selectors.EVENT_READ, drain)

    def serve(self, until: float) -> None:
        """Serve to the clock's `until`, never later than one read of one face; an overrun cycle still gets one turn."""
        if not self._listening:
            self._listening = True
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        while True:
            wait = until - self._clock() - _GRAIN_S  # epoll rounds up to whole milliseconds: the last one is slept
            if self._waiting:
                wait = min(wait, self._waiting[0][0] - self._clock())
            for key, mask in self._selector.select(max(0.0, wait)):
                key.data(mask)
                if self._clock() >= until:
                    break
            self._release(self._clock())
            left = until - self._clock()
            if left < 1.5 * _GRAIN_S:
                if left > 0:
                    time.sleep(left)
                return

    def _accept(self, mask: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            self._selector.unregister(self._listener)  # no descriptor is free: again in the next cycle
            self._listening = False
            self._complain("a face could not connect: %s", error)
            return
        connection.setblocking(False)
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(credentials)
        if uid not in self._allowed or len(self._peers) >= MAX_PEERS:
            why = "too many faces" if uid in self._allowed else f"user {uid} is not allowed"
            self._complain("process %d refused: %s", pid, why)
            self.dropped += 1
            connection.close()
            return
        peer = _Peer(connection, pid)
        self._peers.add(peer)
        self._selector.register(connection, selectors.EVENT_READ, lambda m: self._serve_peer(peer, m))

    def _serve_peer(self, peer: _Peer, mask: int) -> None:
        if not peer.open:
            return
        if mask & selectors.EVENT_WRITE:
            self._flush(peer)
        if not mask & selectors.EVENT_READ or not peer.open:
            return
        try:
            received = peer.connection.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._drop(peer, None)
            return
        peer.incoming += received
        try:
            for body in split(peer.incoming):
                if peer.open:
                    self._ask(peer, body)
        except MalformedError as error:
            self._drop(peer, str(error))

    def _ask(self, peer: _Peer, body: bytes) -> None:
        request = decode_request(body)
        self.requests += 1
        now, check = self._clock(), crc32(body)
        self._forget(now)
        known = self._deeds.get(request.id)
        if known is not None:
            if known.check != check:
                self._send(peer, Answer(request.id, "error", "IdReused", "this id was used for another request"))
            elif known.answer is not None and known.sent:
                self._send(peer, known.answer)
            else:
                known.askers.append(peer)
            return
        if len(self._deeds) >= MAX_KEPT:
            self._send(peer, Answer(request.id, "error", "TooManyRequests", f"{MAX_KEPT} requests within {KEEP_S} s"))
            return
        deed = _Deed(check, peer)
        self._deeds[request.id] = deed
        self._kept.append((now + KEEP_S, request.id))
        try:
            answer, waits = self._handle(request)
        except Exception:
            log.exception("link: request %s (%s %s) failed", request.id, request.kind, request.command)
            answer, waits = Answer(request.id, "error", "InternalError", "the request failed; see the log"), False
        deed.answer = msgspec.structs.replace(answer, id=request.id)
        if waits and self._durable() < answer.sequence:
            self._waiting.append((now + DURABLE_S, deed))
        else:
            self._complete(deed, durable=self._durable() >= answer.sequence)

    def _release(self, now: float) -> None:
        """Send what the disk has meanwhile, and what has waited long enough."""
        durable = self._durable()
        if durable > self._seen_durable:
            self._seen_durable = durable
            still: collections.deque[tuple[float, _Deed]] = collections.deque()
            for deadline, deed in self._waiting:
                if deed.answer is not None and deed.answer.sequence <= durable:
                    self._complete(deed, durable=True)
                else:
                    still.append((deadline, deed))
            self._waiting = still
        while self._waiting and self._waiting[0][0] <= now:
            self.late += 1
            self._complete(self._waiting.popleft()[1], durable=False)

    def _complete(self, deed: _Deed, durable: bool) -> None:
        if deed.answer is None:
            return
        deed.answer = msgspec.structs.replace(deed.answer, durable=durable)
        deed.sent = True
        for peer in deed.askers:
            self._send(peer, deed.answer)
        deed.askers.clear()

    def _forget(self, now: float) -> None:
        while self._kept and self._kept[0][0] <= now:
            self._deeds.pop(self._kept.popleft()[1], None)

    def _send(self, peer: _Peer, answer: Answer) -> None:
        if not peer.open:
            return
        try:
            peer.outgoing += frame(answer)
        except MalformedError as error:
            log.warning("link: answer %s: %s", answer.id, error)
            peer.outgoing += frame(Answer(answer.id, "error", "AnswerTooLong", str(error), sequence=answer.sequence))
        self._flush(peer)
        if len(peer.outgoing) > MAX_UNREAD:
            self._drop(peer, f"{len(peer.outgoing)} bytes of answers unread")

    def _flush(self, peer: _Peer) -> None:
        try:
            while peer.outgoing:
                del peer.outgoing[: peer.connection.send(peer.outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(peer, None)
            return
        writing = bool(peer.outgoing)
        if writing != peer.writing:
            peer.writing = writing
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
            self._selector.modify(peer.connection, events, lambda m: self._serve_peer(peer, m))

    def _drop(self, peer: _Peer, why: str | None) -> None:
        if not peer.open:
            return
        peer.open = False
        self._peers.discard(peer)
        self._selector.unregister(peer.connection)
        peer.connection.close()
        if why is not None:
            self.dropped += 1
            self._complain("process %d dropped: %s", peer.pid, why)

    def _complain(self, text: str, *arguments: object) -> None:
        """One line a second at most: a hostile peer must not fill the disk."""
        if self._clock() >= self._quiet_until:
            self._quiet_until = self._clock() + 1.0
            log.warning(f"link: {text}", *arguments)  # noqa: G004 (the text is a constant of this class)

    def close(self) -> None:
        """End all connections and remove the socket."""
        for peer in list(self._peers):
            self._drop(peer, None)
        self._selector.close()
        self._listener.close()
        self.path.unlink(missing_ok=True)
