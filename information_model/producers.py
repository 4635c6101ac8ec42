"""Which part of the program writes which points, and what it needs for it.

A point is instantiated where something on the site produces it: a device map, the site file, or a line of this table whose
needs are met. What the program writes itself is said here alone; `Point.producer` marks what comes from outside, the rack
points that a device map may deliver (`FIELD`) and the configured ones (`CONFIGURATION`), and decides nothing else. A test
compares the two: no point has two producers. Another runs the cycle: the core writes exactly these, no more and no less.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from information_model.points.row import PLANT, Level

CELLS, PROBES = "CellData.CellVoltages", "CellData.CellTemperatures"
VOLTAGE, CURRENT = "Measurements.DcVoltage", "Measurements.DcCurrent"
SYSTEM, ARRAY, RACK, MODULE = Level.SYSTEM, Level.ARRAY, Level.RACK, Level.MODULE
GROUPS = (SYSTEM, ARRAY)


@dataclass(frozen=True, slots=True)
class Production:
    """One line: `writer` gives the points `group`.`names` of `levels`, if the racks of the site have all of `needs`."""

    writer: str
    levels: tuple[Level, ...]
    group: str
    names: str
    needs: tuple[str, ...] = ()

    def points(self) -> Iterator[tuple[Level, str]]:
        """(level, path) of each point."""
        for level in self.levels:
            for name in self.names.split():
                yield level, f"{self.group}.{name}"


P = Production
TABLE: tuple[Production, ...] = (
    # cells and probes
    P("core.validate", (RACK,), "CellData", "CellQuality", (CELLS,)),
    P("estimators.extremes", (RACK,), "Measurements",
      "CellVoltageMax CellVoltageMin CellVoltageAvg CellVoltageSpread CellVoltageSum", (CELLS,)),
    P("estimators.extremes", (RACK,), "Measurements", "CellVoltageSpreadAtRest", (CELLS, CURRENT)),
    P("estimators.extremes", (RACK,), "Measurements",
      "CellTemperatureMax CellTemperatureMin CellTemperatureAvg CellTemperatureSpread", (PROBES,)),
    P("estimators.extremes", (RACK, ARRAY), "ExtremeCells",
      "HighestVoltage LowestVoltage RecordedVoltageMax RecordedVoltageMin", (CELLS,)),
    P("estimators.extremes", (RACK, ARRAY), "ExtremeCells",
      "HighestTemperature LowestTemperature RecordedTemperatureMax RecordedTemperatureMin", (PROBES,)),
    P("estimators.extremes", (MODULE,), "CellData", "CellVoltages CellQuality", (CELLS,)),
    P("estimators.extremes", (MODULE,), "CellData", "CellTemperatures", (PROBES,)),
    P("estimators.extremes", (MODULE,), "Measurements", "CellVoltageMax CellVoltageMin CellVoltageAvg", (CELLS,)),
    P("estimators.extremes", (MODULE,), "Measurements",
      "CellTemperatureMax CellTemperatureMin CellTemperatureAvg", (PROBES,)),
    # sums, means and extremes over racks and arrays
    P("estimators.aggregate", (RACK,), "Measurements", "DcActivePower", (VOLTAGE, CURRENT)),
    P("estimators.aggregate", (RACK,), "Measurements", "BusVoltageDifference", (VOLTAGE, "Measurements.BusVoltage")),
    P("estimators.aggregate", (ARRAY,), "Measurements", "DcVoltage RackVoltageAvg RackVoltageMax RackVoltageMin", (VOLTAGE,)),
    P("estimators.aggregate", (ARRAY,), "ExtremeRacks", "RackVoltageMaxRack RackVoltageMinRack", (VOLTAGE,)),
    P("estimators.aggregate", (ARRAY,), "Measurements", "RackCurrentAvg RackCurrentMax RackCurrentMin", (CURRENT,)),
    P("estimators.aggregate", (ARRAY,), "ExtremeRacks", "RackCurrentMaxRack RackCurrentMinRack", (CURRENT,)),
    P("estimators.aggregate", (SYSTEM,), "Measurements", "DcVoltage", (VOLTAGE,)),
    P("estimators.aggregate", GROUPS, "Measurements", "DcCurrent", (CURRENT,)),
    P("estimators.aggregate", GROUPS, "Measurements", "DcActivePower", (VOLTAGE, CURRENT)),
    P("estimators.aggregate", (ARRAY,), "Measurements", "CellVoltageMax CellVoltageMin CellVoltageAvg CellVoltageSpread",
      (CELLS,)),
    P("estimators.aggregate", (ARRAY,), "Measurements",
      "CellTemperatureMax CellTemperatureMin CellTemperatureAvg CellTemperatureSpread", (PROBES,)),
    P("estimators.aggregate", (SYSTEM,), "Measurements", "CellVoltageMax CellVoltageMin", (CELLS,)),
    P("estimators.aggregate", (SYSTEM,), "Measurements", "CellTemperatureMax CellTemperatureMin", (PROBES,)),
    P("estimators.aggregate", (SYSTEM,), "ExtremeCells", "HighestVoltage LowestVoltage", (CELLS,)),
    P("estimators.aggregate", (SYSTEM,), "ExtremeCells", "HighestTemperature LowestTemperature", (PROBES,)),
    P("estimators.aggregate", GROUPS, "Estimation", "IncludedRackCount IncludedEnergyShare"),
    # charge and energy
    P("estimators.charge", (RACK,), "Measurements",
      "StateOfCharge StateOfChargeSigma DepthOfDischarge AvailableChargeCapacity AvailableDischargeCapacity "
      "ChargeableEnergy DischargeableEnergy", (CURRENT, CELLS)),
    P("estimators.charge", (RACK,), "Estimation", "StateOfChargeMean StateOfChargeSource", (CURRENT, CELLS)),
    P("estimators.charge", GROUPS, "Measurements",
      "StateOfCharge StateOfChargeMax StateOfChargeMin StateOfChargeSigma StateOfChargeSpread StoredEnergy "
      "ChargeableEnergy DischargeableEnergy EffectiveEnergyCapacity", (CURRENT, CELLS)),
    P("estimators.energy", PLANT, "Counters", "ChargeThroughput DischargeThroughput CapacityThroughput EquivalentFullCycles",
      (CURRENT,)),
    P("estimators.energy", PLANT, "Counters", "ChargedEnergyTotal DischargedEnergyTotal EnergyThroughput",
      (VOLTAGE, CURRENT)),
    P("estimators.energy", (RACK,), "Counters", "OperatingTime"),
    P("estimators.energy", PLANT, "Counters", "ConnectedTime", ("Contactors.Positive.Position",)),
    # validation and protection
    P("core.validate", (RACK,), "Protection", "InvalidCellCount", (CELLS,)),
    P("core.validate", (RACK,), "Protection", "InvalidProbeCount", (PROBES,)),
    P("core.validate", (RACK,), "Protection", "FrozenValueCount", (CELLS, CURRENT)),
    P("core.validate", (RACK,), "Protection", "VoltageSumDifference VoltageSumOffset", (CELLS, VOLTAGE)),
    P("core.protection", (RACK,), "Protection", "ChargeCurrent DischargeCurrent CurrentBelowBreakLimit", (CURRENT,)),
    P("core.protection", PLANT, "Protection", "TripActive LatchedTrip"),
    P("core.protection", PLANT, "Permissives", "NoTripActive TripCausesGone TripsAcknowledged"),
    P("core.protection", (RACK,), "Permissives", "CellVoltagesInRange", (CELLS,)),
    P("core.protection", (RACK,), "Permissives", "TemperaturesInRange", (PROBES,)),
    P("core.protection", (RACK,), "Counters", "TripCount"),
    P("core.protection", PLANT, "Alarms",
      "ActiveWarningCount ActiveLimitCount ActiveTripCount GroupAlarm GroupWarning GroupIndication HighestSeverity "
      "UnacknowledgedCount"),
    # communication with the field
    P("core.communication", (RACK,), "Communication",
      "BadPointCount GoodPointCount UncertainPointCount CounterErrors FramesReceived FramesRejected RejectedShare "
      "LastUpdateAge Reconnects State Timeouts"),
    P("core.communication", (RACK,), "Communication", "CurrentAge", (CURRENT,)),
    P("core.communication", GROUPS, "Communication", "BadPointCount GoodPointCount UncertainPointCount"),
    P("core.communication", (SYSTEM,), "Communication", "AliveBusCount BusCount Heartbeat"),
    P("core.communication", (RACK, ARRAY), "Permissives", "CommunicationGood"),
    P("core.communication", (RACK,), "Permissives", "FeedbackFresh FirstFrameSeen"),
    # control
    P("core.control", (RACK,), "State",
      "BatteryOn ChargeStatus Charging CloseEnabled CloseFailureCount ContactorsClosed DeviceHealth DisabledReason "
      "Discharging Enabled LocalControl OpenEnabled OperatingState OperationalState ConnectionFailureReason"),
    P("core.control", (RACK,), "State", "PrechargeFailureCount", ("Contactors.Precharge.Position",)),
    P("core.control", (RACK,), "State", "WeldDetected", ("Contactors.Positive.Position",)),
    P("core.control", (RACK,), "Contactors", "Position", ("Contactors.Positive.Position",)),
    P("core.control", (RACK,), "Contactors.Positive", "OperationCount WeldDetected", ("Contactors.Positive.Position",)),
    P("core.control", (RACK,), "Contactors.Negative", "OperationCount WeldDetected", ("Contactors.Negative.Position",)),
    P("core.control", (RACK,), "Contactors.Precharge", "OperationCount WeldDetected", ("Contactors.Precharge.Position",)),
    P("core.control", (RACK,), "Permissives", "Enabled JournalWritable PrechargeAvailable"),
    P("core.control", (RACK,), "Permissives", "ContactorsOpen ContactorsHealthy", ("Contactors.Positive.Position",)),
    P("core.control", (RACK,), "Permissives", "VoltageDifferenceGood", (VOLTAGE, "Measurements.BusVoltage")),
    P("core.control", (RACK,), "Permissives", "AtRest", (CURRENT,)),
    P("core.control", GROUPS, "Permissives", "AnyRackAvailable JournalWritable"),
    P("core.control", GROUPS, "Permissives", "ContactorsOpen", ("Contactors.Positive.Position",)),
    P("core.control", PLANT, "Control",
      "Authority CommandFailed CommandInProgress ConnectRequested LastCommandOutcome LastCommandSequence RefusalReason"),
    P("core.control", (RACK,), "Control", "LeaseRemaining"),
    P("core.control", GROUPS, "State",
      "AlarmRackCount AvailableRackCount ChargeStatus CloseEnabled CommunicatingRackCount ConnectedRackCount DeviceHealth "
      "LocalControl OperatingState OperationalState"),
    P("core.control", (ARRAY,), "State", "OpenEnabled"),
    P("core.control", (SYSTEM,), "State", "ArrayCount RackCount"),
    P("core.control", PLANT, "Limits",
      "MaxChargeCurrent MaxDischargeCurrent ChargeLimitReason DischargeLimitReason"),
    P("core.control", PLANT, "Limits", "AvailableChargePower AvailableDischargePower", (VOLTAGE,)),
    P("core.control", (RACK, ARRAY), "Limits", "MaxChargeVoltage MinDischargeVoltage"),
    P("core.control", (ARRAY,), "Limits", "ChargeLimitingRack DischargeLimitingRack"),
    # the server about itself
    P("core.server", (SYSTEM,), "Server",
      "ArchiveBacklog ArchiveDamaged ArchiveFault AuthenticationFailures AuthenticationFailuresRecent "
      "CertificateRemainingTime ClockOffset ClockStep ClockSteps ClockSynchronised ClockMaxError CommandsAccepted "
      "CommandsRefused CoreRestarted CoreRestarts CpuLoad CycleCount CycleLateness CycleLatenessMax CycleTime "
      "CycleTimeMax DiskFree EventLogBacklog EventsLogged FaceRestarts FacesAlive FacesConfigured FacesMissing "
      "FieldProcessRestarts FieldProcessesAlive FieldProcessesConfigured FieldProcessesMissing JournalDelay MemoryUsed "
      "OpcUaMonitoredItems OpcUaSessions OpcUaSubscriptions OverrunCount OverrunsRecent RealTimePriority "
      "RejectedCertificateCount RejectedRequests ServiceLevel TimeEpoch UncleanStop Uptime"),
    P("core.server", (SYSTEM,), "State", "SimulationActive"),
)  # fmt: skip


def produced(field_points: frozenset[str]) -> set[tuple[Level, str]]:
    """(level, path) of all points that the program writes on a site whose racks deliver `field_points`."""
    found = {(Level.RACK, path) for path in field_points}
    for line in TABLE:
        if field_points.issuperset(line.needs):
            found.update(line.points())
    return found
