"""The control page of the event log: `RUN/log/control`, one page of u8 words that core and mirror share.

Word 1 head (last appended), 2 durable, 3 errno of the mirror (0 good), 4 monotonic ns of the mirror's last turn,
5 records lost because memory was full, 6 starts of the core begun, 7 starts whose recovery is complete. Word 0 holds
the magic. The page is never replaced or truncated while anybody may have it mapped.
"""

import mmap
import os
from pathlib import Path

import numpy as np

from server.runtime.filesystem import same_file
from server.runtime.ordering import fence, register

MAGIC = int.from_bytes(b"GBLOGCT1", "little")
SIZE = 4096
HEAD, DURABLE, ERROR, BEAT, LOST, STARTS, OPENED = 1, 2, 3, 4, 5, 6, 7


def log_folder(base: Path) -> Path:
    """The folder of the segments below the run directory or the data directory."""
    return base / "log"


class ControlPage:
    """The words; each has one writer (core: 1, 5, 6, 7 and, during recovery, 2; mirror: 2, 3, 4)."""

    def __init__(self, run: Path, write: bool = True) -> None:
        register()
        self.path = log_folder(run) / "control"
        if write:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)  # the run directory itself must be there
        flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        self._fd = os.open(self.path, flags | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(self._fd).st_size < SIZE:
                if not write:
                    raise OSError(5, f"{self.path}: shorter than a page; the core has not made it yet")
                os.posix_fallocate(self._fd, 0, SIZE)
            protection = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
            self._map = mmap.mmap(self._fd, SIZE, flags=mmap.MAP_SHARED, prot=protection)
            self._words = np.frombuffer(self._map, np.uint64)
            if write and int(self._words[0]) == 0:
                self._words[0] = MAGIC
            if int(self._words[0]) != MAGIC:
                raise OSError(5, f"{self.path}: not a control page of version 1; remove the run directory {run}")
        except OSError:
            os.close(self._fd)
            raise

    def __getitem__(self, word: int) -> int:
        return int(self._words[word])

    def __setitem__(self, word: int, value: int) -> None:
        fence()  # what the number announces was stored before
        self._words[word] = value

    def replaced(self) -> bool:
        """Whether another page has the name (the run directory was removed and made again)."""
        return self.path.exists() and not same_file(self._fd, self.path)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
