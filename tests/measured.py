"""Measured data of real batteries, which are not part of the project.

GRIDBMS_DATA names their folder; without it, it is `../shared/data` beside the checkout:

    can/     savvycan_teslaS_gvret_MIT.csv.gz, foxbms2_foxbms.dbc: a captured bus and a CAN database
    packs/   car1.parquet, car2.parquet (BatICM/unsupervised-battery-faults, MIT): two vehicle packs in service
    cells/   lfp_shi/*.parquet (terencetaothucb/LFP-SOC-Estimation-Fisher-Information-Fusion, MIT): an LFP cell at 1 s

What needs a file that is not there is skipped, and says so.
"""

import os
from pathlib import Path

import pytest

VARIABLE = "GRIDBMS_DATA"
FOLDER = Path(os.environ.get(VARIABLE) or Path(__file__).parents[2] / "shared" / "data")


class NoMeasuredDataError(Exception):
    """A measured file is not here; the text says where it was looked for."""


def measured_file(name: str) -> Path:
    """File `name` of the measured data, such as `packs/car1.parquet`; raises NoMeasuredDataError."""
    path = FOLDER / name
    if not path.is_file():
        raise NoMeasuredDataError(f"no measured data: {path} is not there; {VARIABLE} names their folder")
    return path


def measured_or_skip(name: str) -> Path:
    """File `name`; skips the test where it is not here."""
    try:
        return measured_file(name)
    except NoMeasuredDataError as error:
        pytest.skip(str(error))
