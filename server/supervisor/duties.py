"""The processes of a site: which there are, in which order they stop, how long one may be silent.

All start at once and each waits for what it needs: the face opens its port only when the core has published.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from server.config.site import Site
from server.runtime.serving import served_port


@dataclass(frozen=True, slots=True)
class Duty:
    """One process: its name, silence after which it counts as hung (s), and its turn when everything stops."""

    name: str
    silence_s: float
    stop_turn: int

    @property
    def kind(self) -> str:
        """`field` for `field-field1`."""
        return self.name.partition("-")[0]

    @property
    def face(self) -> bool:
        """True where clients are served."""
        return self.kind in ("opcua",)


@dataclass(frozen=True, slots=True)
class StartOptions:
    """What every process is told: the site file, the two directories, and what overrides the site file."""

    site_file: Path
    run: Path
    data: Path
    opcua_port: int | None = None
    opcua_host: str | None = None
    simulate: bool = False


def duties_of(site: Site, options: StartOptions) -> list[Duty]:
    """The processes of a site, in the order of their start."""
    found = [Duty("core", 1.0, 1), Duty("mirror", 10.0, 3)]
    if options.simulate and site.file.simulator is not None:
        found.append(Duty("plant", 5.0, 3))
    found += [Duty(f"field-{plan.process}", 3.0, 2) for plan in site.inputs]
    if site.file.opcua.enabled:
        found.append(Duty("opcua", 5.0, 0))
    if site.file.archive.enabled:
        found.append(Duty("archive", 15.0, 3))
    return found


def command_line(duty: Duty, options: StartOptions, beat_fd: int) -> list[str]:
    """Arguments of the process; they hold no secret."""
    # -P: what is called `server` in the folder where somebody started the program is not ours.
    line = [sys.executable, "-P", "-m", "server", duty.name, "--site", str(options.site_file)]
    line += ["--run", str(options.run), "--data", str(options.data)]
    line += ["--parent", str(os.getpid()), "--beat", str(beat_fd)]
    if duty.kind == "opcua" and options.opcua_port is not None:
        # A face that is started again keeps the port that was free at the first start: its clients look there.
        line += ["--port", str(served_port(options.run, "opcua") or options.opcua_port)]
    if duty.kind == "opcua" and options.opcua_host is not None:
        line += ["--host", options.opcua_host]
    if options.simulate:
        line.append("--simulated")
    return line


def environment() -> dict[str, str]:
    """Environment of the processes.

    BLAS threads would take the second core from the cycle; mapped and unmapped numpy temporaries cost the publishing
    engine a third of its time.
    """
    settings = {
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": "268435456",
        "MALLOC_TRIM_THRESHOLD_": "268435456",
        "MALLOC_ARENA_MAX": "2",
    }
    secret = "GRIDBMS_DEMO_PASSWORD"  # noqa: S105 - the name of a variable that no child may see
    return {name: value for name, value in os.environ.items() if name != secret} | settings
