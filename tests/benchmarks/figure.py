"""A figure: what was measured, what it has to reach, and the table of all in docs/performance.md."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.machine import machine

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
QUIET_LOAD = 0.5
"""Load average of a machine that does nothing else, per benchmark start."""


@dataclass(frozen=True)
class Figure:
    """One line of the table. `met` is None where nothing is demanded or the measurement does not count."""

    group: str
    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    remark: str = ""

    def line(self) -> str:
        """As a line of text."""
        verdict = {True: "met", False: "MISSED", None: "-"}[self.met]
        wanted = f" (target {self.target}: {verdict})" if self.target else ""
        remark = f"  [{self.remark}]" if self.remark else ""
        return f"{self.group:14} {self.what}: {self.measured}{wanted}{remark}"


def load_remark() -> str:
    """Says so when the machine was busy before the measurement began."""
    load = os.getloadavg()[0]
    return "" if load <= QUIET_LOAD else f"load average {load:.1f} at the start"


def section(name: str, command: str, load: str, figures: Iterable[Figure]) -> str:
    """The part of the document for one benchmark."""
    stamp = time.strftime("%Y-%m-%d", time.gmtime())
    lines = [
        f"<!-- {name} -->",
        f"## {name}",
        "",
        f"{machine()}; {stamp}; `{command}`{'; ' + load if load else ''}",
        "",
    ]
    lines += ["| what | measured | target | met | remark |", "|---|---|---|---|---|"]
    for figure in figures:
        verdict = {True: "yes", False: "**no**", None: ""}[figure.met]
        cells = (figure.what, figure.measured, figure.target, verdict, figure.remark)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join([*lines, "", f"<!-- /{name} -->"])


HEAD = """# Performance

Measured by `make bench`, one table per benchmark; `python -m tests.benchmarks NAME --write` renews that table only.
CPU time is that of the scheduler's statistics over at least ten seconds. Microseconds do not carry over from one
machine to another: what counts are the ratios to a peer in the same run. Beside each lateness or latency stands that
of an empty loop of the same priority in the same run; the figure counts when that one's p99.9 is below 1 ms.
"""


def write(name: str, text: str, document: Path = DOCUMENT) -> None:
    """Replace the section of one benchmark, or append it."""
    before = document.read_text() if document.exists() else HEAD
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    if first in before:
        head, _, rest = before.partition(first)
        document.write_text(head + text + rest.partition(last)[2])
    else:
        document.write_text(before.rstrip() + "\n\n" + text + "\n")
