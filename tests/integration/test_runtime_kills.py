"""Core and mirror are killed at random moments: nothing that a reader was told is durable is lost or changed.

The file is its own driver: a small process without threads that forks core and mirror, reads the log as an archive
does, kills, and prints what it found. A slow disk is played by a delay before each sync, without which a log that
acknowledges too early would go unnoticed on a fast machine.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

from server.runtime.eventlog import Log, LogFull, Recovery, recover
from server.runtime.logpage import DURABLE, ControlPage
from server.runtime.mirror import run_mirror
from server.runtime.parent import bind_to_parent
from server.runtime.segment import PAGE, Record
from server.runtime.state import hand_over_state, load_state
from server.runtime.tail import Tail

ROOT = Path(__file__).parents[2]
SEGMENT = 16 * PAGE
SYNC_S = 0.004
HANG_S = 60.0


def run_driver(folder: Path, *arguments: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, __file__, str(folder), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_200_kills_lose_nothing_that_a_reader_was_told_is_durable(tmp_path: Path) -> None:
    found = run_driver(tmp_path, "200", "honest")
    assert found["kills"] == 200
    assert found["wiped"] > 40
    assert found["told"] > 5_000
    assert (found["lost"], found["changed"], found["gaps"], found["damaged"]) == (0, 0, 0, 0)
    assert found["states"] > 50
    assert found["state_differs"] == 0


def test_the_kills_find_a_log_that_acknowledges_before_the_disk_has_it(tmp_path: Path) -> None:
    found = run_driver(tmp_path, "40", "planted")
    assert found["lost"] + found["changed"] + found["state_differs"] > 0


def fold(state: dict[str, int], record: Record) -> None:
    """Stands for latches and counters: any lost, doubled or swapped record gives another result."""
    key = f"latch{record.number % 50}"
    state[key] = crc32(record.payload, state.get(key, 0))
    state["count"] = state.get("count", 0) + 1


def core(run: Path, data: Path, recovery: Recovery, seed: int, planted: bool) -> None:
    rng = random.Random(seed)
    saved = load_state(data)
    state: dict[str, int] = json.loads(saved.body) if saved else {}
    for record in Tail(run, data, saved.number if saved else 0).poll(1_000_000, durable=True):
        fold(state, record)
    log = Log(run, data, recovery, segment_size=SEGMENT)
    page = ControlPage(run)
    tail = Tail(run, data, log.next - 1)
    while True:
        for _ in range(rng.randint(1, 40)):
            try:
                log.append(7, rng.randbytes(rng.randint(0, 400)), 1, 2)
            except LogFull:
                break
            log.prepare()
            if planted:
                page[DURABLE] = log.head
        for record in tail.poll(1_000_000):
            fold(state, record)
        log.wake_mirror()
        if rng.random() < 0.3:
            hand_over_state(run, json.dumps(state).encode(), log.head, 3)
        log.prepare()
        time.sleep(rng.uniform(0, 0.002))  # the rest of a cycle


def slow_mirror(run: Path, data: Path) -> None:
    good = os.fdatasync

    def slow(fd: Any) -> None:
        time.sleep(SYNC_S)
        good(fd)

    os.fdatasync = slow
    run_mirror(run, data, lambda: False)


class Driver:
    def __init__(self, base: Path, planted: bool) -> None:
        self.run, self.data, self.planted = base / "run", base / "data", planted
        self.data.mkdir()
        self.run.mkdir()
        self.rng = random.Random(7)
        self.told: dict[int, int] = {}
        self.state: dict[str, int] = {}
        self.known: dict[int, int] = {}
        self.folded = 0
        self.core = self.mirror = 0
        self.tail = Tail(self.run, self.data)
        self.found = dict.fromkeys(
            ("kills", "wiped", "told", "lost", "changed", "gaps", "damaged", "states", "state_differs"), 0
        )

    def fork(self, work: Callable[[], None]) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                bind_to_parent(parent)
                work()
            finally:
                os._exit(1)
        return pid

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def read(self) -> int:
        """As an archive: only what is durable."""
        records = self.tail.poll(100_000, durable=True)
        for record in records:
            self.told[record.number] = crc32(record.payload)
        return len(records)

    def read_more(self, count: int) -> None:
        until = time.monotonic() + HANG_S
        while count > 0:
            count -= self.read()
            if time.monotonic() > until:
                raise TimeoutError("nothing becomes durable")

    def check(self, recovery: Recovery) -> None:
        """What was told since the last check is there and unchanged; state and replay give what the whole log gives."""
        self.found["damaged"] += len(recovery.damaged)
        fresh = Tail(self.run, self.data, self.folded)
        for record in fresh.poll(10_000_000, durable=True):
            fold(self.state, record)
            self.known[record.number] = crc32(record.payload)
            self.folded = record.number
        self.found["gaps"] += len(fresh.gaps)
        self.found["told"] += len(self.told)
        self.compare(self.told)
        self.told.clear()
        saved = load_state(self.data)
        replayed: dict[str, int] = json.loads(saved.body) if saved else {}
        self.found["states"] += saved is not None
        for record in Tail(self.run, self.data, saved.number if saved else 0).poll(10_000_000, durable=True):
            fold(replayed, record)
        self.found["state_differs"] += replayed != self.state
        self.tail = Tail(self.run, self.data, recovery.next - 1)

    def compare(self, told: dict[int, int]) -> None:
        self.found["lost"] += sum(number not in self.known for number in told)
        self.found["changed"] += sum(self.known.get(number, check) != check for number, check in told.items())

    def check_whole_log(self) -> None:
        """At the end once more from the disk: nothing that a start had found is lost or changed by a later one."""
        found, self.known = self.known, {}
        everything = Tail(self.run, self.data)
        self.known = {record.number: crc32(record.payload) for record in everything.poll(10_000_000, durable=True)}
        self.found["gaps"] += len(everything.gaps)
        self.compare(found)

    def drive(self, kills: int) -> None:
        for kill in range(kills):
            recovery = recover(self.run, self.data)
            self.check(recovery)
            if not self.mirror:
                self.mirror = self.fork(lambda: slow_mirror(self.run, self.data))
            seed = self.rng.getrandbits(32)
            self.core = self.fork(lambda: core(self.run, self.data, recovery, seed, self.planted))  # noqa: B023 (forked at once)
            self.read_more(self.rng.randint(1, 60))
            time.sleep(self.rng.uniform(0, 0.01))  # the random moment
            fate = self.rng.random()
            if fate < 0.15:  # the mirror alone first, and the core goes on
                self.kill(self.mirror)
                self.mirror = self.fork(lambda: slow_mirror(self.run, self.data))
                self.read_more(1)
            self.kill(self.core)
            if fate > 0.5:
                self.kill(self.mirror)
                self.mirror = 0
            self.read()
            if fate > 0.7:
                shutil.rmtree(self.run)
                self.run.mkdir()
                self.found["wiped"] += 1
            self.found["kills"] = kill + 1
        if self.mirror:
            self.kill(self.mirror)
        self.check(recover(self.run, self.data))
        self.check_whole_log()


if __name__ == "__main__":
    driver = Driver(Path(sys.argv[1]), planted=sys.argv[3] == "planted")
    driver.drive(int(sys.argv[2]))
    print(json.dumps(driver.found))
