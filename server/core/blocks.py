"""The blocks between core and field processes: what was measured comes in, what is desired goes out."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.config.inputs import InputPlan
from server.core.now import Now
from server.runtime.block import BLOCK_LIMIT_NS, Layout, Reader, Unavailable, Writer

Columns = dict[str, NDArray[Any]]


class InputBlock(NamedTuple):
    """What one field process has delivered: the columns of its block; `mono_ns` of their writing, None = unreadable."""

    plan: InputPlan
    columns: Columns
    mono_ns: int | None

    def alive(self, now: Now) -> bool:
        """True where the field process is there: its block can be read and is not too old."""
        return self.mono_ns is not None and now.mono_ns - self.mono_ns <= BLOCK_LIMIT_NS


class InputBlocks:
    """Readers of the input blocks of all field processes. One that is absent is looked for again in each cycle."""

    def __init__(self, run: Path, plans: Sequence[InputPlan]) -> None:
        self._plans = plans
        self._readers = [Reader(run / f"inputs-{plan.process}", Layout(plan.columns())) for plan in plans]
        self._columns = [empty_columns(plan.columns()) for plan in plans]

    def read(self) -> list[InputBlock]:
        """The newest content of every block; where there is none, the columns of the last time with `mono_ns` None."""
        found = []
        for plan, reader, columns in zip(self._plans, self._readers, self._columns, strict=True):
            mono_ns = None
            with contextlib.suppress(Unavailable):
                mono_ns = reader.read(columns).mono_ns
            found.append(InputBlock(plan, columns, mono_ns))
        return found


class OutputBlocks:
    """Writers of the output blocks: one per field process, written in every cycle."""

    def __init__(self, run: Path, plans: Sequence[InputPlan], epoch: int) -> None:
        self._writers = {
            plan.process: Writer(run / f"outputs-{plan.process}", Layout(plan.output_columns()), epoch)
            for plan in plans
        }

    def write(self, outputs: Mapping[str, Mapping[str, NDArray[Any]]], cycle: int, mono_ns: int, utc_ns: int) -> None:
        """Publish the columns of each process."""
        for process, columns in outputs.items():
            writer = self._writers[process]
            slot = writer.begin()
            for name, column in columns.items():
                np.copyto(slot[name], column)
            writer.publish(cycle, mono_ns, utc_ns)
            writer.check_name(mono_ns)

    def close(self) -> None:
        """Tell the field processes that the core stopped on purpose; their leases run out by themselves."""
        for writer in self._writers.values():
            writer.close()


def empty_columns(columns: Sequence[tuple[str, str, int]]) -> Columns:
    """Arrays of zeros for the columns of a block."""
    return {name: np.zeros(length, dtype) for name, dtype, length in columns}
