"""Files that hold secrets or decide about trust: created narrow, checked before use, replaced atomically."""

from __future__ import annotations

import os
import secrets
import shlex
import stat
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


class UnsafeFileError(Exception):
    """A file or folder that others can read, that is not ours, or that is a symbolic link.

    The message names the path, what was found and the exact command that mends it.
    """


def _refuse(path: Path, found: str, command: str) -> UnsafeFileError:
    return UnsafeFileError(f"{path}: {found}; refused. Remedy: {command}")


def check_private(path: Path, *, folder: bool = False) -> None:
    """Require that `path` is a real file (or folder) of this user that nobody else can open.

    Raises:
        UnsafeFileError: symbolic link, wrong kind, wrong owner or mode wider than 0600 (folder 0700).
        FileNotFoundError: the path does not exist.
    """
    found = path.lstat()
    quoted = shlex.quote(str(path))
    wanted = PRIVATE_FOLDER if folder else PRIVATE_FILE
    if stat.S_ISLNK(found.st_mode):
        raise _refuse(
            path,
            "is a symbolic link",
            f"replace it by the real file: cp --remove-destination "
            f'"$(readlink -f {quoted})" {quoted} && chmod {wanted:o} {quoted}',
        )
    if folder != stat.S_ISDIR(found.st_mode) or not (folder or stat.S_ISREG(found.st_mode)):
        kind = "folder" if folder else "regular file"
        raise _refuse(path, f"is not a {kind}", f"move it away: mv {quoted} {quoted}.old")
    if found.st_uid != os.geteuid():
        raise _refuse(
            path, f"belongs to user id {found.st_uid}, expected {os.geteuid()}", f"chown {os.geteuid()} {quoted}"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise _refuse(
            path, f"has mode {stat.S_IMODE(found.st_mode):04o}, expected {wanted:04o}", f"chmod {wanted:o} {quoted}"
        )


def check_data_directory(folder: Path) -> None:
    """Create the data directory if absent; one in which others could exchange files is refused.

    Others may look into it: what is secret below it has its own narrow mode.
    """
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    status = folder.stat()
    quoted = shlex.quote(str(folder))
    if status.st_uid != os.geteuid():
        raise _refuse(
            folder, f"belongs to user id {status.st_uid}, expected {os.geteuid()}", f"chown {os.geteuid()} {quoted}"
        )
    if status.st_mode & 0o022:
        raise _refuse(folder, f"has mode {stat.S_IMODE(status.st_mode):04o}: others can write", f"chmod go-w {quoted}")


def read_private(path: Path, maximum_bytes: int = 1 << 20) -> bytes:
    """Read a private file after `check_private`, never through a symbolic link, at most `maximum_bytes`."""
    check_private(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        content = file.read(maximum_bytes + 1)
    if len(content) > maximum_bytes:
        raise UnsafeFileError(f"{path}: larger than {maximum_bytes} bytes; refused")
    return content


def read_public(path: Path, maximum_bytes: int) -> bytes | None:
    """Read a certificate or CRL; None for what is no regular file, is too large, or is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        content = file.read(maximum_bytes + 1)
    return content if len(content) <= maximum_bytes else None


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` atomically by `content` with mode 0600 from its first byte on, and sync it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(folder: Path) -> None:
    """Create `folder` and its parents with mode 0700 if absent; an existing one is checked, not changed."""
    for missing in reversed([folder, *folder.parents]):
        if not missing.exists() and not missing.is_symlink():
            missing.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    check_private(folder, folder=True)
