"""One writer, any number of readers: numbers in a mapped file on tmpfs, the newest slot published by its number.

No lock is held that a dead process could keep. The writer fills the next slot while readers copy the newest one; a
reader that was lapped sees the slot's number changed and copies again.
"""

import contextlib
import glob
import logging
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.runtime.layout import (
    EPOCH_WORD,
    HEAD_WORD,
    MAGIC,
    NEXT_WORD,
    PAGE,
    STOPPED,
    VERSION,
    Layout,
    Views,
)
from server.runtime.ordering import fence, register

__all__ = ["BLOCK_LIMIT_NS", "Layout", "Reader", "Stamp", "Unavailable", "Writer"]

log = logging.getLogger("gridbms.runtime")

BLOCK_LIMIT_NS = 1_000_000_000
"""A block that was written longer ago says nothing any more: its writer is dead or hangs."""
NAME_CHECK_NS = 1_000_000_000
TRIES = 8


class Unavailable(Exception):  # noqa: N818 (a state of affairs, not a fault)
    """No block content: missing, foreign layout, never published, stopped, lapped. The text says which."""


class LappedError(Unavailable):
    """The writer overtook every attempt: what was copied is a mixture of images and must not be used."""


class Stamp(NamedTuple):
    """What stands in the head of a slot: numbers of image and cycle, the times of its cycle, the newest log number."""

    sequence: int
    cycle: int
    mono_ns: int
    utc_ns: int
    time_epoch: int
    log_sequence: int


class Writer:
    """The only writer of a block. Each start makes a new file; it takes the name with its first publication.

    Until then readers keep the last content of the predecessor, afterwards the predecessor's file names its successor:
    no gap and no polling of the directory. Raises OSError (ENOSPC) at once when the file system has no room.
    """

    def __init__(self, path: Path | str, layout: Layout, epoch: int) -> None:
        register()
        self.path, self.layout, self.epoch = Path(path), layout, epoch
        self.sequence = 0
        self._in_work = False
        self._named = False
        self._next_check_ns = 0
        self._complained = False
        for left in glob.glob(glob.escape(str(self.path)) + ".*.part"):  # of a writer killed before its first image
            with contextlib.suppress(FileNotFoundError):
                os.unlink(left)
        self._views, self._inode = self._create()

    @property
    def _part(self) -> str:
        return f"{self.path}.{os.getpid()}.part"

    def _create(self) -> tuple[Views, int]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._part)
        fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            # posix_fallocate says ENOSPC here; ftruncate alone would be SIGBUS at a later store
            os.posix_fallocate(fd, 0, self.layout.size)
            # populated now, or the page faults come inside the cycle
            mapping = mmap.mmap(fd, self.layout.size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
            inode = os.fstat(fd).st_ino
        except OSError as error:
            os.unlink(self._part)
            raise OSError(
                error.errno,
                f"block {self.path.name} needs {self.layout.size} bytes in {self.path.parent}: {error.strerror}; "
                "make room there or enlarge the tmpfs",
            ) from error
        finally:
            os.close(fd)
        mapping[0:64] = self.layout.header(self.epoch, os.getpid())
        return self.layout.views(mapping), inode

    def begin(self) -> dict[str, NDArray[Any]]:
        """The columns of the slot to fill; whatever happens now, readers keep the newest published slot."""
        k = (self.sequence + 1) % self.layout.slots
        self._in_work = True
        self._views.numbers[k][0] = 0
        fence()
        return self._views.slots[k]

    def publish(self, cycle: int, mono_ns: int, utc_ns: int, time_epoch: int = 0, log_sequence: int = 0) -> None:
        """Make the slot of the last `begin` the newest one."""
        sequence = self.sequence + 1
        k = sequence % self.layout.slots
        self._views.stamps[k][:] = cycle, mono_ns, utc_ns, time_epoch, log_sequence
        fence()
        self._views.numbers[k][0] = sequence
        self._views.words[HEAD_WORD] = sequence
        self.sequence = sequence
        self._in_work = False
        if not self._named:
            self._take_name()

    def _take_name(self) -> None:
        old = -1
        with contextlib.suppress(FileNotFoundError):
            old = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.rename(self._part, self.path)
            self._named = True
            if old >= 0 and os.fstat(old).st_size >= PAGE:
                with mmap.mmap(old, PAGE) as page:
                    if page[0:8] == MAGIC:
                        page[NEXT_WORD * 8 : NEXT_WORD * 8 + 8] = self.epoch.to_bytes(8, "little")
        finally:
            if old >= 0:
                os.close(old)

    def path_lost(self) -> bool:
        """Whether the name is no longer this writer's file: a cleaner removed it, or another file took its place."""
        if not self._named:
            return False
        try:
            return os.stat(self.path).st_ino != self._inode
        except OSError:
            return True

    def check_name(self, now_mono_ns: int) -> bool:
        """Once a second: take the name again when it was lost. False while the block has no name of its own.

        To be called between `publish` and the next `begin`. logind removes a user's files in /dev/shm at logout
        (`RemoveIPC=`); readers that are attached stay so, only new ones would find nothing.
        """
        if now_mono_ns < self._next_check_ns:
            return not self._complained
        self._next_check_ns = now_mono_ns + NAME_CHECK_NS
        lost = self.path_lost()
        if lost and not self._in_work and int(self._views.words[NEXT_WORD]) == 0:  # else: superseded, not lost
            try:
                self._renew()
            except OSError as error:
                if not self._complained:
                    log.warning("%s was removed and cannot be made again: %s; trying each second", self.path, error)
            else:
                log.warning("%s was removed from outside; a new file has its place", self.path)
                lost = False
        self._complained = lost
        return not lost

    def _renew(self) -> None:
        """A new file with the newest content takes the name; attached readers follow the mark in the old one."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        views, inode = self._create()
        k = self.sequence % self.layout.slots
        for name, column in self._views.slots[k].items():
            np.copyto(views.slots[k][name], column)
        views.stamps[k][:] = self._views.stamps[k]
        fence()
        views.numbers[k][0] = self.sequence
        views.words[HEAD_WORD] = self.sequence
        os.rename(self._part, self.path)
        self._views.words[NEXT_WORD] = self.epoch
        self._views, self._inode = views, inode

    def close(self) -> None:
        """Tell readers that the writer stopped on purpose. The file stays until the run directory is removed."""
        self._views.words[NEXT_WORD] = STOPPED
        if not self._named:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._part)


class Reader:
    """Copies columns of the newest published slot; attaches by itself and follows restarts of the writer.

    `epoch` is that of the content last read, `retries` counts copies that a writer overtook. The age of the stamp has
    to be checked where a value is used: a dead or hung writer shows in nothing else.
    """

    def __init__(self, path: Path | str, layout: Layout) -> None:
        register()
        self.path, self.layout = Path(path), layout
        self.epoch = 0
        self.retries = 0
        self._views: Views | None = None
        self._inode = 0
        self._last = 0

    def _open(self) -> Views:
        self._views = None
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"{self.path}: {error.strerror}") from None
        try:
            status = os.fstat(fd)
            head = os.pread(fd, 64, 0)
            self._check(head, status.st_size)
            mapping = mmap.mmap(fd, status.st_size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        views = self.layout.views(mapping)
        if int(views.words[NEXT_WORD]) == STOPPED:
            raise Unavailable(f"{self.path}: the writer has stopped")
        self.epoch = int(views.words[EPOCH_WORD])
        self._views, self._inode, self._last = views, status.st_ino, 0
        return views

    def _check(self, head: bytes, size: int) -> None:
        if size < PAGE or len(head) < 64:
            raise Unavailable(f"{self.path}: {size} bytes, too short for a block")
        if head[:8] != MAGIC:
            raise Unavailable(f"{self.path}: not a block, it begins with {head[:8]!r}")
        version = int.from_bytes(head[8:12], "little")
        if version != VERSION:
            raise Unavailable(f"{self.path}: block version {version}, this program reads version {VERSION}")
        if head[24:40] != self.layout.hash or size != self.layout.size:
            raise Unavailable(
                f"{self.path}: layout of another configuration (hash {head[24:40].hex()}, {size} bytes; "
                f"expected {self.layout.hash.hex()}, {self.layout.size} bytes); restart this process"
            )

    def _replaced(self) -> bool:
        """Whether the name leads to another file: of a writer that died before it marked its predecessor."""
        try:
            return os.stat(self.path).st_ino != self._inode
        except OSError:
            return False

    def read(self, into: Mapping[str, NDArray[Any]]) -> Stamp:
        """Copy the named columns (name -> own array of the column's length) of the newest slot.

        Raises Unavailable when there is nothing to copy, LappedError when `into` holds a mixture.
        """
        views = self._views
        if (
            views is None
            or int(views.words[NEXT_WORD])
            or (int(views.words[HEAD_WORD]) == self._last and self._replaced())
        ):
            views = self._open()
        for _ in range(TRIES):
            sequence = int(views.words[HEAD_WORD])
            if sequence == 0:
                raise Unavailable(f"{self.path}: nothing published yet")
            k = sequence % self.layout.slots
            number, slot = views.numbers[k], views.slots[k]
            if int(number[0]) == sequence:
                stamp = views.stamps[k].tolist()
                for name, out in into.items():
                    np.copyto(out, slot[name])
                if int(number[0]) == sequence:
                    self._last = sequence
                    return Stamp(sequence, *stamp)
            self.retries += 1
        raise LappedError(f"{self.path}: lapped {TRIES} times")
