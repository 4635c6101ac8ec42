"""A run directory, a data directory with users and keys, the image and the face over it: what two benchmarks need."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from information_model.roles import Role
from server.config.site import Site
from server.pki.files import make_private_folder
from server.supervisor.command_line import environment
from server.users import UserDirectory
from tests.benchmarks.bench_site import ImageWriter
from tests.benchmarks.child import Child
from tests.benchmarks.credentials import USER, make_credentials
from tests.program import PASSWORD


@dataclass(frozen=True)
class ServedFace:
    """A face that serves."""

    child: Child
    endpoint: str
    image: ImageWriter
    credentials: Path
    log: Path


def make_data(data: Path) -> None:
    """A data directory with the user of the bench."""
    make_private_folder(data)
    UserDirectory(data).add(USER, PASSWORD, [Role.OPERATOR])


@contextlib.contextmanager
def served(kind: str, site: Site, site_file: Path, folder: Path, slots: NDArray[np.int64]) -> Iterator[ServedFace]:
    """The face of a site over an image written here; the data directory is `folder`/data."""
    data, log = folder / "data", folder / "log.txt"
    credentials = make_credentials(folder / "client", data)
    run = Path(tempfile.mkdtemp(prefix="gridbms-bench-", dir="/dev/shm"))
    try:
        image = ImageWriter(site, run, slots)
        image.start()
        try:
            with Child.python("face_process", kind, site_file, run, data, log=log, env=environment()) as child:
                yield ServedFace(child, child.line(), image, credentials, log)
        finally:
            image.close()
    finally:
        shutil.rmtree(run)
