"""Faces ask, the cycle's thread answers: once per id, when the disk has it, and no peer can harm the core."""

import asyncio
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.runtime.link import Answer, LinkClient, LinkDown, LinkServer, Request, new_id
from server.runtime.messages import MAX_MESSAGE, decode_answer, frame, split


class Core:
    """A link served in the test's own thread, or beside it (`beside`); `durable_number` is the disk's progress."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: list[str] = []
        self.durable_number = 1_000_000
        self.server = LinkServer(path, self.handle, lambda: self.durable_number)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.faces: list[socket.socket] = []

    def handle(self, request: Request) -> tuple[Answer, bool]:
        self.done.append(request.id)
        if request.command == "Fail":
            raise RuntimeError("planted")
        if request.command == "Refuse":
            return Answer(request.id, "refused", "permissive", permissives=["NoTripActive"], sequence=9), False
        return Answer(request.id, "accepted", sequence=len(self.done)), request.command != "Disconnect"

    def turn(self, count: int = 3) -> None:
        for _ in range(count):
            self.server.serve(time.monotonic() + 0.005)

    def beside(self) -> None:
        def loop() -> None:
            while not self._over.is_set():
                self.server.serve(time.monotonic() + 0.01)

        self._thread = threading.Thread(target=loop, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(30)
        self.server.close()
        for face in self.faces:
            face.close()


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = Core(tmp_path / "link")
    yield made
    made.close()


class Face:
    """A raw peer, for what a well-behaved client never does."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(core.path))
        self.socket.setblocking(False)
        self.buffer = bytearray()
        core.faces.append(self.socket)

    def ask(self, request: Request) -> None:
        self.socket.send(frame(request))
        self.core.turn()

    def answers(self) -> list[Answer]:
        try:
            while received := self.socket.recv(65536):
                self.buffer += received
        except BlockingIOError:
            pass
        return [decode_answer(body) for body in split(self.buffer)]

    def dropped(self) -> bool:
        try:
            while received := self.socket.recv(65536):
                self.buffer += received
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        return True


def connect(name: str = "a-1") -> Request:
    return Request(name, "command", "ESS.ARR01.R001", "Connect")


def test_the_socket_belongs_to_its_user_alone(core: Core) -> None:
    assert stat.S_IMODE(core.path.stat().st_mode) == 0o600


def test_an_answer_waits_until_its_record_is_on_disk(core: Core) -> None:
    core.durable_number = 0
    face = Face(core)
    face.ask(connect())
    assert core.done == ["a-1"]
    assert face.answers() == []
    core.durable_number = 1
    core.turn()
    assert face.answers() == [Answer("a-1", "accepted", sequence=1, durable=True)]
    assert core.server.late == 0


def test_an_answer_that_need_not_wait_says_whether_its_record_is_on_disk(core: Core) -> None:
    core.durable_number = 0
    face = Face(core)
    face.ask(Request("a-1", "command", "ESS.ARR01.R001", "Disconnect"))
    assert face.answers() == [Answer("a-1", "accepted", sequence=1, durable=False)]


def test_after_a_quarter_of_a_second_the_answer_leaves_and_says_that_it_is_not_durable(tmp_path: Path) -> None:
    now = [100.0]

    def handle(request: Request) -> tuple[Answer, bool]:
        return Answer(request.id, "accepted", sequence=5), True

    server = LinkServer(tmp_path / "link", handle, lambda: 4, clock=lambda: now[0])
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.connect(str(tmp_path / "link"))
    peer.send(frame(connect()))
    for _ in range(3):
        server.serve(now[0])
    now[0] += 0.249
    server.serve(now[0])
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(100)
    now[0] += 0.001
    server.serve(now[0])
    assert decode_answer(peer.recv(1000)[4:]) == Answer("a-1", "accepted", sequence=5, durable=False)
    assert server.late == 1
    peer.close()
    server.close()


def test_the_same_id_gets_the_same_answer_and_is_done_once_also_on_a_new_connection(core: Core) -> None:
    core.durable_number = 0
    first, second = Face(core), Face(core)
    first.ask(connect())
    second.ask(connect())  # while the first still waits for the disk
    first.socket.close()
    core.durable_number = 1
    core.turn()
    third = Face(core)
    third.ask(connect())
    assert second.answers() == third.answers() == [Answer("a-1", "accepted", sequence=1)]
    assert core.done == ["a-1"]


def test_an_id_used_for_another_request_is_an_error_and_does_nothing(core: Core) -> None:
    face = Face(core)
    face.ask(connect())
    face.ask(Request("a-1", "command", "ESS.ARR01.R002", "Connect"))
    assert [(a.result, a.reason) for a in face.answers()] == [("accepted", ""), ("error", "IdReused")]
    assert core.done == ["a-1"]


def test_ids_are_forgotten_after_a_minute(tmp_path: Path) -> None:
    now, done = [100.0], []

    def handle(request: Request) -> tuple[Answer, bool]:
        done.append(request.id)
        return Answer(request.id, "accepted"), False

    server = LinkServer(tmp_path / "link", handle, lambda: 0, clock=lambda: now[0])
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.connect(str(tmp_path / "link"))
    for at in (100.0, 159.9, 160.0):
        now[0] = at
        peer.send(frame(connect()))
        for _ in range(3):
            server.serve(now[0])
    assert done == ["a-1", "a-1"]
    peer.close()
    server.close()


def test_a_request_that_fails_inside_is_answered_and_the_link_goes_on(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    face = Face(core)
    with caplog.at_level(logging.ERROR):
        face.ask(Request("a-1", "command", "ESS", "Fail"))
    face.ask(connect("a-2"))
    assert [(a.result, a.reason) for a in face.answers()] == [("error", "InternalError"), ("accepted", "")]
    assert "planted" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        (MAX_MESSAGE + 1).to_bytes(4, "big"),
        bytes(4),
        b"GET / HTTP/1.1\r\n\r\n",
        (2).to_bytes(4, "big") + b"{}",
        (1).to_bytes(4, "big") + b"\xff",
        frame(Request("a-1", "command", "ESS", version=2)),
        frame(Request("", "command", "ESS")),
        frame(Request("x" * 201, "command", "ESS")),
        frame(connect())[:-1].replace(b'"kind"', b'"kinf"') + b"}",
        (60_000).to_bytes(4, "big") + b"[" * 60_000,
    ],
)
def test_what_is_no_request_ends_the_connection_with_one_line(
    core: Core, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    face, other = Face(core), Face(core)
    with caplog.at_level(logging.WARNING):
        for at in range(0, len(content), 16_000):
            face.socket.send(content[at : at + 16_000])
            core.turn()
    assert face.dropped()
    assert len(caplog.records) == 1
    assert core.done == []
    other.ask(connect())
    assert len(other.answers()) == 1


def test_a_request_may_arrive_in_pieces_and_several_in_one(core: Core) -> None:
    face = Face(core)
    content = frame(connect("a-1")) + frame(connect("a-2"))
    for at in range(len(content) - 100):
        face.socket.send(content[at : at + 1])
        core.turn(1) if at % 20 == 0 else None
    face.socket.send(content[len(content) - 100 :])
    core.turn()
    assert [answer.id for answer in face.answers()] == ["a-1", "a-2"]


def test_a_face_that_never_reads_is_dropped_and_others_are_served(core: Core) -> None:
    deaf, other = Face(core), Face(core)
    asked = 0
    while asked < 100_000 and core.server.dropped == 0:
        try:
            deaf.socket.send(frame(connect(f"d-{asked}")))
            asked += 1
        except (BlockingIOError, BrokenPipeError):
            core.server.serve(time.monotonic())
    assert core.server.dropped == 1
    other.ask(connect("o-1"))
    assert [answer.id for answer in other.answers()] == ["o-1"]


def test_one_turn_reads_a_face_once_whatever_it_sends(core: Core) -> None:
    face = Face(core)
    core.server.serve(time.monotonic())  # accepted
    content = b"".join(frame(connect(f"a-{n}")) for n in range(400))
    sent = face.socket.send(content)
    assert sent > 3 * 16 * 1024
    core.server.serve(time.monotonic())  # an overrun cycle gives one turn
    assert 0 < len(core.done) * len(frame(connect("a-100"))) <= 16 * 1024 + 500


def test_a_foreign_user_is_refused(tmp_path: Path) -> None:
    server = LinkServer(tmp_path / "link", lambda r: (Answer(r.id, "accepted"), False), lambda: 0, allowed_uids=[54321])
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.connect(str(tmp_path / "link"))
    server.serve(time.monotonic())
    assert peer.recv(1) == b""
    assert server.dropped == 1
    peer.close()
    server.close()


def test_the_disks_news_wakes_the_link_before_the_cycle_ends(core: Core) -> None:
    core.durable_number = 0
    event = os.eventfd(0, os.EFD_NONBLOCK)
    core.server.wake_on(event)
    face = Face(core)
    face.ask(connect())
    core.durable_number = 1
    os.eventfd_write(event, 1)
    core.server.serve(time.monotonic())  # no time left at all: one turn, for the descriptor
    assert [answer.durable for answer in face.answers()] == [True]
    with pytest.raises(BlockingIOError):
        os.eventfd_read(event)
    os.close(event)


def test_without_a_descriptor_to_wake_on_answers_leave_in_the_next_turn(core: Core) -> None:
    core.durable_number = 0
    core.server.wake_on(-1)
    face = Face(core)
    face.ask(connect())
    core.durable_number = 1
    core.turn(1)
    assert [answer.durable for answer in face.answers()] == [True]


def test_a_path_that_is_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="at most 107 bytes"):
        LinkServer(tmp_path / ("x" * 120), lambda r: (Answer(r.id, "accepted"), False), lambda: 0)


async def test_many_requests_of_one_client_are_under_way_at_once(core: Core) -> None:
    core.beside()
    client = LinkClient(core.path)
    answers = await asyncio.gather(*(client.request(connect(f"a-{n}"), 30) for n in range(50)))
    assert sorted(answer.sequence for answer in answers) == list(range(1, 51))
    refusal = await client.request(Request(new_id("test"), "command", "ESS", "Refuse"), 30)
    assert (refusal.result, refusal.permissives) == ("refused", ["NoTripActive"])
    await client.close()


async def test_without_a_core_the_client_says_that_nothing_was_sent(tmp_path: Path) -> None:
    client = LinkClient(tmp_path / "link")
    with pytest.raises(LinkDown, match="No such file") as caught:
        await client.request(connect(), 30)
    assert not caught.value.sent


async def test_a_core_that_goes_away_leaves_the_outcome_unknown_and_the_client_reconnects(tmp_path: Path) -> None:
    core = Core(tmp_path / "link")
    core.durable_number = 0
    client = LinkClient(core.path)
    waiting = asyncio.create_task(client.request(connect(), 30))
    while not core.done:
        await asyncio.sleep(0)
        core.turn(1)
    core.close()
    with pytest.raises(LinkDown, match="closed the connection") as caught:
        await waiting
    assert caught.value.sent
    again = Core(tmp_path / "link")
    again.beside()
    assert (await client.request(connect("a-2"), 30)).result == "accepted"
    await client.close()
    again.close()


async def test_a_silent_core_is_a_time_out_with_unknown_outcome(core: Core) -> None:
    client = LinkClient(core.path)
    with pytest.raises(LinkDown, match=r"no answer within 0.01 s") as caught:
        await client.request(connect(), 0.01)
    assert caught.value.sent
    await client.close()


async def test_an_id_under_way_cannot_be_used_again_by_its_client(core: Core) -> None:
    client = LinkClient(core.path)
    waiting = asyncio.create_task(client.request(connect(), 30))
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="already under way"):
        await client.request(connect(), 30)
    waiting.cancel()
    await client.close()


def test_ids_of_one_process_are_never_equal() -> None:
    assert len({new_id("opcua") for _ in range(1000)}) == 1000
