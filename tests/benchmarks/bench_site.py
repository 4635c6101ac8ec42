"""A site of 10,000 Double points and little else, and the image of it that the bench writes in the core's place."""

import dataclasses
import os
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from information_model.catalogue import Catalogue, Row
from information_model.points.row import Level
from server.config.site import Site, load_site
from server.runtime.block import Layout, Writer
from server.runtime.link import Answer, LinkServer, Request
from server.runtime.tick import Tick

ARRAYS, RACKS = 12, 84
PERIOD_S = 0.1
CHANGE_CYCLES = 10
MAP = """version = 1
name = "bench"
kind = "can"
dbc = "bench.dbc"
[[matrix]]
point = "CellData.CellVoltages"
count = 2
signal = 'V(\\d+)'
period = 1.0
timeout = 3.0
[[scalar]]
point = "Measurements.DcVoltage"
signal = "U"
period = 0.1
timeout = 1.0
[[scalar]]
point = "Measurements.DcCurrent"
signal = "I"
period = 0.1
timeout = 1.0
"""


def write_site(folder: Path) -> Path:
    """The site file with its device map."""
    (folder / "bench.toml").write_text(MAP)
    arrays = "".join(
        f'[[arrays]]\nnumber = {i}\n[[arrays.racks]]\nnumbers = "1-{RACKS}"\ntype = "t"\nbus = "b{i}"\nmap = "bench.toml"\n'
        for i in range(1, ARRAYS + 1)
    )
    buses = "".join(f'[buses.b{i}]\nadapter = "can"\n' for i in range(1, ARRAYS + 1))
    path = folder / "site.toml"
    path.write_text(
        'version = 1\n[site]\nid = "BENCH01"\nserial_number = "1"\n[rack_types.t]\nchemistry = "LFP"\nmodules = 1\n'
        "cells_per_module = 2\nprobes_per_module = 0\nrated_capacity_ah = 100.0\nmax_charge_current_a = 100.0\n"
        'max_discharge_current_a = 100.0\n[opcua]\nhost = "127.0.0.1"\nsecurity_none = true\n'
        "max_connections_per_address = 200\n" + buses + arrays
    )
    return path


def load_bench_site(path: Path) -> Site:
    """The site with the Doubles of its racks only: an image of the size that the figure speaks of."""
    site = load_site(path)
    return dataclasses.replace(site, catalogue=_only_doubles(site.catalogue))


def _only_doubles(catalogue: Catalogue) -> Catalogue:
    rows: dict[Level, dict[str, Row]] = {level: {} for level in Level}
    count = 0
    for level, found in catalogue.rows.items():
        for path, row in found.items():
            if row.base < 0 and not row.matrix:
                rows[level][path] = row
            elif level is Level.RACK and row.base >= 0 and row.point.data_type == "Double":
                rows[level][path] = dataclasses.replace(row, base=count)
                count += catalogue.topology.count(level)
    return dataclasses.replace(catalogue, rows=rows, alarms=(), scalar_count=count, alarm_count=0)


def doubles(site: Site, count: int) -> tuple[list[str], NDArray[np.int64]]:
    """NodeIds and slots of `count` Double points, one quantity after another."""
    names, slots = [], []
    for path, row in site.catalogue.rows[Level.RACK].items():
        if row.base >= 0 and row.point.data_type == "Double":
            for element in site.topology.of_level(Level.RACK):
                names.append(f"ns=3;s={element.name}.{path}")
                slots.append(row.base + element.ordinal)
    if len(names) < count:
        raise ValueError(f"the bench catalogue has {len(names)} Double points, expected at least {count}")
    return names[:count], np.array(slots[:count])


class ImageWriter:
    """Stands where the core stands: publishes images at 10 Hz in a thread and serves the link in between.

    `share` of the given slots changes once a second. A face whose link is down tries again and again, which would be
    part of the figure.
    """

    def __init__(self, site: Site, run: Path, slots: NDArray[np.int64]) -> None:
        self.share = 1.0
        self._writer = Writer(run / "image", Layout(site.catalogue.columns()), os.getpid())
        self._tick = Tick(run)
        self._link = LinkServer(run / "link.sock", _accept, lambda: 0)
        self._columns = {name: np.zeros(length, dtype) for name, dtype, length in site.catalogue.columns()}
        self._columns["source_time"][:] = time.time_ns()
        self._slots = slots
        self._cycle = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()
        self._link.close()
        self._writer.close()
        self._tick.close()

    def _publish(self) -> None:
        self._cycle += 1
        if self._cycle % CHANGE_CYCLES == 1:
            changing = self._slots[: int(len(self._slots) * self.share)]
            self._columns["value"][changing] += 1.0
            self._columns["source_time"][changing] = time.time_ns()
        slot = self._writer.begin()
        for name, column in self._columns.items():
            np.copyto(slot[name], column)
        self._writer.publish(self._cycle, time.monotonic_ns(), time.time_ns())
        self._tick.pulse()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._publish()
            due += PERIOD_S
            self._link.serve(due)


def _accept(request: Request) -> tuple[Answer, bool]:
    """Audit entries of the face are taken and forgotten."""
    return Answer(request.id, "accepted"), False
