"""A writer flat out, readers and writers killed: no reader ever sees a mixture, or an older image after a newer one.

The file is its own driver, a process without threads that forks writers and readers. The negative control, readers that
take the slot in work, proves that a mixture would be seen.
"""

import json
import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.runtime.block import Layout, Reader, Unavailable, Writer
from server.runtime.layout import HEAD_WORD
from server.runtime.parent import bind_to_parent

ROOT = Path(__file__).parents[2]
LAYOUT = Layout([("value", "f8", 60_000), ("status", "u4", 60_000), ("cell", "f4", 200_000)])
READS, TORN, BACKWARDS, EPOCHS, CONTROL_READS, CONTROL_TORN = range(6)
READERS = 2
LENGTH_S = 3.0
HANG_S = 60.0


def test_no_image_is_torn_and_none_goes_backwards_while_writers_and_readers_are_killed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "image")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["torn"] == 0
    assert found["backwards"] == 0
    assert found["reads"] > 500
    assert found["writer_kills"] > 2
    assert found["reader_kills"] > 0
    assert found["epochs"] > 2  # a reader that was never killed followed the restarts
    assert found["control_torn"] > 0


def write_flat_out(path: Path, epoch: int) -> None:
    writer = Writer(path, LAYOUT, epoch)
    sequence = 0
    while True:
        sequence += 1
        columns = writer.begin()
        for column in columns.values():
            column[:] = sequence % 1000
        writer.publish(sequence, 0, epoch)


def is_torn(into: dict[str, NDArray[Any]], sequence: int) -> bool:
    return any(bool((column != sequence % 1000).any()) for column in into.values())


def columns() -> dict[str, NDArray[Any]]:
    return {name: np.zeros(length, dtype) for name, dtype, length in LAYOUT.columns}


class Follower:
    """Reads, checks, and counts into words that its parent sees."""

    def __init__(self, path: Path, words: NDArray[np.int64]) -> None:
        self.reader, self.into, self.words = Reader(path, LAYOUT), columns(), words
        self.last = (0, 0)

    def read(self) -> bool:
        try:
            stamp = self.reader.read(self.into)
        except Unavailable:
            return False
        now = (stamp.utc_ns, stamp.sequence)
        self.words[READS] += 1
        self.words[TORN] += is_torn(self.into, stamp.sequence) or stamp.utc_ns != self.reader.epoch
        self.words[BACKWARDS] += now < self.last
        self.words[EPOCHS] += now[0] != self.last[0]
        self.last = now
        return True


def follow(path: Path, words: NDArray[np.int64]) -> None:
    follower = Follower(path, words)
    while True:
        follower.read()


def follow_slot_in_work(path: Path, words: NDArray[np.int64]) -> None:
    """The negative control: looks where the writer writes, and does not check the number."""
    reader = Reader(path, LAYOUT)
    into = columns()
    while True:
        try:
            reader.read({})
        except Unavailable:
            continue
        views = reader._views
        assert views is not None
        slot = views.slots[(int(views.words[HEAD_WORD]) + 1) % LAYOUT.slots]
        for name, column in into.items():
            np.copyto(column, slot[name])
        words[CONTROL_READS] += 1
        words[CONTROL_TORN] += len({float(column[k]) for column in into.values() for k in (0, -1)}) > 1


def fork(work: Callable[[], None]) -> int:
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        try:
            bind_to_parent(parent)
            work()
        finally:
            os._exit(1)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def drive(path: Path) -> dict[str, int]:
    rng = random.Random(3)
    page = np.frombuffer(mmap.mmap(-1, 4096), np.int64).reshape(-1, 8)
    own = Follower(path, page[0])
    writer_kills = reader_kills = 0
    writer = fork(lambda: write_flat_out(path, 1))
    control = fork(lambda: follow_slot_in_work(path, page[1]))
    readers = [fork(lambda k=k: follow(path, page[2 + k])) for k in range(READERS)]  # type: ignore[misc]  # bound early
    begin = time.monotonic()
    while time.monotonic() < begin + LENGTH_S or writer_kills < 3 or page[0][READS] < 500:
        assert time.monotonic() < begin + HANG_S, "no progress"
        wanted = page[0][READS] + rng.randint(10, 150)
        while page[0][READS] < wanted and time.monotonic() < begin + HANG_S:
            own.read()
        kill(writer)
        writer_kills += 1
        if rng.random() < 0.5:
            kill(readers[0])
            reader_kills += 1
            readers[0] = fork(lambda: follow(path, page[2]))
        writer = fork(lambda: write_flat_out(path, writer_kills + 1))  # noqa: B023 (forked at once)
        if control and page[1][CONTROL_TORN] > 20:
            kill(control)
            control = 0
    for pid in [writer, *([control] if control else []), *readers]:
        kill(pid)
    return {
        "reads": int(page[:, READS].sum() - page[1][READS]),
        "torn": int(page[:, TORN].sum() - page[1][TORN]),
        "backwards": int(page[:, BACKWARDS].sum()),
        "epochs": int(page[0][EPOCHS]),
        "writer_kills": writer_kills,
        "reader_kills": reader_kills,
        "control_reads": int(page[1][CONTROL_READS]),
        "control_torn": int(page[1][CONTROL_TORN]),
    }


if __name__ == "__main__":
    print(json.dumps(drive(Path(sys.argv[1]))))
