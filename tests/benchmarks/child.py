"""A process of the bench that answers on its standard output, line by line, and is gone at the end."""

import contextlib
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]


class Child:
    """A running process; `line` waits for what it says."""

    def __init__(self, *command: str, log: Path, env: dict[str, str] | None = None) -> None:
        self._log_path, self._log = log, log.open("a")
        self._name = " ".join(command[:5])
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=env
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @classmethod
    def python(cls, module: str, *arguments: object, log: Path, env: dict[str, str] | None = None) -> "Child":
        """A module of the bench in a process of its own."""
        return cls(sys.executable, "-u", "-m", f"tests.benchmarks.{module}", *map(str, arguments), log=log, env=env)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())
        self._lines.put(None)

    def line(self, timeout_s: float = 120.0) -> str:
        """The next line. Raises RuntimeError with its log where the process has ended or stays silent."""
        try:
            found = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise RuntimeError(f"{self._name}: silent for {timeout_s} s\n{self._told()}") from None
        if found is None:
            raise RuntimeError(f"{self._name} has ended ({self.process.wait()})\n{self._told()}")
        return found

    def answer(self, timeout_s: float = 120.0) -> Any:
        """The next line as JSON."""
        return json.loads(self.line(timeout_s))

    def say(self, text: str = "") -> None:
        """Send a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def _told(self) -> str:
        self._log.flush()
        return self._log_path.read_text()[-3000:]

    def finish(self, timeout_s: float = 30.0) -> None:
        """End its input and wait until it has ended by itself. A client that is killed leaves its session behind, and
        the server goes on sampling for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout_s)

    def close(self) -> None:
        """Ask it to end, then make it end."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._log.close()

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
