"""Nameplate, identification, configuration, balancing and thermal points of a rack."""

from functools import partial

from information_model.points.row import Aggregation, History, Kind, Level, Point, Producer
from information_model.quantities import (
    AMPERE,
    AMPERE_HOUR,
    CUBIC_METRE_PER_SECOND,
    DEGREE_CELSIUS,
    ONE,
    PERCENT,
    SECOND,
    VOLT,
    WATT_HOUR,
)
from information_model.roles import Role

point = partial(Point, Level.RACK)

POINTS: tuple[Point, ...] = (
    # Balancing
    point("Balancing.BledChargeTotal", "Double", unit=AMPERE_HOUR, low="0", high="1000000000", step=0.01, period_s=10, history=History.S60, aggregation=Aggregation.TOTAL, text="The charge given away by balancing so far."),
    point("Balancing.BudgetAge", "Double", unit=SECOND, low="0", high="315360000", deadband=60, period_s=60, history=History.NONE, aggregation=Aggregation.INSTANTANEOUS, text="The time since the budgets were latched."),
    point("Balancing.BudgetMax", "Float", unit=AMPERE_HOUR, low="0", high="0.05*rack.rated_capacity_ah", step=0.01, deadband=0.05, period_s=10, history=History.S60, aggregation=Aggregation.INSTANTANEOUS, text="The largest charge that one cell still has to give away."),
    point("Balancing.BudgetTotal", "Float", unit=AMPERE_HOUR, low="0", high="rack.rated_capacity_ah", step=0.01, deadband=0.05, period_s=10, history=History.S60, aggregation=Aggregation.INSTANTANEOUS, text="The charge that all cells together still have to give away."),
    point("Balancing.DemandRatioMax", "Float", unit=ONE, low="0", high="1000", step=0.1, deadband=0.1, period_s=60, history=History.DAY, aggregation=Aggregation.INSTANTANEOUS, text="The largest balancing demand of a cell divided by the median demand, over a week."),
    point("Balancing.DemandRatioMaxCell", "CellAddress", period_s=60, history=History.DAY, text="The address of the cell with the largest balancing demand."),
    point("Balancing.Enabled", "Boolean", write_role=Role.OPERATOR, text="Balancing is switched on."),
    point("Balancing.EnergyLost", "Double", unit=WATT_HOUR, low="0", high="10000000000", period_s=10, history=History.S60, aggregation=Aggregation.TOTAL, text="The energy turned into heat by balancing so far."),
    point("Balancing.InhibitReason", "BalancingInhibit", text="Why balancing is inhibited."),
    point("Balancing.State", "BalancingState", text="What balancing does at present."),
    point("Balancing.TopSpread", "Float", unit=PERCENT, low="0", high="100", step=0.01, text="The spread of the cell charge at the last full charge."),
    # Configuration
    point("Configuration.CellsInParallel", "UInt16", unit=ONE, low="0", high="65535", history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/DBAT1.CelParCnt.setVal[SP]", cdc="ING", text="The number of cells in parallel in the rack."),
    point("Configuration.CellsInSeries", "UInt16", unit=ONE, low="0", high="65535", history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/DBAT1.CelSerCnt.setVal[SP]", cdc="ING", text="The number of cells in series in the rack."),
    point("Configuration.ModuleCount", "UInt16", unit=ONE, low="0", high="65535", history=History.NONE, producer=Producer.CONFIGURATION, sunspec="804.NMod", text="The number of modules in the rack."),
    point("Configuration.ProbeCount", "UInt16", unit=ONE, low="0", high="65535", history=History.NONE, producer=Producer.CONFIGURATION, text="The number of temperature probes in the rack."),
    # Identification
    point("Identification.AssetId", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The asset number of the owner."),
    point("Identification.CommissioningDate", "DateTime", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The date of putting into service of the battery (EU 2023/1542 Annex VII)."),
    point("Identification.ComponentName", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The name that the owner gave."),
    point("Identification.HardwareRevision", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/LPHD1.PhyNam.hwRev[DC]", cdc="DPL", text="The hardware revision of the element."),
    point("Identification.Location", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/LPHD1.PhyNam.location[DC]", cdc="DPL", text="The place where the element stands of the element."),
    point("Identification.Manufacturer", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/LPHD1.PhyNam.vendor[DC]", cdc="DPL", text="The maker of the element."),
    point("Identification.ManufacturingDate", "DateTime", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, text="The date of manufacture of the battery (EU 2023/1542 Annex VII)."),
    point("Identification.Model", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/LPHD1.PhyNam.model[DC]", cdc="DPL", text="The product designation of the element."),
    point("Identification.SerialNumber", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/LPHD1.PhyNam.serNum[DC]", cdc="DPL", text="The serial number of the element."),
    point("Identification.SoftwareRevision", "String", kind=Kind.TEXT, history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/LPHD1.PhyNam.swRev[DC]", cdc="DPL", text="The software or firmware revision of the element."),
    # Nameplate
    point("Nameplate.BatteryType", "BatteryType", history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/DBAT1.BatTyp.setVal[SP]", cdc="ENG", text="The battery class in the codes of IEC 61850 and SunSpec."),
    point("Nameplate.CellChemistry", "CellChemistry", history=History.NONE, producer=Producer.CONFIGURATION, text="The cell chemistry that selects model and thresholds."),
    point("Nameplate.NominalVoltage", "Float", unit=VOLT, low="0", high="rack.max_voltage_v", step=0.1, history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/DBAT1.ExtVolNom.setMag.f[SP]", cdc="ASG", text="The nominal voltage of the rack."),
    point("Nameplate.RatedCapacity", "Float", unit=AMPERE_HOUR, low="0", high="rack.rated_capacity_ah", step=0.01, history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/DBAT1.AhrRtg.setMag.f[SP]", cdc="ASG", text="The rated charge capacity when new."),
    point("Nameplate.RatedChargeCurrent", "Float", unit=AMPERE, low="0", high="rack.max_charge_current_a", step=0.1, history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/DBAT1.ChaAmpMaxRtg.setMag.f[SP]", cdc="ASG", text="The highest continuous charge current by data sheet."),
    point("Nameplate.RatedChargeVoltage", "Float", unit=VOLT, low="0", high="rack.max_voltage_v", step=0.1, history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/DBAT1.ChaVolMaxRtg.setMag.f[SP]", cdc="ASG", text="The highest permitted charging voltage by data sheet."),
    point("Nameplate.RatedDischargeCurrent", "Float", unit=AMPERE, low="0", high="rack.max_discharge_current_a", step=0.1, history=History.NONE, producer=Producer.CONFIGURATION, iec61850="ARR{a}R{r}/DBAT1.DschAmpMxRtg.setMag.f[SP]", cdc="ASG", text="The highest continuous discharge current by data sheet."),
    point("Nameplate.RatedEnergy", "Double", unit=WATT_HOUR, low="0", high="rack.rated_energy_wh", history=History.NONE, producer=Producer.CONFIGURATION, text="The rated energy content of the rack when new."),
    # Thermal
    point("Thermal.CoolantFlow", "Float", unit=CUBIC_METRE_PER_SECOND, low="0", high="0.1", step=1e-05, deadband=0.0001, period_s=1, stale_after_s=10, history=History.S60, aggregation=Aggregation.INSTANTANEOUS, producer=Producer.FIELD, text="The flow of the coolant."),
    point("Thermal.CoolantInletTemperature", "Float", unit=DEGREE_CELSIUS, low="-40", high="80", step=0.1, deadband=0.2, period_s=1, stale_after_s=10, history=History.S60, aggregation=Aggregation.INSTANTANEOUS, producer=Producer.FIELD, text="The temperature of the coolant at the inlet of the rack."),
    point("Thermal.CoolantOutletTemperature", "Float", unit=DEGREE_CELSIUS, low="-40", high="80", step=0.1, deadband=0.2, period_s=1, stale_after_s=10, history=History.S60, aggregation=Aggregation.INSTANTANEOUS, producer=Producer.FIELD, text="The temperature of the coolant at the outlet of the rack."),
    point("Thermal.FanFault", "Boolean", period_s=1, stale_after_s=10, producer=Producer.FIELD, text="The rack reports a fan fault."),
    point("Thermal.FanState", "ActuatorState", period_s=1, stale_after_s=10, producer=Producer.FIELD, text="The state of the fans of the rack."),
)
