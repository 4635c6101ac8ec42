"""One world in simulated time: plant, field, core, event log and archive in lockstep.

The cycle is the one that runs a plant; only the clock and the buses are others. Records become durable at once, because
the mirror takes its turn with every step.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from information_model.points.row import Level
from information_model.roles import Role
from server.archive.journal import JournalWriter
from server.archive.sampler import Sampler, layout_of
from server.archive.writer import Writer
from server.config.site import Site
from server.core.blocks import InputBlock
from server.core.cycle import State, step
from server.core.event_pen import EventPen
from server.core.now import Now
from server.field.lockstep import LockstepField
from server.runtime.block import Stamp
from server.runtime.eventlog import Log
from server.runtime.link import Answer, Request
from server.runtime.mirror import Mirror
from server.store.groups import plan_groups

START_MONO_NS = 1_000_000_000_000
JOURNAL_EVERY = 20


@dataclass(frozen=True)
class Status:
    """What a progress line shows."""

    simulated_s: float
    state_of_charge: float
    power_w: float
    closed_racks: int
    warnings: int
    trips: int


class World:
    """Moves by `step_s` with each `step`. `run` is a run directory on tmpfs, `data` gets log, archive and journal."""

    def __init__(self, site: Site, run: Path, data: Path, *, start_utc_ns: int, step_s: float) -> None:
        self._site, self._step_s = site, step_s
        self._offset_ns = start_utc_ns - START_MONO_NS
        self._mono_ns = START_MONO_NS
        self._cycle = 0
        self._field = LockstepField(site)
        self._log = Log(run, data)
        self._mirror = Mirror(run, data)
        self.state = State(site, EventPen(self._log), simulated=True)
        groups = plan_groups(site.catalogue)
        self._sampler = Sampler(groups)
        self._writer = Writer(
            data, layout_of(groups), int(site.file.archive.max_size_gb * 1e9), site.file.archive.chunk_s
        )
        self._writer.start()
        self._journal = JournalWriter(run, data)
        self._commands = 0

    @property
    def now(self) -> Now:
        """The present moment."""
        return Now(self._mono_ns, self._mono_ns + self._offset_ns, self._offset_ns, self._step_s)

    def command(self, name: str, target: str = "ESS") -> Answer:
        """A command of the simulation's operator."""
        self._commands += 1
        request = Request(
            id=f"simulation-{self._commands}",
            kind="command",
            target=target,
            command=name,
            user="simulation",
            roles=[Role.OPERATOR.value],
            face="simulation",
        )
        return self.state.handle(request, self.now)[0]

    def step(self) -> None:
        """Plant, buses, cycle, archive: once around."""
        self._mono_ns += round(self._step_s * 1e9)
        self._cycle += 1
        now = self.now
        inputs = self._field.step(self._step_s, now.mono_ns)
        blocks = [InputBlock(plan, inputs[plan.process], now.mono_ns) for plan in self._site.inputs]
        outputs = step(self.state, blocks, now)
        self._field.apply(outputs, now.mono_ns)
        self._archive(now)
        if self._log.head > self._log.durable:
            self._mirror.step()
        if self._cycle % JOURNAL_EVERY == 0:
            self._log.prepare()
            self._journal.copy()

    def _archive(self, now: Now) -> None:
        stamp = Stamp(self._cycle, self._cycle, now.mono_ns, now.utc_ns, now.epoch, 0)
        columns = self.state.working.columns
        for history in self._sampler.due(stamp):
            self._writer.put(history, stamp.time_epoch, stamp.utc_ns, self._sampler.sample(history, stamp, columns))

    @property
    def behind(self) -> int:
        """Moments that wait for the archive; the caller lets it catch up."""
        return self._writer.backlog

    def status(self) -> Status:
        """How it stands."""

        def get(path: str) -> float:
            return float(np.nan_to_num(self.state.working.scalars(Level.SYSTEM, path).value[0]))

        return Status(
            (self._mono_ns - START_MONO_NS) / 1e9,
            get("Measurements.StateOfCharge"),
            get("Measurements.DcActivePower"),
            int(get("State.ConnectedRackCount")),
            int(get("Alarms.ActiveWarningCount")),
            int(get("Alarms.ActiveTripCount")),
        )

    @property
    def samples_written(self) -> int:
        """Values in the archive so far."""
        return self._writer.samples_written

    def close(self) -> None:
        """Make everything durable and let go."""
        self._log.prepare()
        self._mirror.step()
        self._writer.stop(60.0)
        self._journal.close()
        self._mirror.close()
        self._log.close()
