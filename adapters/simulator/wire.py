"""The bus between the simulated plant and its listeners: records of 24 bytes over a Unix stream socket.

Both sides send a hello record first; its last byte is the version. Anything that is no record ends the connection,
because a stream that has lost its step cannot be put right. See docs/formats.md, "Simulated bus".
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

VERSION = 1
HELLO, FRAME = 1, 2
RECORD = np.dtype(
    [("id", "<u4"), ("length", "u1"), ("kind", "u1"), ("spare", "<u2"), ("mono_ns", "<i8"), ("data", "u1", 8)]
)
"""`id` carries the flags EXTENDED, REMOTE, ERROR; `data` is padded with zeros; `mono_ns` is the hub's monotonic time."""
READ_BYTES = 65_536
"""Taken from the socket in one call."""

_GREETING = b"GBPLANT"
_LONGEST_ADDRESS = 107  # sockaddr_un.sun_path without the final zero


class WireError(Exception):
    """What arrived is no record, or the peer speaks another version."""


class Columns(NamedTuple):
    """N frames as columns: u4[N] ids with flags, u1[N, 8] data, u1[N] lengths, i8[N] monotonic ns."""

    ids: NDArray[np.uint32]
    data: NDArray[np.uint8]
    length: NDArray[np.uint8]
    mono_ns: NDArray[np.int64]


def hello() -> bytes:
    """The first record of either side."""
    record = np.zeros(1, RECORD)
    record["kind"], record["length"] = HELLO, 8
    record["data"][0] = np.frombuffer(_GREETING + bytes((VERSION,)), np.uint8)
    return record.tobytes()


def check_hello(record: bytes) -> None:
    """WireError unless these 24 bytes are the hello of this version."""
    greeting, version = record[16:23], record[23]
    if record[5] != HELLO or greeting != _GREETING:
        raise WireError("the peer is no simulated bus: its first record is no hello")
    if version != VERSION:
        raise WireError(f"the peer speaks version {version} of the simulated bus, this program version {VERSION}")


def pack(frames: Columns) -> bytes:
    """Frames as records."""
    records = np.zeros(len(frames.ids), RECORD)
    records["id"], records["length"], records["kind"] = frames.ids, frames.length, FRAME
    records["mono_ns"], records["data"] = frames.mono_ns, frames.data
    return records.tobytes()


class RecordStream:
    """Bytes of one connection in, whole records out; keeps less than one record."""

    def __init__(self) -> None:
        self._rest = b""
        self.greeted = False

    def feed(self, received: bytes) -> Columns:
        """The frames that are complete now; may be none. WireError for anything else than records."""
        content = self._rest + received if self._rest else received
        whole = len(content) // RECORD.itemsize * RECORD.itemsize
        self._rest = content[whole:]
        records: NDArray[Any] = np.frombuffer(content[:whole], RECORD)
        if len(records) and not self.greeted:
            check_hello(content[: RECORD.itemsize])
            self.greeted = True
            records = records[1:]
        if not ((records["kind"] == FRAME) & (records["length"] <= 8) & (records["spare"] == 0)).all():
            raise WireError("bytes that are no frame record")
        return Columns(records["id"], records["data"], records["length"], records["mono_ns"])


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """`path` as a socket address: through an open folder where it is longer than the 107 bytes of sockaddr_un."""
    text = os.fspath(path)
    if len(os.fsencode(text)) <= _LONGEST_ADDRESS:
        yield text
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listening_socket(path: Path, backlog: int) -> socket.socket:
    """A socket that listens on `path` (0600), not blocking; one that a dead process left behind is replaced.

    OSError, with the path, when it cannot be taken.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)
        with socket_address(path) as address:
            listener.bind(address)
        os.chmod(path, 0o600)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"socket {path}: {reason}; choose another path") from error
    return listener
