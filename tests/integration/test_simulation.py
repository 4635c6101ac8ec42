"""`gridbms simulate`: plant, buses, cycle and archive in simulated time; the result is an archive like any other."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from server.config.site import load_site
from server.simulation.world import World
from server.store.history import FIRST, LAST, History

ROOT = Path(__file__).parents[2]
SITE = ROOT / "examples" / "demo.toml"
START_NS = 1_790_000_000 * 10**9
STEP_S, SECONDS = 0.5, 60
RACK = "ESS.ARR01.R001"


def simulate(folder: Path, seconds: float = SECONDS) -> tuple[World, Path]:
    run, data = folder / "run", folder / "data"
    for each in (run, data):
        each.mkdir(mode=0o700, parents=True)
    world = World(load_site(SITE), run, data, start_utc_ns=START_NS, step_s=STEP_S)
    for number in range(round(seconds / STEP_S)):
        if number == round(5 / STEP_S):
            assert world.command("Connect").result == "accepted"
        world.step()
    world.close()
    return world, data


def series(data: Path, point: str) -> tuple[np.ndarray, np.ndarray]:
    pieces = list(History(data, load_site(SITE).catalogue).forward(point, FIRST, LAST))
    return np.concatenate([piece.time for piece in pieces]), np.concatenate([piece.value for piece in pieces])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> tuple[World, Path]:
    return simulate(tmp_path_factory.mktemp("first"))


def test_a_command_closes_every_rack_through_frames_and_feedback(simulated) -> None:
    status = simulated[0].status()
    assert status.simulated_s == SECONDS
    assert (status.closed_racks, status.trips) == (6, 0)


def test_the_archive_holds_the_simulated_time_and_nothing_else(simulated) -> None:
    time, value = series(simulated[1], f"{RACK}.Measurements.DcVoltage")
    assert time[0] >= START_NS
    assert time[-1] <= START_NS + SECONDS * 10**9
    assert len(time) > SECONDS / 2
    assert (np.diff(time) > 0).all()
    assert ((value > 52 * 8 * 3.0) & (value < 52 * 8 * 3.65)).all()


def test_the_journal_tells_of_the_command_and_of_its_outcome(simulated) -> None:
    with sqlite3.connect(simulated[1] / "journal.db") as journal:
        texts = [row[0] for row in journal.execute("SELECT payload FROM journal ORDER BY number")]
    assert sum('"Connect"' in text for text in texts) >= 2


def test_the_same_seed_gives_the_same_history(simulated, tmp_path) -> None:
    _, again = simulate(tmp_path)
    for point in (f"{RACK}.Measurements.DcVoltage", f"{RACK}.State.OperatingState"):
        for first, second in zip(series(simulated[1], point), series(again, point), strict=True):
            assert np.array_equal(first, second)


def test_the_command_makes_an_archive_once_and_refuses_to_mix(tmp_path) -> None:
    line = [sys.executable, "-m", "server", "simulate", str(SITE), "--data", str(tmp_path / "day"), "--hours", "0.005"]
    first = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert "connect: " in first.stdout
    assert "simulated 0.01 h" in first.stdout or "simulated 0.00 h" in first.stdout
    assert (tmp_path / "day" / "archive.db").exists()
    second = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert "never mixed" in second.stderr
