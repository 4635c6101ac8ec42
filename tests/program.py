"""The running program for tests: started as a user starts it, stopped as a user stops it."""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from information_model.roles import Role
from server.pki.files import make_private_folder
from server.users import UserDirectory

ROOT = Path(__file__).parents[1]
PASSWORD = "correct horse battery"
USERS = {"observer": Role.OBSERVER, "operator": Role.OPERATOR, "engineer": Role.ENGINEER, "admin": Role.SECURITY_ADMIN}


class Program:
    """`gridbms run` with a free port. `lines` are what it printed; `log` is the file of its log lines."""

    def __init__(self, site: Path, folder: Path) -> None:
        self.data, self.site = folder / "data", site
        self.run = Path(f"/dev/shm/gridbms-test-{os.getpid()}-{abs(hash(folder)) % 10**9}")
        self.log = folder / "log.txt"
        make_private_folder(self.data)
        users = UserDirectory(self.data)
        for name, role in USERS.items():
            users.add(name, PASSWORD, [role])
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []
        self._errors: IO[str] | None = None
        self._news: queue.Queue[str | None] = queue.Queue()

    def start(self, timeout_s: float = 60.0, port: int = 0) -> "Program":
        """Start and wait until every face serves. Raises RuntimeError with the log where it does not."""
        self._news = queue.Queue()
        options = ["--opcua-port", str(port), "--opcua-host", "127.0.0.1", "--run", str(self.run)]
        if self._errors is not None:
            self._errors.close()
        self._errors = self.log.open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "server", "run", str(self.site), "--data", str(self.data), *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(self.process, self._news), daemon=True).start()
        while True:
            try:
                line = self._news.get(timeout=timeout_s)
            except queue.Empty:
                line = None
            if line is None:
                code = self.process.poll()
                self.kill()
                raise RuntimeError(f"the program does not serve (exit code {code}):\n{self.log.read_text()}")
            if line.startswith("Ctrl-C"):
                return self

    def _listen(self, process: "subprocess.Popen[str]", news: "queue.Queue[str | None]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.lines.append(line.rstrip())
                news.put(line.rstrip())
        news.put(None)

    @property
    def ready(self) -> dict:
        """Content of ready.json."""
        return json.loads((self.data / "ready.json").read_text())

    @property
    def endpoint(self) -> str:
        """Where the OPC UA face serves, by address."""
        return f"opc.tcp://127.0.0.1:{self.ready['opcua']['port']}"

    def pid(self, role: str) -> int:
        """Process id of a role."""
        return int(self.ready["pids"][role])

    def stop(self, timeout_s: float = 10.0) -> int:
        """Ctrl-C; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout_s)
        if self._errors is not None:
            self._errors.close()
            self._errors = None
        return code

    def kill(self) -> None:
        """End everything that may be left."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()
        if self._errors is not None:
            self._errors.close()
        shutil.rmtree(self.run, ignore_errors=True)
