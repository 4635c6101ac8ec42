"""Measured packs and cells as images of a site with one rack."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet  # type: ignore[import-untyped]  # it has no stubs
from numpy.typing import NDArray

from information_model.points.row import Level
from server.config.site import Site, load_site
from tests.benchmarks.offline_archive import Columns
from tests.measured import measured_file

START_NS = 1_700_000_000_000_000_000
CAR_SCALARS = {
    "Measurements.DcVoltage": "BMSBatteryVoltage",
    "Measurements.DcCurrent": "BMSBatteryCurrent",
    "Measurements.StateOfCharge": "vehBMSPackSOC",
    "Measurements.CellVoltageMax": "BMSCellVoltageMax",
    "Measurements.CellVoltageMin": "BMSCellVoltageMin",
    "Measurements.CellTemperatureMax": "BMSProbeTempMax",
    "Measurements.CellTemperatureMin": "BMSProbeTempMin",
}
CELL_SCALARS = {
    "Measurements.DcVoltage": "v_v",
    "Measurements.DcCurrent": "i_a",
    "Measurements.StateOfCharge": "soc_ref",
}


@dataclass(frozen=True)
class Recording:
    """A file: cells [n, cells], probes [n, probes], scalars [n] by point, times [n] (UTC ns)."""

    name: str
    chemistry: str
    time_ns: NDArray[np.int64]
    cells: NDArray[np.float64]
    probes: NDArray[np.float64]
    scalars: dict[str, NDArray[np.float64]]

    def site(self, folder: Path) -> Site:
        """A site with one rack of this shape."""
        probes = self.probes.shape[1]
        matrix = "[[matrix]]\npoint = \"CellData.{}\"\ncount = {}\nsignal = '{}(\\d+)'\nperiod = 1.0\ntimeout = 3.0\n"
        scalar = '[[scalar]]\npoint = "Measurements.{}"\nsignal = "{}"\nperiod = 1.0\ntimeout = 3.0\n'
        text = 'version = 1\nname = "recorded"\nkind = "can"\ndbc = "recorded.dbc"\n'
        text += matrix.format("CellVoltages", self.cells.shape[1], "V")
        text += matrix.format("CellTemperatures", probes, "T") if probes else ""
        text += scalar.format("DcVoltage", "U") + scalar.format("DcCurrent", "I")
        (folder / "recorded.toml").write_text(text)
        path = folder / "site.toml"
        path.write_text(
            'version = 1\n[site]\nid = "BENCH02"\nserial_number = "1"\n[rack_types.t]\n'
            f'chemistry = "{self.chemistry}"\nmodules = 1\ncells_per_module = {self.cells.shape[1]}\n'
            f"probes_per_module = {probes}\nrated_capacity_ah = 100.0\nmax_charge_current_a = 100.0\n"
            'max_discharge_current_a = 100.0\n[buses.b]\nadapter = "can"\n[[arrays]]\nnumber = 1\n[[arrays.racks]]\n'
            'numbers = "1"\ntype = "t"\nbus = "b"\nmap = "recorded.toml"\n'
        )
        return load_site(path)

    def play(self, site: Site, columns: Columns) -> Iterator[int]:
        """Fill the columns row by row; yields the time of each."""
        slots = [(site.catalogue.slots(Level.RACK, point).start, values) for point, values in self.scalars.items()]
        matrices = [("CellVoltages", self.cells), ("CellTemperatures", self.probes)]
        for i, time_ns in enumerate(self.time_ns):
            for slot, values in slots:
                columns["value"][slot] = values[i]
                columns["source_time"][slot] = time_ns
            for name, matrix in matrices:
                if matrix.shape[1]:
                    columns[name][:] = matrix[i]
                    columns[f"{name}.time"][:] = time_ns
            yield int(time_ns)


def recordings() -> list[Recording]:
    """All recordings; raises NoMeasuredDataError where one of their files is not here."""
    cells = ("Long_flat_zone_data_25_degree", "With_constant_current_25_degree")
    return [*map(_car, ("car1", "car2")), *map(_cell, cells)]


def _car(name: str) -> Recording:
    table = parquet.read_table(measured_file(f"packs/{name}.parquet"))
    column = {key: table.column(key).to_numpy().astype(np.float64) for key in table.column_names if key != "tboxTime"}
    time_ns = table.column("tboxTime").to_numpy().astype("datetime64[ns]").astype(np.int64)
    # A stamp that comes twice is one message sent twice.
    keep = np.flatnonzero(np.diff(time_ns, prepend=time_ns[0] - 1) > 0)
    wide = {
        kind: sorted((key for key in column if key.startswith(f"{kind}_")), key=lambda key: int(key[2:]))
        for kind in "VT"
    }
    cells, probes = (np.stack([column[key][keep] for key in wide[kind]], axis=1) for kind in "VT")
    scalars = {point: column[key][keep] for point, key in CAR_SCALARS.items()}
    return Recording(name, "NMC", time_ns[keep], cells, probes, scalars)


def _cell(name: str) -> Recording:
    table = parquet.read_table(measured_file(f"cells/lfp_shi/{name}.parquet"))
    column = {key: table.column(key).to_numpy() for key in table.column_names}
    time_ns = START_NS + (column["t_s"] * 1e9).astype(np.int64)
    keep = np.flatnonzero(np.diff(time_ns, prepend=time_ns[0] - 1) > 0)
    scalars = {point: column[key][keep] * (100 if key == "soc_ref" else 1) for point, key in CELL_SCALARS.items()}
    return Recording(
        f"lfp_shi {name}", "LFP", time_ns[keep], column["v_v"][keep, None], np.zeros((len(keep), 0)), scalars
    )
