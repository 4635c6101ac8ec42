"""The run directory is private, on tmpfs and gone afterwards; one instance works on a data directory."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.runtime.rundir import (
    DataDirectoryLockedError,
    RunDirectoryError,
    file_system_of,
    lock,
    remove_run,
    require_space,
    run_directory,
)

needs_tmpfs = pytest.mark.skipif(file_system_of(Path("/dev/shm")) != "tmpfs", reason="/dev/shm is no tmpfs here")


@pytest.fixture(autouse=True)
def without_service_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    found = run_directory(tmp_path)
    yield found
    remove_run(found)


@needs_tmpfs
def test_it_is_private_and_the_same_for_the_same_data_directory(tmp_path: Path, run: Path) -> None:
    assert run.name.startswith(f"gridbms-{os.getuid()}-")
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert run_directory(tmp_path) == run
    other = tmp_path / "other"
    other.mkdir()
    found = run_directory(other)
    assert found != run
    remove_run(found)


@needs_tmpfs
def test_that_of_the_service_manager_is_taken_and_narrowed_to_its_owner(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = run / "given"
    given.mkdir(mode=0o755)
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{given}:/run/other")
    assert run_directory(tmp_path) == given
    assert stat.S_IMODE(given.stat().st_mode) == 0o700


@needs_tmpfs
def test_removal_leaves_nothing(tmp_path: Path, run: Path) -> None:
    (run / "log").mkdir()
    (run / "log" / "x").write_bytes(b"x")
    (run / "image").write_bytes(b"x")
    remove_run(run)
    assert not run.exists()
    remove_run(run)


@pytest.mark.skipif(file_system_of(Path("/tmp")) == "tmpfs", reason="/tmp is a tmpfs here")
def test_a_directory_on_a_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="expected tmpfs"):
        run_directory(tmp_path, tmp_path / "run")


@needs_tmpfs
def test_a_link_that_somebody_put_there_is_refused(tmp_path: Path, run: Path) -> None:
    (run / "link").symlink_to(tmp_path)
    with pytest.raises(RunDirectoryError, match="not a directory of user"):
        run_directory(tmp_path, run / "link")


def test_too_little_room_is_said_with_what_is_needed(tmp_path: Path) -> None:
    require_space(tmp_path, 1)
    with pytest.raises(RunDirectoryError, match=r"MB free, .* MB needed"):
        require_space(tmp_path, 2**60)


def test_the_longest_mount_point_decides_and_of_two_equal_the_later(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "dev / ext4 rw 0 0\nshm /mnt/a\\040b tmpfs rw 0 0\n"
        "x /mnt/a\\040b/c ext4 rw 0 0\ny /mnt/a\\040b/c tmpfs rw 0 0\n"
    )
    assert file_system_of(Path("/mnt/a b/x"), mounts) == "tmpfs"
    assert file_system_of(Path("/mnt/a b/c/x"), mounts) == "tmpfs"
    assert file_system_of(Path("/mnt/a"), mounts) == "ext4"


def test_a_second_instance_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with lock(tmp_path):
        with pytest.raises(DataDirectoryLockedError, match=f"in use by process {os.getpid()}"):
            lock(tmp_path)
        code = "print('up', flush=True); input()"
        inherited = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
        )
        assert inherited.stdout is not None
        assert inherited.stdout.readline() == b"up\n"  # only now has it closed what a new program does not keep
    with lock(tmp_path):  # a child of the first does not keep it
        pass
    inherited.communicate(b"\n", timeout=30)
    assert inherited.returncode == 0
