"""The whole program for a benchmark: started, with a client's credentials, stopped and removed."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from server.config.site import Site, load_site
from tests.benchmarks.child import ROOT
from tests.benchmarks.credentials import make_credentials
from tests.program import Program


class Plant(NamedTuple):
    """The running program of a site."""

    site: Site
    program: Program
    folder: Path
    credentials: Path
    log: Path


@contextlib.contextmanager
def running(name: str) -> Iterator[Plant]:
    """The program on examples/NAME.toml until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="gridbms-bench-") as made:
        folder, site_file = Path(made), ROOT / "examples" / f"{name}.toml"
        program = Program(site_file, folder)
        credentials = make_credentials(folder / "client", program.data)
        program.start()
        try:
            yield Plant(load_site(site_file), program, folder, credentials, folder / "bench.txt")
            program.stop()
        finally:
            program.kill()
