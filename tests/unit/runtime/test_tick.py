"""One write wakes every face; unread ticks merge; a face does not depend on inotify."""

import asyncio
import select
from pathlib import Path

import pytest

from server.runtime import tick
from server.runtime.tick import Tick, Wake


def readable(wake: Wake) -> bool:
    poll = select.poll()
    poll.register(wake.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def test_one_pulse_wakes_every_receiver_once(tmp_path: Path) -> None:
    faces = [Wake(tmp_path) for _ in range(3)]
    sender = Tick(tmp_path)
    assert not any(readable(face) for face in faces)
    sender.pulse()
    assert all(readable(face) for face in faces)
    assert all(face.drain() for face in faces)
    assert not any(readable(face) for face in faces)
    assert not faces[0].drain()


def test_unread_pulses_merge_and_cost_the_receiver_one_read(tmp_path: Path) -> None:
    face, sender = Wake(tmp_path), Tick(tmp_path)
    for _ in range(10_000):
        sender.pulse()
    assert face.drain()
    assert not readable(face)


def test_a_receiver_is_woken_by_the_next_start_of_the_sender(tmp_path: Path) -> None:
    face = Wake(tmp_path)
    first = Tick(tmp_path)
    first.pulse()
    first.close()
    assert face.drain()
    Tick(tmp_path).pulse()
    assert face.drain()


async def test_waiting_ends_with_the_pulse_or_with_the_time_out(tmp_path: Path) -> None:
    face, sender = Wake(tmp_path), Tick(tmp_path)
    waiting = asyncio.create_task(face.wait(30))
    await asyncio.sleep(0)
    sender.pulse()
    assert await waiting
    assert not await face.wait(0.001)
    sender.pulse()
    sender.pulse()
    assert await face.wait(30)
    face.close()


async def test_a_removed_file_is_followed_when_the_sender_made_it_again(tmp_path: Path) -> None:
    face, sender = Wake(tmp_path), Tick(tmp_path)
    (tmp_path / "tick").unlink()
    sender.check_name()
    assert not await face.wait(0.001)  # the time-out looks at the name
    sender.pulse()
    assert await face.wait(30)
    face.close()


async def test_without_inotify_waiting_is_a_time_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoInotify:
        @staticmethod
        def inotify_init1(flags: int) -> int:
            return -1

    monkeypatch.setattr(tick, "libc", NoInotify())
    face = Wake(tmp_path)
    assert face.fileno() == -1
    assert not face.drain()
    assert not await face.wait(0.001)
    face.close()


def test_two_names_are_two_wake_ups(tmp_path: Path) -> None:
    durable, appended = Wake(tmp_path, tick.DURABLE), Wake(tmp_path, tick.APPENDED)
    Tick(tmp_path, tick.DURABLE).pulse()
    assert durable.drain()
    assert not appended.drain()
