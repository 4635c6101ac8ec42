"""A disk that forgets unsynced sectors loses nothing that was called durable; damage is told from a torn tail."""

import itertools
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.runtime import filesystem, mirror, recovery
from server.runtime.eventlog import Log, LogFull, recover
from server.runtime.logpage import DURABLE, ControlPage, log_folder
from server.runtime.mirror import Mirror
from server.runtime.segment import PAGE, Record, name_of, read_record, segments
from server.runtime.tail import Tail

SECTOR = 512
SMALL = 4 * PAGE


class PowerCutError(Exception):
    pass


class ForgetfulDisk:
    """Stands in for `os`: remembers what unsynced sectors held before, and can lose any part of them."""

    def __init__(self, data: Path, rng: random.Random) -> None:
        self._data, self._rng = os.fspath(data), rng
        self._before: dict[str, dict[int, bytes]] = {}
        self.fail_sync_share = 0.0
        self.calls_left = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _step(self) -> None:
        if self.calls_left == 0:
            raise PowerCutError
        self.calls_left -= 1

    def _path(self, fd: int) -> str:
        return os.readlink(f"/proc/self/fd/{fd}")

    def pwrite(self, fd: int, content: Any, at: int) -> int:
        path = self._path(fd)
        if path.startswith(self._data):
            self._step()
            if self._rng.random() < 0.2:
                content = content[: self._rng.randint(1, len(content))]
            before = self._before.setdefault(path, {})
            for sector in range(at // SECTOR, (at + len(content) - 1) // SECTOR + 1):
                if sector not in before:
                    before[sector] = os.pread(fd, SECTOR, sector * SECTOR)
        return os.pwrite(fd, content, at)

    def fdatasync(self, fd: int) -> None:
        self._step()
        path = self._path(fd)
        if self._rng.random() < self.fail_sync_share:
            self._forget(path)
            raise OSError(5, "injected sync error")
        self._before.pop(path, None)

    def _forget(self, path: str) -> None:
        """The sectors that had not reached the medium hold what they held before."""
        fd = os.open(path, os.O_RDWR)
        size = os.fstat(fd).st_size
        for sector, content in self._before.pop(path, {}).items():
            if self._rng.random() < 0.5 and sector * SECTOR + len(content) <= size:
                os.pwrite(fd, content, sector * SECTOR)
        os.close(fd)

    def crash(self) -> None:
        for path in list(self._before):
            if os.path.exists(path):
                self._forget(path)
        self._before.clear()
        self.calls_left = -1


class Outcome:
    def __init__(self) -> None:
        self.crashes = self.lost = self.changed = self.false_alarms = 0
        self.planted = self.reported = 0


def plant_damage(data: Path, rng: random.Random) -> bool:
    """Flip a byte of a record in the newest segment that a later record there calls durable."""
    folder = log_folder(data)
    firsts = segments(folder)
    if not firsts:
        return False
    content = bytearray((folder / name_of(firsts[-1])).read_bytes())
    places: dict[int, int] = {}
    found: list[Record] = []
    at = PAGE
    while entry := read_record(bytes(content), at, firsts[-1] + len(found)):
        places[entry[0].number] = at
        found.append(entry[0])
        at = entry[1]
    victims = [r.number for r in found if any(later.durable >= r.number for later in found)]
    if not victims:
        return False
    number = rng.choice(victims)
    size = 48 + len(found[number - firsts[-1]].payload)
    content[places[number] + rng.randrange(size)] ^= 1 << rng.randrange(8)
    (folder / name_of(firsts[-1])).write_bytes(content)
    return True


def simulate(base: Path, seed: int, outcome: Outcome, monkeypatch: pytest.MonkeyPatch, bug: bool = False) -> None:
    rng = random.Random(seed)
    run, data = base / f"{seed}-run", base / f"{seed}-data"
    data.mkdir()
    disk = ForgetfulDisk(data, rng)
    for module in (filesystem, mirror, recovery):
        monkeypatch.setattr(module, "os", disk)
    told: dict[int, bytes] = {}
    for life in range(4):
        run.mkdir(exist_ok=True)
        try:
            found = recover(run, data)
        except (PowerCutError, OSError):  # the supervisor starts the core again
            found = None
        if found is not None:
            outcome.false_alarms += len(found.damaged)
            check(run, data, told, outcome)
            log = Log(run, data, found, segment_size=SMALL, segments_in_memory=8)
            live(log, Mirror(run, data), disk, rng, told, bug)
            log.close()
        disk.crash()
        outcome.crashes += 1
        if rng.random() < 0.7:
            wipe(run)
        disk.calls_left = rng.randint(0, 3) if rng.random() < 0.3 and life < 3 else -1  # a cut during recovery
    wipe(run)
    run.mkdir()
    disk.calls_left, disk.fail_sync_share = -1, 0.0
    if not bug and rng.random() < 0.5:
        recover(run, data)
        damaged = plant_damage(data, rng)
        if damaged:
            outcome.planted += 1
            outcome.reported += bool(recover(run, data).damaged)
            return
    recover(run, data)
    check(run, data, told, outcome)


def live(log: Log, copy: Mirror, disk: ForgetfulDisk, rng: random.Random, told: dict[int, bytes], bug: bool) -> None:
    """One life of core and mirror: until a random number of disk operations, or of turns, is over."""
    page = ControlPage(log._folder.parent)
    disk.fail_sync_share = rng.choice([0.0, 0.0, 0.3])
    disk.calls_left = rng.randint(2, 60)
    written: dict[int, bytes] = {}
    try:
        for _ in range(rng.randint(1, 30)):
            for _ in range(rng.randint(1, 12)):
                payload = rng.randbytes(rng.choice([0, 7, 100, 300, 2000]))
                try:
                    written[log.append(7, payload, 1, 2)] = payload
                except LogFull:
                    break
                log.prepare()
                if bug:
                    page[DURABLE] = log.head
            try:
                copy.step()
            except OSError:
                copy.forget()
            told.update({number: written[number] for number in written if number <= log.durable})
    except PowerCutError:
        told.update({number: written[number] for number in written if number <= log.durable})
    copy.close()
    page.close()


def check(run: Path, data: Path, told: dict[int, bytes], outcome: Outcome) -> None:
    tail = Tail(run, data)
    there = {record.number: record.payload for record in tail.poll(1_000_000, durable=True)}
    tail.close()
    outcome.lost += sum(number not in there for number in told)
    outcome.changed += sum(number in there and there[number] != payload for number, payload in told.items())


def wipe(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def seeds() -> Iterator[int]:
    return itertools.count(1)


def test_nothing_called_durable_is_lost_in_power_cuts_and_planted_damage_is_always_reported(
    tmp_path: Path, seeds: Iterator[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = Outcome()
    for seed in itertools.islice(seeds, 150):
        simulate(tmp_path, seed, outcome, monkeypatch)
        assert (outcome.lost, outcome.changed, outcome.false_alarms) == (0, 0, 0), f"seed {seed} reproduces it"
        assert outcome.reported == outcome.planted, f"seed {seed} reproduces it"
    assert outcome.crashes == 600
    assert outcome.planted > 30


def test_the_simulation_finds_a_log_that_acknowledges_before_the_disk_has_it(
    tmp_path: Path, seeds: Iterator[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = Outcome()
    for seed in itertools.islice(seeds, 40):
        simulate(tmp_path, seed, outcome, monkeypatch, bug=True)
    assert outcome.lost > 10
