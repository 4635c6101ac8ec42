"""Points of a module: rows of the matrices of its rack, and its identity."""

from functools import partial

from information_model.points.row import Aggregation, History, Kind, Level, Point, Producer
from information_model.quantities import (
    AMPERE,
    AMPERE_HOUR,
    DEGREE_CELSIUS,
    OHM,
    ONE,
    PERCENT,
    VOLT,
)

point = partial(Point, Level.MODULE)

POINTS: tuple[Point, ...] = (
    # Balancing
    point("Balancing.BalancingCellCount", "UInt16", unit=ONE, low="0", high="65535", period_s=1, history=History.S60, aggregation=Aggregation.INSTANTANEOUS, sunspec="805.NCellBal", text="The number of cells of the module that are being balanced."),
    # CellData
    point("CellData.CellBalancing", "Boolean", kind=Kind.CELLS, period_s=1, stale_after_s=3, history=History.NONE, sunspec="805.CellSt", text="The cells that are being bled or moved, the row of this module."),
    point("CellData.CellBalancingBudget", "Float", kind=Kind.CELLS, unit=AMPERE_HOUR, low="0", high="0.05*rack.rated_capacity_ah", step=0.001, deadband=0.01, period_s=10, history=History.NONE, aggregation=Aggregation.INSTANTANEOUS, text="The charge that each cell still has to give away, the row of this module."),
    point("CellData.CellBalancingCurrent", "Float", kind=Kind.CELLS, unit=AMPERE, low="-50", high="50", step=0.01, deadband=0.05, period_s=1, stale_after_s=3, history=History.NONE, aggregation=Aggregation.INSTANTANEOUS, text="The currents that active balancing commands to all cells, positive while discharging the cell, the row of this module."),
    point("CellData.CellBledCharge", "Double", kind=Kind.CELLS, unit=AMPERE_HOUR, low="0", high="1000000", step=0.001, deadband=0.01, period_s=60, history=History.NONE, aggregation=Aggregation.INSTANTANEOUS, text="The charge that each cell has given away by balancing so far, the row of this module."),
    point("CellData.CellQuality", "Byte", kind=Kind.CELLS, low="0", high="2", period_s=1, stale_after_s=3, history=History.NONE, text="The quality of each cell value (0 good, 1 old or estimated, 2 bad), the row of this module."),
    point("CellData.CellResistances", "Float", kind=Kind.CELLS, unit=OHM, low="0", high="0.01", step=1e-06, deadband=5e-06, period_s=60, history=History.NONE, aggregation=Aggregation.INSTANTANEOUS, text="The temperature-normalised ohmic resistances of all cells, the row of this module."),
    point("CellData.CellStateOfCharge", "Float", kind=Kind.CELLS, unit=PERCENT, low="0", high="100", step=0.01, deadband=0.1, period_s=1, history=History.NONE, aggregation=Aggregation.INSTANTANEOUS, text="The states of charge of all cells, the row of this module."),
    point("CellData.CellStateOfChargeSigma", "Float", kind=Kind.CELLS, unit=PERCENT, low="0", high="100", step=0.01, deadband=0.1, period_s=60, history=History.NONE, aggregation=Aggregation.INSTANTANEOUS, text="The standard uncertainty of the cell states of charge, the row of this module."),
    point("CellData.CellStateOfHealth", "Float", kind=Kind.CELLS, unit=PERCENT, low="0", high="110", step=0.01, deadband=0.1, period_s=60, history=History.NONE, aggregation=Aggregation.INSTANTANEOUS, text="The capacity health of all cells, the row of this module."),
    point("CellData.CellTemperatures", "Float", kind=Kind.PROBES, unit=DEGREE_CELSIUS, low="-50", high="100", step=0.1, deadband=0.2, period_s=1, stale_after_s=3, history=History.NONE, aggregation=Aggregation.INSTANTANEOUS, sunspec="805.CellTmp", text="The temperatures of all probes, the row of this module."),
    point("CellData.CellVoltages", "Float", kind=Kind.CELLS, unit=VOLT, low="0", high="5", step=0.001, deadband=0.002, period_s=1, stale_after_s=3, history=History.NONE, aggregation=Aggregation.INSTANTANEOUS, sunspec="805.CellV", text="The voltages of all cells, the row of this module."),
    # Configuration
    point("Configuration.CellCount", "UInt16", unit=ONE, low="0", high="65535", history=History.NONE, producer=Producer.CONFIGURATION, sunspec="805.NCell;804.ModNCell", text="The number of cells in series in the module."),
    # Identification
    point("Identification.AssetId", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The asset number of the owner."),
    point("Identification.CommissioningDate", "DateTime", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The date of putting into service of the battery (EU 2023/1542 Annex VII)."),
    point("Identification.ComponentName", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The name that the owner gave."),
    point("Identification.HardwareRevision", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The hardware revision of the module."),
    point("Identification.Manufacturer", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The maker of the module."),
    point("Identification.ManufacturingDate", "DateTime", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The date of manufacture of the battery (EU 2023/1542 Annex VII)."),
    point("Identification.Model", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The product designation of the module."),
    point("Identification.SerialNumber", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, sunspec="805.SN", text="The serial number of the module."),
    point("Identification.SoftwareRevision", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The firmware revision of the module."),
    # Measurements
    point("Measurements.CellTemperatureAvg", "Float", unit=DEGREE_CELSIUS, low="-50", high="100", step=0.1, deadband=0.2, period_s=1, stale_after_s=3, history=History.S10, aggregation=Aggregation.INSTANTANEOUS, sunspec="805.CellTmpAvg;804.ModCellTmpAvg", text="The mean temperature of the module."),
    point("Measurements.CellTemperatureMax", "Float", unit=DEGREE_CELSIUS, low="-50", high="100", step=0.1, deadband=0.2, period_s=1, stale_after_s=3, history=History.S10, aggregation=Aggregation.INSTANTANEOUS, iec61850="ARR{a}R{r}/ModSBAT{m}.CelTmpMax.mag.f[MX]", cdc="MV", sunspec="805.CellTmpMax;804.ModCellTmpMax", text="The highest temperature of the module."),
    point("Measurements.CellTemperatureMin", "Float", unit=DEGREE_CELSIUS, low="-50", high="100", step=0.1, deadband=0.2, period_s=1, stale_after_s=3, history=History.S10, aggregation=Aggregation.INSTANTANEOUS, iec61850="ARR{a}R{r}/ModSBAT{m}.CelTmpMin.mag.f[MX]", cdc="MV", sunspec="805.CellTmpMin;804.ModCellTmpMin", text="The lowest temperature of the module."),
    point("Measurements.CellVoltageAvg", "Float", unit=VOLT, low="0", high="5", step=0.001, deadband=0.002, period_s=1, stale_after_s=3, history=History.S10, aggregation=Aggregation.INSTANTANEOUS, sunspec="805.CellVAvg;804.ModCellVAvg", text="The mean cell voltage of the module."),
    point("Measurements.CellVoltageMax", "Float", unit=VOLT, low="0", high="5", step=0.001, deadband=0.002, period_s=1, stale_after_s=3, history=History.S10, aggregation=Aggregation.INSTANTANEOUS, iec61850="ARR{a}R{r}/ModSBAT{m}.CelVolHi.mag.f[MX]", cdc="MV", sunspec="805.CellVMax;804.ModCellVMax", text="The highest cell voltage of the module."),
    point("Measurements.CellVoltageMin", "Float", unit=VOLT, low="0", high="5", step=0.001, deadband=0.002, period_s=1, stale_after_s=3, history=History.S10, aggregation=Aggregation.INSTANTANEOUS, iec61850="ARR{a}R{r}/ModSBAT{m}.CelVolLo.mag.f[MX]", cdc="MV", sunspec="805.CellVMin;804.ModCellVMin", text="The lowest cell voltage of the module."),
    point("Measurements.StateOfCharge", "Float", unit=PERCENT, low="0", high="100", step=0.01, deadband=0.1, period_s=1, history=History.S60, aggregation=Aggregation.INSTANTANEOUS, sunspec="805.SoC;804.ModSoC", text="The mean state of charge of the cells of the module."),
    point("Measurements.StateOfHealth", "Float", unit=PERCENT, low="0", high="110", step=0.01, deadband=0.05, period_s=60, history=History.DAY, aggregation=Aggregation.INSTANTANEOUS, sunspec="805.SoH;804.ModSoH", text="The mean capacity health of the cells of the module."),
    point("Measurements.Voltage", "Float", unit=VOLT, low="0", high="5*module.cells", step=0.01, deadband=0.05, period_s=1, stale_after_s=3, history=History.S10, aggregation=Aggregation.INSTANTANEOUS, producer=Producer.FIELD, iec61850="ARR{a}R{r}/ModSBAT{m}.ExtVol.mag.f[MX]", cdc="MV", sunspec="805.V", text="The voltage of the module."),
)
