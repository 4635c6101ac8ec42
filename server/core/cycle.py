"""The control cycle.

    read inputs > validate > estimate > protect > control > write outputs > publish

`step` is the whole of it between reading and writing: it changes only `state`. Clock, inputs, event log and surroundings are
handed in, so tests and the simulation play days in minutes with the same code that runs a plant.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from information_model.quality import WAITING
from server.config.site import Site
from server.core.blocks import InputBlock
from server.core.board import Board
from server.core.commands.requests import Desk
from server.core.communication import Communication
from server.core.control.control import Control
from server.core.estimation.estimation import Estimation
from server.core.event_pen import EventPen
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
"""What a cycle asks of the hardware: columns of the output block of each field process."""


class State:
    """Everything that lives from cycle to cycle."""

    def __init__(
        self,
        site: Site,
        pen: EventPen,
        statistics: CycleStatistics | None = None,
        surroundings: Surroundings | None = None,
        *,
        simulated: bool = False,
        estimation: Estimator | None = None,
    ) -> None:
        self.site, self.pen = site, pen
        self.working = Working(site.catalogue)
        board = self.board = Board(self.working)
        self.validation = Validation(site)
        self.communication = Communication(site)
        self.estimation = estimation or Estimation(site)
        self.server = ServerPoints(
            board,
            pen,
            statistics or CycleStatistics(site.file.core.period_s),
            surroundings or no_surroundings(),
            simulated=simulated,
        )
        self.protection = Protection(site, board, pen)
        self.control = Control(site, board, pen, self.protection)
        self.desk = Desk(site, board, pen, self.protection.alarms, self.control)
        self.retained = Retained(self.protection.alarms, self.control, self.desk, self.estimation)
        self.desk.on_acknowledge = self.server.acknowledged

    def handle(self, request: Request, now: Now) -> tuple[Answer, bool]:
        """The way of every request: judge and begin it between two cycles.

        The answer, and whether it waits for the disk. What takes time is carried on by `step`.
        """
        return self.desk.handle(request, now)


def step(state: State, inputs: Sequence[InputBlock], now: Now) -> Blocks:
    """One cycle; what it asks of the hardware. Requests come between two cycles, by `State.handle`."""
    control, desk = state.control, state.desk
    state.pen.step(now)
    state.validation.step(inputs, state.board, now)
    state.communication.step(inputs, state.board, now)
    state.estimation.step(state.board, now)
    state.server.step(now)
    demand = state.protection.step(inputs, control.racks.is_closed, control.racks.wanted, now)
    control.look(now)
    desk.carry_out(now)
    control.step(demand, desk.authorities.codes(), now)
    desk.step(now)
    state.server.accepted, state.server.refused = desk.accepted, desk.refused
    return control.outputs(now)


def unwritten(state: State) -> list[str]:
    """Points of the catalogue that no stage has written yet: after a cycle with complete inputs there are none."""
    waiting = np.flatnonzero(state.working.columns["status"] == WAITING)
    names = {}
    for element, row in state.site.catalogue.points():
        if row.base >= 0:
            names[row.base + element.ordinal] = f"{element.name}.{row.point.path}"
    return [names[slot] for slot in waiting.tolist()]
