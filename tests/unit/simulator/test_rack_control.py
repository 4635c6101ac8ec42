"""A rack obeys who is alive and right, and goes to its safe state otherwise."""

import pytest

from adapters.simulator.faults import Fault
from adapters.simulator.layout import RequestWord, Supervision
from adapters.simulator.rack import FASTEST_S, SLOWEST_S, Contactor
from information_model.enumerations import ConnectionFailure, DoublePoint, OperatingState

OPEN, CLOSED, MOVING = DoublePoint.OPEN, DoublePoint.CLOSED, DoublePoint.INTERMEDIATE
RACK = "ESS.ARR01.R001"


def test_a_rack_closes_negative_then_precharge_then_positive(operator) -> None:
    someone = operator()
    seen = []
    for _ in range(30):
        rack = someone.run(0.1)[0]
        if not seen or seen[-1] != rack.positions:
            seen.append(rack.positions)
    still = [row for row in seen if MOVING not in row]
    assert still[0] == (OPEN, OPEN, OPEN)
    assert still[-1] == (CLOSED, CLOSED, OPEN)
    first_closed = [next(n for n, row in enumerate(seen) if row[which] == CLOSED) for which in (1, 2, 0)]
    assert first_closed == sorted(first_closed)
    assert someone.plant.status()[0].state == OperatingState.CLOSED


def test_the_positive_contactor_waits_until_the_bus_has_the_voltage_of_the_rack(operator) -> None:
    someone = operator()
    for _ in range(30):
        before = someone.plant.status()[0]
        if someone.run(0.1)[0].positions[0] != OPEN:
            break
    assert abs(before.voltage_v - before.bus_voltage_v) < 5.0
    assert someone.run(0.5)[0].positions[0] == CLOSED


def test_a_contactor_takes_80_to_300_ms_and_moves_meanwhile() -> None:
    contactor = Contactor(lambda: SLOWEST_S, closed=False)
    contactor.command(True, 1.0)
    contactor.step(1.0 + FASTEST_S, welded=False, blocked=False)
    assert contactor.position is MOVING
    contactor.step(1.0 + SLOWEST_S, welded=False, blocked=False)
    assert contactor.position is CLOSED


def test_delays_lie_between_80_and_300_ms(operator) -> None:
    delays = [operator().plant.controls[0].contactors[0]._delay_s() for _ in range(1)]
    delays += [operator(seed=n).plant.controls[0].contactors[0]._delay_s() for n in range(50)]
    assert FASTEST_S <= min(delays) < 0.15
    assert 0.25 < max(delays) <= SLOWEST_S


@pytest.mark.parametrize("disturbance", ["wrong_crc", "frozen_alive", "reserved_word", "silence"])
def test_a_command_that_is_not_right_closes_nothing(operator, disturbance: str) -> None:
    someone = operator()
    someone.wrong_crc = disturbance == "wrong_crc"
    someone.alive_step = 0 if disturbance == "frozen_alive" else 1
    someone.desired = 3 if disturbance == "reserved_word" else RequestWord.CLOSE
    someone.silent = disturbance == "silence"
    rack = someone.closed()[0]
    assert rack.positions == (OPEN, OPEN, OPEN)
    assert rack.state == OperatingState.OFF
    assert someone.plant.commands_accepted == 0


def test_the_first_frame_is_not_obeyed_before_its_counter_has_advanced(operator) -> None:
    someone = operator()
    someone.run(0.1)
    assert someone.plant.commands_accepted == 0
    someone.run(0.1)
    assert someone.plant.commands_accepted == 1


@pytest.mark.parametrize("disturbance", ["silence", "frozen_alive", "wrong_crc"])
def test_a_silent_server_means_zero_current_after_a_second_and_open_after_six(operator, disturbance: str) -> None:
    someone = operator(3, profile="full_cycle")
    racks = someone.run(10.0)
    assert all(rack.current_a < -50 for rack in racks)
    someone.silent = disturbance == "silence"
    someone.alive_step = 0 if disturbance == "frozen_alive" else 1
    someone.wrong_crc = disturbance == "wrong_crc"
    assert all(rack.current_a < -50 for rack in someone.run(0.9))
    racks = someone.run(1.0)
    assert all(rack.supervision == Supervision.ZERO_CURRENT for rack in racks)
    assert all(rack.limits_a == (0.0, 0.0) for rack in racks)
    assert all(abs(rack.current_a) < 1 for rack in racks)
    assert all(rack.state == OperatingState.CLOSED for rack in someone.run(3.5))
    racks = someone.run(2.0)
    assert all(rack.positions == (OPEN, OPEN, OPEN) for rack in racks)
    assert all(rack.supervision == Supervision.OPENED for rack in racks)


def test_a_server_that_returns_with_another_counter_is_obeyed_again(operator) -> None:
    someone = operator()
    someone.closed()
    someone.silent = True
    someone.run(3.0)
    someone.silent, someone.alive = False, (someone.alive + 200) % 256
    rack = someone.run(0.3)[0]
    assert rack.supervision == Supervision.COMMANDED
    assert rack.state == OperatingState.CLOSED


def test_racks_that_are_closed_at_the_start_open_when_nobody_commands_them(operator) -> None:
    someone = operator(2, connected=True)
    someone.silent = True
    assert all(rack.state == OperatingState.CLOSED for rack in someone.run(5.0))
    assert all(rack.positions == (OPEN, OPEN, OPEN) for rack in someone.run(2.5))


def test_desired_none_keeps_the_state_and_the_lease(operator) -> None:
    someone = operator()
    someone.closed()
    someone.desired = RequestWord.NONE
    rack = someone.run(10.0)[0]
    assert rack.state == OperatingState.CLOSED
    assert rack.supervision == Supervision.COMMANDED


def test_a_welded_contactor_stays_closed_and_is_reported(operator) -> None:
    someone = operator(1, Fault(rack=RACK, kind="weld", at_s=5.0))
    someone.run(6.0)
    someone.desired = RequestWord.OPEN
    rack = someone.run(3.0)[0]
    assert rack.positions == (CLOSED, OPEN, OPEN)
    assert rack.state == OperatingState.FAULT
    assert rack.failure == ConnectionFailure.CONTACTOR
    assert rack.current_a == 0.0


def test_a_reset_clears_a_failure_only_when_everything_is_open(operator) -> None:
    someone = operator(1, Fault(rack=RACK, kind="weld", for_s=8.0))
    someone.run(3.0)
    someone.desired = RequestWord.OPEN
    someone.run(3.0)
    someone.reset = 1
    assert someone.run(0.5)[0].state == OperatingState.FAULT
    someone.run(3.0)  # the weld has come loose
    someone.reset = 2
    rack = someone.run(0.5)[0]
    assert rack.state == OperatingState.OFF
    assert rack.failure == ConnectionFailure.NONE


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ({"kind": "no_close"}, ConnectionFailure.CONTACTOR),
        ({"kind": "no_close", "contactor": "negative"}, ConnectionFailure.CONTACTOR),
        ({"kind": "precharge_open"}, ConnectionFailure.PRECHARGE),
        ({"kind": "fuse_open"}, ConnectionFailure.FUSE_OPEN),
        ({"kind": "interlock_open"}, ConnectionFailure.BUTTON),
        ({"kind": "short_circuit"}, ConnectionFailure.RACK_FAULT),
    ],
)
def test_a_rack_that_cannot_close_opens_again_and_says_why(operator, fault: dict, failure: ConnectionFailure) -> None:
    someone = operator(1, Fault(rack=RACK, **fault))
    rack = someone.run(5.0)[0]
    assert rack.state == OperatingState.FAULT
    assert rack.failure == failure
    assert rack.positions == (OPEN, OPEN, OPEN)
