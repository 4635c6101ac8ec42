"""Every effect of a command is carried out by exactly one handler; what nobody carries out is refused."""

import dataclasses
from pathlib import Path
from typing import cast

import pytest

from information_model import commands
from information_model.commands import BY_NAME, OPENING, TABLE, Effect
from server.core.commands import requests
from tests.unit.core.script import CLOSED, R1, Script

BALANCE = cast(Effect, "balance")
"""An effect that a later row might have and that nothing here carries out."""


def test_every_row_has_an_effect_and_every_effect_a_row() -> None:
    assert {command.effect for command in TABLE} == set(Effect)


@pytest.mark.parametrize("effect", Effect)
def test_each_effect_is_carried_out_at_once_or_over_time_and_never_both(tmp_path: Path, effect: Effect) -> None:
    desk = Script(tmp_path).state.desk
    handlers = [table for table in (desk._immediate, desk._runner.ways) if effect in table]
    assert len(handlers) == 1


@pytest.mark.parametrize("command", [c.name for c in TABLE if c.effect in OPENING])
def test_only_rows_that_say_so_open(command: str) -> None:
    assert command in ("Disconnect", "EmergencyDisconnect", "Disable")


def test_the_core_does_not_start_with_a_row_that_nothing_carries_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = dataclasses.replace(BY_NAME["Connect"], name="Balance", effect=BALANCE)
    monkeypatch.setattr(requests, "TABLE", (*commands.TABLE, row))
    with pytest.raises(ValueError, match="without a handler: \\['balance'\\]"):
        Script(tmp_path)


def test_a_row_with_an_effect_that_nothing_carries_out_is_refused_and_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(tmp_path).at(2.0).connected(R1)
    monkeypatch.setitem(BY_NAME, "Balance", dataclasses.replace(BY_NAME["Disconnect"], name="Balance", effect=BALANCE))
    script.ask("Balance", R1).refused("NOT_SUPPORTED").later(3.0)
    assert script.racks[R1].main == CLOSED
    script.expect("ESS.State.ConnectedRackCount", 1)
