"""How a process is started: its arguments and its environment."""

import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from server.duties import Duty
from server.runtime.serving import served_port

PROGRAM = Path(__file__).resolve().parents[2]
"""The folder that this `server` was imported from."""


@dataclass(frozen=True, slots=True)
class StartOptions:
    """What every process is told: the site file, the two directories, and what overrides the site file."""

    site_file: Path
    run: Path
    data: Path
    opcua_port: int | None = None
    opcua_host: str | None = None
    simulate: bool = False


def command_line(duty: Duty, options: StartOptions, beat_fd: int) -> list[str]:
    """Arguments of the process; they hold no secret."""
    # -P: what is called `server` in the folder where somebody started the program is not ours.
    line = [sys.executable, "-P", "-m", "server", duty.name, "--site", str(options.site_file)]
    line += ["--run", str(options.run), "--data", str(options.data)]
    line += ["--parent", str(os.getpid()), "--beat", str(beat_fd)]
    if duty.name == "opcua" and options.opcua_port is not None:
        # A face that is started again keeps the port that was free at the first start: its clients look there.
        line += ["--port", str(served_port(options.run, duty.name) or options.opcua_port)]
    if duty.name == "opcua" and options.opcua_host is not None:
        line += ["--host", options.opcua_host]
    if options.simulate:
        line.append("--simulated")
    return line


def environment() -> dict[str, str]:
    """Environment of the processes.

    BLAS threads would take the second core from the cycle; mapped and unmapped numpy temporaries cost the publishing
    engine a third of its time. A program that was started from a checkout starts processes of that checkout, even where
    another release is installed.
    """
    settings = {
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": "268435456",
        "MALLOC_TRIM_THRESHOLD_": "268435456",
        "MALLOC_ARENA_MAX": "2",
    }
    secret = "GRIDBMS_DEMO_PASSWORD"  # noqa: S105 - the name of a variable that no child may see
    if Path(sysconfig.get_path("purelib")).resolve() != PROGRAM:  # what is installed is found, behind Python's own
        settings["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PROGRAM), os.environ.get("PYTHONPATH"))))
    return {name: value for name, value in os.environ.items() if name != secret} | settings
