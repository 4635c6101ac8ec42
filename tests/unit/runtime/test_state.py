"""Retained state is whole or the one before it; it is never ahead of the durable log; a loss is told."""

import os
from pathlib import Path

import pytest

from server.runtime.state import PendingState, RetainedState, StateLost, hand_over_state, load_state, write_state


def test_the_first_start_has_no_state(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None


def test_the_last_state_written_is_loaded_and_the_one_before_kept(tmp_path: Path) -> None:
    for n in range(1, 4):
        write_state(tmp_path, b"body %d" % n, n, -n)
    assert load_state(tmp_path) == RetainedState(b"body 3", 3, -3)
    (tmp_path / "state.bin").unlink()
    assert load_state(tmp_path) == RetainedState(b"body 2", 2, -2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.bin.old"]


@pytest.mark.parametrize("at", [0, 8, 12, 20, 30, 37, -1])
def test_a_damaged_state_gives_way_to_the_older_one(tmp_path: Path, at: int) -> None:
    write_state(tmp_path, b"old", 1, 1)
    write_state(tmp_path, b"new", 2, 2)
    content = bytearray((tmp_path / "state.bin").read_bytes())
    content[at] ^= 1
    (tmp_path / "state.bin").write_bytes(content)
    assert load_state(tmp_path) == RetainedState(b"old", 1, 1)


def test_two_damaged_states_are_a_loss_and_no_first_start(tmp_path: Path) -> None:
    (tmp_path / "state.bin").write_bytes(b"")
    (tmp_path / "state.bin.old").write_bytes(b"GBSTATE2" + bytes(40))
    with pytest.raises(StateLost, match=r"shorter than its header.*begins with b'GBSTATE2'"):
        load_state(tmp_path)


def test_a_damaged_state_does_not_push_out_the_good_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(tmp_path, b"old", 1, 1)
    write_state(tmp_path, b"new", 2, 2)
    (tmp_path / "state.bin").write_bytes(b"damaged")

    def power_cut(source: Path, target: Path) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(os, "rename", power_cut)
    with pytest.raises(OSError, match="power cut"):
        write_state(tmp_path, b"newer", 3, 3)
    assert load_state(tmp_path) == RetainedState(b"old", 1, 1)


def test_a_damaged_state_is_kept_under_another_name_and_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "state.bin").write_bytes(b"first")
    (tmp_path / "state.bin.old").write_bytes(b"second")
    for n in range(1, 4):
        write_state(tmp_path, b"%d" % n, n, n)
    assert load_state(tmp_path) == RetainedState(b"3", 3, 3)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.damaged-*")} == {
        "state.bin.damaged-1": b"first",
        "state.bin.old.damaged-1": b"second",
    }


def test_a_disk_that_damages_every_state_is_not_filled_with_them(tmp_path: Path) -> None:
    for n in range(20):
        (tmp_path / "state.bin").write_bytes(b"damaged %d" % n)
        write_state(tmp_path, b"good", n, n)
    kept = sorted(tmp_path.glob("*.damaged-*"))
    assert [path.read_bytes() for path in kept] == [b"damaged %d" % n for n in range(9)]


@pytest.mark.parametrize("step", range(1, 6))
def test_a_death_at_any_step_of_a_write_leaves_the_present_state_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    for n in (1, 2):
        write_state(tmp_path, b"%d" % n, n, n)
    count = 0

    def dying(name: str) -> None:
        good = getattr(os, name)

        def call(*arguments: object) -> object:
            nonlocal count
            count += 1
            if count == step:
                raise OSError("death")
            return good(*arguments)

        monkeypatch.setattr(os, name, call)

    for name in ("link", "rename", "fsync"):
        dying(name)
    with pytest.raises(OSError, match="death"):
        write_state(tmp_path, b"3", 3, 3)
    found = load_state(tmp_path)
    assert found is not None
    assert found.number == (3 if step == 5 else 2)
    monkeypatch.undo()
    write_state(tmp_path, b"4", 4, 4)
    assert load_state(tmp_path) == RetainedState(b"4", 4, 4)


def test_a_state_handed_over_waits_until_the_log_is_durable_up_to_its_number(tmp_path: Path) -> None:
    run, data = tmp_path / "run", tmp_path / "data"
    run.mkdir()
    data.mkdir()
    pending = PendingState(run, data)
    assert not pending.write(100)
    hand_over_state(run, b"latches", 7, 70)
    assert not pending.write(6)
    assert load_state(data) is None
    assert pending.write(7)
    assert load_state(data) == RetainedState(b"latches", 7, 70)
    assert not pending.write(8)  # once is enough
    hand_over_state(run, b"two", 8, 80)
    hand_over_state(run, b"three", 9, 90)
    assert not pending.write(8)
    assert pending.write(9)
    assert load_state(data) == RetainedState(b"three", 9, 90)


def test_a_state_that_the_core_wrote_wrongly_never_reaches_the_disk(tmp_path: Path) -> None:
    (tmp_path / "state.pending").write_bytes(b"nonsense")
    assert not PendingState(tmp_path, tmp_path).write(100)
    assert load_state(tmp_path) is None
