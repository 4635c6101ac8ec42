"""Files that are whole or absent after a power cut."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make created, renamed and removed names of a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, content: bytes | memoryview, at: int = 0) -> int:
    """pwrite until everything is written; the offset behind it."""
    view = memoryview(content)
    while len(view):
        written = os.pwrite(fd, view, at)
        at += written
        view = view[written:]
    return at


def write_file(path: Path, content: bytes, sync: bool, mode: int = 0o600) -> None:
    """A file of its own under a new name, to be renamed into place by the caller; removed again on OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        write_all(fd, content)
        if sync:
            os.fsync(fd)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def same_file(fd: int, path: Path) -> bool:
    """Whether the name still leads to the open file."""
    try:
        here, there = os.fstat(fd), os.stat(path)
    except OSError:
        return False
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
