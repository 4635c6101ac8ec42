"""One running demo plant and one independent client for all tests of this folder."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.pki.trust_store import TrustFolder
from tests.interop.node_client import ClientError, NodeClient, missing
from tests.program import PASSWORD, ROOT, Program

REQUIRED = "GRIDBMS_REQUIRE_INTEROP"


@pytest.fixture(scope="session", autouse=True)
def _client_is_here() -> None:
    reason = missing()
    if reason and os.environ.get(REQUIRED):
        pytest.fail(f"the independent client must take part ({REQUIRED} is set): {reason}")
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def program(tmp_path_factory, _client_is_here) -> Iterator[Program]:
    running = Program(ROOT / "examples" / "demo.toml", tmp_path_factory.mktemp("program"))
    running.start()
    yield running
    try:
        assert running.stop() == 0
        assert not running.run.exists()
    finally:
        running.kill()


def trust_all(data: Path) -> list[str]:
    """Trust what was rejected, as `gridbms certs trust` does."""
    folder = TrustFolder(data / "pki")
    found = [row.thumbprint for row in folder.list() if row.state == "rejected"]
    for thumbprint in found:
        folder.trust(thumbprint)
    return found


def connect(node: NodeClient, program: Program, user: str = "engineer", **options: object) -> None:
    """Connect; a certificate that the server sees for the first time is trusted on the way."""
    deadline = time.monotonic() + 10
    while True:
        try:
            node.connect(program.endpoint, user, PASSWORD, **options)
        except ClientError:
            if time.monotonic() > deadline:
                raise
            trust_all(program.data)
            time.sleep(0.2)  # the server looks at its trust list once a second and tells nobody
        else:
            return


@pytest.fixture(scope="session")
def client_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("client")


@pytest.fixture
def client(client_folder, program) -> Iterator[NodeClient]:
    node = NodeClient(client_folder)
    connect(node, program)
    yield node
    node.close()
