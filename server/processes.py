"""The main functions of the processes that the supervisor starts. Each imports only what it needs itself."""

import argparse
import gc
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from information_model.validation import InvalidConfiguration
from server.duties import Duty
from server.exit_codes import ExitCode
from server.logs import configure
from server.runtime.parent import Beat, bind_to_parent

if TYPE_CHECKING:
    from server.config.site import Site

log = logging.getLogger("gridbms.process")


@dataclass
class Task:
    """What a process is told."""

    duty: Duty
    site_file: Path
    run: Path
    data: Path
    beat: Beat
    host: str | None
    port: int | None
    simulated: bool

    @cached_property
    def site(self) -> "Site":
        """The site, read when it is first asked for: the mirror never does. Raises InvalidConfiguration."""
        from server.config.site import load_site

        return load_site(self.site_file)


ARCHIVE_NICE = 10


def _core(task: Task) -> None:
    from server.core.process import run_core

    run_core(task.site, task.run, task.data, task.beat, simulated=task.simulated)


def _mirror(task: Task) -> None:
    from server.runtime.mirror import run_mirror

    stopped = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    task.beat.ready()
    run_mirror(task.run, task.data, lambda: stopped, task.beat.beat)


def _archive(task: Task) -> None:
    # What it imports, and the first samples of a large site, come while core and face still build: they may not wait.
    os.nice(ARCHIVE_NICE)
    from server.archive.process import run_archive

    run_archive(task.site, task.run, task.data, task.beat)


def _opcua(task: Task) -> None:
    from server.opcua.face import run_opcua

    run_opcua(task.site, task.run, task.data, task.beat, task.host, task.port)


def _field(task: Task) -> None:
    from server.field.process import run_field

    run_field(task.site, task.duty.part, task.run, task.beat)


def _plant(task: Task) -> None:
    from server.field.plant import run_site_plant

    run_site_plant(task.site, task.run, task.beat)


MAINS: dict[str, Callable[[Task], None]] = {
    "core": _core,
    "mirror": _mirror,
    "archive": _archive,
    "opcua": _opcua,
    "field": _field,
    "plant": _plant,
}
"""Kind of process (`server.duties`) -> what it does."""


def run_process(arguments: list[str]) -> int:
    """Run the process that the supervisor named. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="gridbms process")
    parser.add_argument("duty")
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--beat", type=int, required=True)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--simulated", action="store_true")
    given = parser.parse_args(arguments)
    bind_to_parent(given.parent)
    # A million objects come into being during a start and stay: collecting among them would double its time.
    gc.disable()
    os.umask(0o077)
    configure(given.duty)
    beat = Beat(given.beat)
    duty = Duty(given.duty)
    task = Task(duty, given.site, given.run, given.data, beat, given.host, given.port, given.simulated)
    if not duty.kind.builds_much:
        gc.enable()
    try:
        MAINS[duty.kind.name](task)
    except InvalidConfiguration as error:
        log.error("%s", error)
        return ExitCode.CONFIGURATION
    except KeyboardInterrupt:
        return ExitCode.STOPPED
    return ExitCode.STOPPED
