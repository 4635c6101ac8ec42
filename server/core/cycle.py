"""The control cycle.

    read inputs > validate > estimate > protect > control > write outputs > publish

`step` is the whole of it between reading and writing: it changes only `state`. Clock, inputs, journal and surroundings
are handed in, so tests and the simulation play days in minutes with the same code that runs a plant.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from information_model.quality import WAITING
from server.config.site import Site
from server.core.blocks import InputBlock
from server.core.board import Board
from server.core.communication import Communication
from server.core.control.control import Control
from server.core.estimate import Estimation
from server.core.journal import Journal
from server.core.now import Now
from server.core.protection.protection import Protection
from server.core.retained import Retained
from server.core.server_points import ServerPoints, Surroundings, no_surroundings
from server.core.stages import Estimator
from server.core.statistics import CycleStatistics
from server.core.validate import Validation
from server.core.working import Working
from server.runtime.link import Answer, Request

Blocks = dict[str, dict[str, NDArray[Any]]]


class Outputs(NamedTuple):
    """What a cycle asks of the hardware (columns of each output block), and its answers to the requests handed in."""

    blocks: Blocks
    answers: list[Answer]


class State:
    """Everything that lives from cycle to cycle."""

    def __init__(
        self,
        site: Site,
        journal: Journal,
        statistics: CycleStatistics | None = None,
        surroundings: Surroundings | None = None,
        *,
        simulated: bool = False,
        estimation: Estimator | None = None,
    ) -> None:
        self.site, self.journal = site, journal
        self.working = Working(site.catalogue)
        board = self.board = Board(self.working)
        self.validation = Validation(site)
        self.communication = Communication(site)
        self.estimation = estimation or Estimation(site)
        self.server = ServerPoints(
            board,
            journal,
            statistics or CycleStatistics(site.file.core.period_s),
            surroundings or no_surroundings(),
            simulated=simulated,
        )
        self.protection = Protection(site, board, journal)
        self.control = Control(site, board, journal, self.protection)
        self.retained = Retained(self.protection.alarms, self.control, self.estimation)
        self.control.desk.on_acknowledge = self.server.acknowledged

    def handle(self, request: Request, now: Now) -> tuple[Answer, bool]:
        """Judge and begin one request between two cycles; the answer, and whether it waits for the disk."""
        return self.control.desk.handle(request, now)


def step(state: State, inputs: Sequence[InputBlock], requests: Sequence[Request], now: Now) -> Outputs:
    """One cycle."""
    control = state.control
    state.journal.step(now)
    state.validation.step(inputs, state.working, now)
    state.communication.step(inputs, state.working, now)
    state.estimation.step(state.working, now)
    state.server.step(now)
    demand = state.protection.step(inputs, control.racks.is_closed, control.racks.wanted, now)
    answers = [state.handle(request, now)[0] for request in requests]
    control.step(demand, now)
    state.server.accepted, state.server.refused = control.desk.accepted, control.desk.refused
    return Outputs(control.outputs(now), answers)


def unwritten(state: State) -> list[str]:
    """Points of the catalogue that no stage has written yet: after a cycle with complete inputs there are none."""
    waiting = np.flatnonzero(state.working.columns["status"] == WAITING)
    names = {}
    for element, row in state.site.catalogue.points():
        if row.base >= 0:
            names[row.base + element.ordinal] = f"{element.name}.{row.point.path}"
    return [names[slot] for slot in waiting.tolist()]
