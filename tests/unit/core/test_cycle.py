"""The cycle as a whole: it writes exactly what the catalogue has, in one order, from nothing but its arguments."""

import gc
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from information_model import quality
from information_model.enumerations import CommunicationState
from information_model.points import TABLE
from information_model.points.row import Level
from information_model.producers import TABLE as PRODUCTIONS
from server.config.site import load_site
from server.core.blocks import InputBlock, empty_columns
from server.core.board import Board
from server.core.cycle import State, step, unwritten
from server.core.event_pen import EventPen
from server.core.now import Now
from server.runtime.link import Request
from tests.unit.core.script import R1, START_NS, MemoryLog, Script


def test_every_point_of_the_catalogue_is_written_by_some_stage(tmp_path: Path) -> None:
    script = Script(tmp_path).at(65.0)  # a spread at rest needs a minute of rest
    assert unwritten(script.state) == []


def test_every_point_is_written_in_the_module_that_the_table_names(tmp_path: Path, monkeypatch) -> None:
    seen: set[tuple[str, Level, str]] = set()

    def told(write: Callable[..., None]) -> Callable[..., None]:
        def write_and_tell(board: Board, level: Level, path: str, *values: object, **more: object) -> None:
            writer = sys._getframe(1)
            while writer.f_globals["__name__"] == "server.core.estimation.output":
                writer = writer.f_back
            seen.add((writer.f_globals["__name__"].removeprefix("server."), level, path))
            write(board, level, path, *values, **more)

        return write_and_tell

    for name in ("state", "measure", "estimate"):
        monkeypatch.setattr(Board, name, told(getattr(Board, name)))
    Script(tmp_path).at(2.0).ask("Connect", R1).later(1.0)
    expected = {(line.writer, *item) for line in PRODUCTIONS for item in line.points()}
    # Cell data have a matrix of their own, the spread at rest is kept while the rack does not rest.
    past_the_board = {row for row in expected if row[2].startswith("CellData.") or row[2].endswith("SpreadAtRest")}
    assert seen == expected - past_the_board


def test_no_stage_names_a_point_that_the_tables_do_not_have(tmp_path: Path) -> None:
    script = Script(tmp_path).at(2.0).ask("Connect", R1).later(1.0)
    known = {(point.level, point.path) for point in TABLE}
    assert [f"{level.name} {path}" for level, path in script.state.board.asked() if (level, path) not in known] == []


def test_a_pack_that_only_talks_is_shown_and_never_commanded() -> None:
    site = load_site(Path(__file__).parents[3] / "examples" / "tesla.toml")
    state = State(site, EventPen(MemoryLog()))
    plan = site.inputs[0]
    for cycle in range(5):
        now_ns = START_NS + cycle * 100_000_000
        columns = empty_columns(plan.columns())
        columns["source.state"][:], columns["source.last_frame_mono_ns"][:] = 1, now_ns
        columns["mono_ns"][:], columns["value"][:] = now_ns, 3.7
        now = Now(now_ns, now_ns, 0, 0.1)
        outputs = step(state, [InputBlock(plan, columns, now_ns)], now)
        assert outputs[plan.process]["desired"].tolist() == [0]
    request = Request("1", "command", R1, "Connect", user="o", roles=["Operator"])
    answer, _ = state.handle(request, now)
    assert "rack:FirstFrameSeen" in answer.permissives


def test_no_point_is_good_and_not_a_number_or_bad_and_a_measured_number(tmp_path: Path) -> None:
    script = Script(tmp_path).at(5.0).given(R1, silent=True).later(5.0)
    columns = script.state.working.columns
    good = columns["status"] < 0x4000_0000
    assert not np.isnan(columns["value"][good]).any()
    for element, row in script.site.catalogue.points():
        if row.base >= 0 and row.point.group == "Measurements":
            at = row.base + element.ordinal
            if quality.is_bad(columns["status"][at : at + 1])[0]:
                assert np.isnan(columns["value"][at]), f"{element.name}.{row.point.path}"


def test_the_same_inputs_give_the_same_image(tmp_path: Path) -> None:
    images = []
    for _ in range(2):
        script = Script(tmp_path).at(2.0).ask("Connect", R1).later(3.0)
        images.append({name: column.copy() for name, column in script.state.working.columns.items()})
    for name in images[0]:
        np.testing.assert_array_equal(images[0][name], images[1][name])


def test_a_field_process_that_dies_makes_its_racks_bad_at_once_and_the_others_not(tmp_path: Path) -> None:
    script = Script(tmp_path).at(3.0)
    script.field_alive = False
    script.cycle()
    assert script.status(f"{R1}.Measurements.DcVoltage") == quality.BAD_NO_COMMUNICATION
    script.expect(f"{R1}.Communication.State", CommunicationState.LOST)
    script.field_alive = True
    script.cycle()
    assert script.status(f"{R1}.Measurements.DcVoltage") == quality.GOOD


def test_cycles_commands_and_alarms_leave_nothing_for_the_garbage_collector(tmp_path: Path) -> None:
    script = Script(tmp_path).at(2.0)
    gc.collect()
    gc.disable()
    try:
        script.connected(R1).given(R1, cell_v=3.7).later(4.0).ask("AcknowledgeAll", "ESS", arguments={"Comment": ""})
        script.ask("Connect", "ESS").later(1.0).ask("EmergencyDisconnect", "ESS").later(1.0)
        script.state.retained.body(script.now)
        assert gc.collect() == 0  # the cycle runs with the collector off
    finally:
        gc.enable()


def test_a_core_without_any_input_publishes_and_asks_for_nothing(tmp_path: Path) -> None:
    script = Script(tmp_path)
    script.field_alive = False
    script.at(15.0)
    assert script.outputs is not None
    assert script.outputs["north"]["desired"].tolist() == [0, 0]
    script.expect("ESS.State.CommunicatingRackCount", 0).expect("ESS.Server.ServiceLevel", 150)
