"""The independent client as an object: each operation is a request to driver.mjs."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def missing() -> str:
    """Why the independent client cannot run here; empty where it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (HERE / "node_modules" / "node-opcua").is_dir():
        return "node-opcua is not installed (make interop)"
    return ""


class ClientError(Exception):
    """What the independent client reported."""


class NodeClient:
    """One client process."""

    def __init__(self, folder: Path) -> None:
        self.pki = folder / "pki"
        self._log = (folder / "client.log").open("a")
        self._process = subprocess.Popen(
            ["node", "--no-warnings", str(HERE / "driver.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._number = 0

    def __call__(self, operation: str, **arguments: Any) -> Any:
        """Run one operation; ClientError carries the client's own words."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._number += 1
        self._process.stdin.write(json.dumps({"id": self._number, "op": operation, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ClientError("the client has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise ClientError(answer["error"])
        return answer["result"]

    def connect(self, endpoint: str, user: str = "observer", password: str = "", **options: Any) -> Any:
        """Open a session with SignAndEncrypt."""
        return self(
            "connect",
            endpoint=endpoint,
            pki=str(self.pki),
            applicationUri="urn:gridbms:test:client",
            user=user,
            password=password,
            **options,
        )

    def close(self) -> None:
        """End the client."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()
