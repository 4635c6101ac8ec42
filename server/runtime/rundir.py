"""The run directory (tmpfs, one life of the program) and the lock of the data directory."""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import stat
from pathlib import Path
from types import TracebackType

log = logging.getLogger("gridbms.runtime")

LOCK = "lock"
LOG_BYTES = 64 << 20
"""What the segments of the event log take on the tmpfs until the disk has them."""


class RunDirectoryError(Exception):
    """The run directory cannot serve: no tmpfs, foreign owner, no room. The text says how to mend it."""


class DataDirectoryLockedError(Exception):
    """Another instance works on the data directory."""


def run_directory(data: Path, explicit: Path | None = None) -> Path:
    """Create (0700) or find the run directory for a data directory.

    `explicit` wins, then `RUNTIME_DIRECTORY` of systemd (/run/gridbms), then /dev/shm/gridbms-<uid>-<hash of data>.
    """
    if explicit is not None:
        run = explicit
    elif os.environ.get("RUNTIME_DIRECTORY"):
        run = Path(os.environ["RUNTIME_DIRECTORY"].split(":")[0])
    else:
        name = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
        run = Path("/dev/shm") / f"gridbms-{os.getuid()}-{name}"  # noqa: S108 (0700 and owner checked below)
    try:
        run.mkdir(mode=0o700, exist_ok=True)
        status = os.lstat(run)
    except OSError as error:
        raise RunDirectoryError(f"run directory {run}: {error.strerror}; give another one on a tmpfs") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise RunDirectoryError(
            f"run directory {run}: not a directory of user {os.geteuid()} (owner {status.st_uid}); remove it"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        os.chmod(run, 0o700)
    kind = file_system_of(run)
    if kind != "tmpfs":
        raise RunDirectoryError(
            f"run directory {run}: on {kind}, expected tmpfs (dirty pages would go to disk for nothing); "
            "give a directory below /dev/shm or /run"
        )
    return run


def file_system_of(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The type of the file system that holds a path, by the longest mount point above it; the later of two equal."""
    resolved = path.resolve()
    best, kind = -1, "an unknown file system"
    for line in mounts.read_text(errors="surrogateescape").splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_unescape(fields[1]))
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind


def _unescape(field: str) -> str:
    """fstab(5): blanks and backslashes of a mount point are octal."""
    for code in ("040", "011", "012", "134"):
        field = field.replace("\\" + code, chr(int(code, 8)))
    return field


def needed_space(image_bytes: int) -> int:
    """Bytes that the run directory must have room for: a core that starts anew makes its image beside the old one."""
    return 2 * image_bytes + LOG_BYTES


def require_space(run: Path, needed_bytes: int) -> None:
    """RunDirectoryError when the tmpfs has less room than blocks and log need (containers give /dev/shm 64 MB)."""
    free = os.statvfs(run)
    available = free.f_bavail * free.f_frsize
    if available < needed_bytes:
        raise RunDirectoryError(
            f"run directory {run}: {available >> 20} MB free, {(needed_bytes >> 20) + 1} MB needed for image and event "
            "log; enlarge the tmpfs (containers: --shm-size)"
        )


def remove_run(run: Path) -> None:
    """Leave nothing on tmpfs. To be called once the log is durable; the directory of systemd itself is systemd's."""
    for entry in list(os.scandir(run)) if run.is_dir() else []:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.path)
    with contextlib.suppress(OSError):
        run.rmdir()


class DataLock:
    """Held as long as the object is open; a death releases it. Children do not inherit it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "DataLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock(data: Path) -> DataLock:
    """Take the data directory for this process, or raise DataDirectoryLockedError with the pid that has it."""
    path = data / LOCK
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise DataDirectoryLockedError(
            f"data directory {data}: in use by process {holder}; stop it or give another data directory"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return DataLock(fd)
