"""A tmpfs that is too small or fills up is an error with a text, never a SIGBUS; events go on when there is room."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import errno, sys
from pathlib import Path
from server.runtime.block import Layout, Writer
from server.runtime.eventlog import Log, LogFull
from server.runtime.mirror import Mirror
from server.runtime.rundir import RunDirectoryError, file_system_of, require_space
from server.runtime.tail import Tail

run, data = Path(sys.argv[1]), Path(sys.argv[2])
assert file_system_of(run) == "tmpfs"
try:
    require_space(run, 64 << 20)
except RunDirectoryError as error:
    print("space:", error)
try:
    Writer(run / "image", Layout([("value", "f8", 1 << 20)]), 1)
except OSError as error:
    assert error.errno == errno.ENOSPC
    print("image:", error)
assert list(run.iterdir()) == []

log = Log(run, data, segment_size=256 << 10)
warned = 0
try:
    while True:
        log.append(7, b"x" * 1000, 0, 0)
        warned += not log.prepare()
except LogFull as error:
    print("log:", error)
assert warned > 0 and log.lost == 1
head = log.head
Mirror(run, data).step()
assert log.prepare()
assert log.append(7, b"again", 0, 0) == head + 1
Mirror(run, data).step()
assert [r.number for r in Tail(run, data).poll(10**6, durable=True)] == list(range(1, head + 2))
print("good:", head)
"""


def unshared(folder: Path, program: list[str]) -> "subprocess.CompletedProcess[str]":
    mount = 'mount -t tmpfs -o size=2m none "$0" && exec "$@"'
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, str(folder), *program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_tmpfs_of_2_mb_is_refused_for_the_image_and_fills_with_events_without_a_crash(tmp_path: Path) -> None:
    run, data = tmp_path / "run", tmp_path / "data"
    run.mkdir()
    data.mkdir()
    try:
        allowed = unshared(run, ["true"])
    except FileNotFoundError:
        pytest.skip("the program unshare is not here: no tmpfs of its own size can be mounted")
    if allowed.returncode != 0:
        pytest.skip(f"user namespaces are not allowed here: {allowed.stderr.strip()}")
    done = unshared(run, [sys.executable, "-c", PROGRAM, str(run), str(data)])
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert "1 MB free" in lines["space"] or "2 MB free" in lines["space"]
    assert "enlarge the tmpfs" in lines["image"]
    assert "wait for the disk" in lines["log"]
    assert int(lines["good"]) > 1000
