"""One running demo plant and one independent client for all tests of this folder."""

import csv
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.pki.trust_store import TrustFolder
from tests.interop.node_client import ClientError, NodeClient, missing
from tests.program import PASSWORD, ROOT, Program

SITE = ROOT / "examples" / "demo.toml"
RACK = "ns=3;s=ESS.ARR01.R001"
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
    running = Program(SITE, tmp_path_factory.mktemp("program"))
    running.start()
    yield running
    try:
        assert running.stop() == 0
        assert not running.run.exists()
    finally:
        running.kill()


@pytest.fixture(scope="session")
def point_list() -> dict[str, dict[str, str]]:
    """The rows of `points --format csv` by node id, as a user of the program gets them."""
    listed = subprocess.run(
        [sys.executable, "-m", "server", "points", str(SITE), "--format", "csv"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {row["node_id"]: row for row in csv.DictReader(io.StringIO(listed.stdout))}


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
            time.sleep(0.2)  # the server looks at its trust list every two seconds and tells nobody
        else:
            return


def outcome(client: NodeClient, element: str, wanted: int, timeout_s: float = 20.0) -> int:
    """Wait for the outcome of the last command of an element by a subscription; returns what came."""
    client("subscribe", name="outcome", nodes=[f"{element}.Control.LastCommandOutcome"], sampling=100, interval=100)
    deadline, value = time.monotonic() + timeout_s, -1
    while value != wanted and time.monotonic() < deadline:
        received = client("notifications", name="outcome", count=1, timeout=1000)
        value = received[-1]["value"] if received else value
    client("unsubscribe", name="outcome")
    return value


@pytest.fixture(scope="session")
def client_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("client")


@pytest.fixture
def client(client_folder, program) -> Iterator[NodeClient]:
    node = NodeClient(client_folder)
    connect(node, program)
    yield node
    node.close()
