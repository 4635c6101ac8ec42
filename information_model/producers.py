"""Which part of the program writes which points, and what it needs for it.

A point is instantiated where something on the site produces it: a device map, the site file, or a line of this table whose
needs are met. What the program writes itself is said here alone; `Point.producer` marks what comes from outside: what a
device map may deliver (`FIELD`) and what is configured (`CONFIGURATION`). Tests compare the two (no point has two producers)
and run the cycle: it writes exactly these, each in the module that stands here as its writer.
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
    """One line: `writer` gives the points `group`.`names` of `levels`, if the racks of the site have all of `needs`.

    `writer` is a module below `server`. The cell data of a module of the plant are a part of its rack's.
    """

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
    P("core.estimation.estimation", (RACK,), "Measurements",
      "CellVoltageMax CellVoltageMin CellVoltageAvg CellVoltageSpread CellVoltageSum", (CELLS,)),
    P("core.estimation.estimation", (RACK,), "Measurements", "CellVoltageSpreadAtRest", (CELLS, CURRENT)),
    P("core.estimation.estimation", (RACK,), "Measurements",
      "CellTemperatureMax CellTemperatureMin CellTemperatureAvg CellTemperatureSpread", (PROBES,)),
    P("core.estimation.estimation", (RACK,), "ExtremeCells",
      "HighestVoltage LowestVoltage RecordedVoltageMax RecordedVoltageMin", (CELLS,)),
    P("core.estimation.groups", (ARRAY,), "ExtremeCells",
      "HighestVoltage LowestVoltage RecordedVoltageMax RecordedVoltageMin", (CELLS,)),
    P("core.estimation.estimation", (RACK,), "ExtremeCells",
      "HighestTemperature LowestTemperature RecordedTemperatureMax RecordedTemperatureMin", (PROBES,)),
    P("core.estimation.groups", (ARRAY,), "ExtremeCells",
      "HighestTemperature LowestTemperature RecordedTemperatureMax RecordedTemperatureMin", (PROBES,)),
    P("core.validate", (MODULE,), "CellData", "CellVoltages CellQuality", (CELLS,)),
    P("core.validate", (MODULE,), "CellData", "CellTemperatures", (PROBES,)),
    P("core.estimation.estimation", (MODULE,), "Measurements", "CellVoltageMax CellVoltageMin CellVoltageAvg", (CELLS,)),
    P("core.estimation.estimation", (MODULE,), "Measurements",
      "CellTemperatureMax CellTemperatureMin CellTemperatureAvg", (PROBES,)),
    # sums, means and extremes over racks and arrays
    P("core.estimation.estimation", (RACK,), "Measurements", "DcActivePower", (VOLTAGE, CURRENT)),
    P("core.estimation.estimation", (RACK,), "Measurements", "BusVoltageDifference", (VOLTAGE, "Measurements.BusVoltage")),
    P("core.estimation.groups", (ARRAY,), "Measurements", "DcVoltage RackVoltageAvg RackVoltageMax RackVoltageMin", (VOLTAGE,)),
    P("core.estimation.groups", (ARRAY,), "ExtremeRacks", "RackVoltageMaxRack RackVoltageMinRack", (VOLTAGE,)),
    P("core.estimation.groups", (ARRAY,), "Measurements", "RackCurrentAvg RackCurrentMax RackCurrentMin", (CURRENT,)),
    P("core.estimation.groups", (ARRAY,), "ExtremeRacks", "RackCurrentMaxRack RackCurrentMinRack", (CURRENT,)),
    P("core.estimation.groups", (SYSTEM,), "Measurements", "DcVoltage", (VOLTAGE,)),
    P("core.estimation.groups", GROUPS, "Measurements", "DcCurrent", (CURRENT,)),
    P("core.estimation.groups", GROUPS, "Measurements", "DcActivePower", (VOLTAGE, CURRENT)),
    P("core.estimation.groups", (ARRAY,), "Measurements", "CellVoltageMax CellVoltageMin CellVoltageAvg CellVoltageSpread",
      (CELLS,)),
    P("core.estimation.groups", (ARRAY,), "Measurements",
      "CellTemperatureMax CellTemperatureMin CellTemperatureAvg CellTemperatureSpread", (PROBES,)),
    P("core.estimation.groups", (SYSTEM,), "Measurements", "CellVoltageMax CellVoltageMin", (CELLS,)),
    P("core.estimation.groups", (SYSTEM,), "Measurements", "CellTemperatureMax CellTemperatureMin", (PROBES,)),
    P("core.estimation.groups", (SYSTEM,), "ExtremeCells", "HighestVoltage LowestVoltage", (CELLS,)),
    P("core.estimation.groups", (SYSTEM,), "ExtremeCells", "HighestTemperature LowestTemperature", (PROBES,)),
    P("core.estimation.groups", GROUPS, "Estimation", "IncludedRackCount IncludedEnergyShare"),
    # charge and energy
    P("core.estimation.estimation", (RACK,), "Measurements",
      "StateOfCharge StateOfChargeSigma DepthOfDischarge AvailableChargeCapacity AvailableDischargeCapacity "
      "ChargeableEnergy DischargeableEnergy", (CURRENT, CELLS)),
    P("core.estimation.estimation", (RACK,), "Estimation", "StateOfChargeMean StateOfChargeSource", (CURRENT, CELLS)),
    P("core.estimation.groups", GROUPS, "Measurements",
      "StateOfCharge StateOfChargeMax StateOfChargeMin StateOfChargeSigma StateOfChargeSpread StoredEnergy "
      "ChargeableEnergy DischargeableEnergy EffectiveEnergyCapacity", (CURRENT, CELLS)),
    P("core.estimation.estimation", (RACK,), "Counters", "ChargeThroughput DischargeThroughput CapacityThroughput EquivalentFullCycles",
      (CURRENT,)),
    P("core.estimation.groups", GROUPS, "Counters", "ChargeThroughput DischargeThroughput CapacityThroughput EquivalentFullCycles",
      (CURRENT,)),
    P("core.estimation.estimation", (RACK,), "Counters", "ChargedEnergyTotal DischargedEnergyTotal EnergyThroughput",
      (VOLTAGE, CURRENT)),
    P("core.estimation.groups", GROUPS, "Counters", "ChargedEnergyTotal DischargedEnergyTotal EnergyThroughput",
      (VOLTAGE, CURRENT)),
    P("core.estimation.estimation", (RACK,), "Counters", "OperatingTime"),
    P("core.estimation.estimation", (RACK,), "Counters", "ConnectedTime", ("Contactors.Positive.Position",)),
    P("core.estimation.groups", GROUPS, "Counters", "ConnectedTime", ("Contactors.Positive.Position",)),
    # validation and protection
    P("core.validate", (RACK,), "Protection", "InvalidCellCount", (CELLS,)),
    P("core.validate", (RACK,), "Protection", "InvalidProbeCount", (PROBES,)),
    P("core.validate", (RACK,), "Protection", "FrozenValueCount", (CELLS, CURRENT)),
    P("core.validate", (RACK,), "Protection", "VoltageSumDifference VoltageSumOffset", (CELLS, VOLTAGE)),
    P("core.protection.quantities", (RACK,), "Protection", "ChargeCurrent DischargeCurrent CurrentBelowBreakLimit", (CURRENT,)),
    P("core.protection.points", PLANT, "Protection", "TripActive LatchedTrip"),
    P("core.protection.points", PLANT, "Permissives", "NoTripActive TripCausesGone TripsAcknowledged"),
    P("core.protection.points", (RACK,), "Permissives", "CellVoltagesInRange", (CELLS,)),
    P("core.protection.points", (RACK,), "Permissives", "TemperaturesInRange", (PROBES,)),
    P("core.protection.points", (RACK,), "Counters", "TripCount"),
    P("core.protection.points", PLANT, "Alarms",
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
    P("core.control.states", (RACK,), "State",
      "BatteryOn ChargeStatus Charging CloseEnabled CloseFailureCount ContactorsClosed DeviceHealth DisabledReason "
      "Discharging Enabled LocalControl OpenEnabled OperatingState OperationalState ConnectionFailureReason"),
    P("core.control.states", (RACK,), "State", "PrechargeFailureCount", ("Contactors.Precharge.Position",)),
    P("core.control.states", (RACK,), "State", "WeldDetected", ("Contactors.Positive.Position",)),
    P("core.control.states", (RACK,), "Contactors", "Position", ("Contactors.Positive.Position",)),
    P("core.control.states", (RACK,), "Contactors.Positive", "OperationCount WeldDetected", ("Contactors.Positive.Position",)),
    P("core.control.states", (RACK,), "Contactors.Negative", "OperationCount WeldDetected", ("Contactors.Negative.Position",)),
    P("core.control.states", (RACK,), "Contactors.Precharge", "OperationCount WeldDetected", ("Contactors.Precharge.Position",)),
    P("core.control.permissives", (RACK,), "Permissives", "Enabled JournalWritable PrechargeAvailable"),
    P("core.control.permissives", (RACK,), "Permissives", "ContactorsOpen ContactorsHealthy", ("Contactors.Positive.Position",)),
    P("core.control.permissives", (RACK,), "Permissives", "VoltageDifferenceGood", (VOLTAGE, "Measurements.BusVoltage")),
    P("core.control.permissives", (RACK,), "Permissives", "AtRest", (CURRENT,)),
    P("core.control.permissives", GROUPS, "Permissives", "AnyRackAvailable JournalWritable"),
    P("core.control.permissives", GROUPS, "Permissives", "ContactorsOpen", ("Contactors.Positive.Position",)),
    P("core.commands.command_points", PLANT, "Control",
      "Authority CommandFailed CommandInProgress ConnectRequested LastCommandOutcome LastCommandSequence RefusalReason"),
    P("core.control.control", (RACK,), "Control", "LeaseRemaining"),
    P("core.control.states", GROUPS, "State",
      "AlarmRackCount AvailableRackCount ChargeStatus CloseEnabled CommunicatingRackCount ConnectedRackCount DeviceHealth "
      "LocalControl OperatingState OperationalState"),
    P("core.control.states", (ARRAY,), "State", "OpenEnabled"),
    P("core.control.states", (SYSTEM,), "State", "ArrayCount RackCount"),
    P("core.control.limits", PLANT, "Limits",
      "MaxChargeCurrent MaxDischargeCurrent ChargeLimitReason DischargeLimitReason"),
    P("core.control.limits", PLANT, "Limits", "AvailableChargePower AvailableDischargePower", (VOLTAGE,)),
    P("core.control.limits", (RACK, ARRAY), "Limits", "MaxChargeVoltage MinDischargeVoltage"),
    P("core.control.limits", (ARRAY,), "Limits", "ChargeLimitingRack DischargeLimitingRack"),
    # the server about itself
    P("core.server_points", (SYSTEM,), "Server",
      "ArchiveBacklog ArchiveDamaged ArchiveFault AuthenticationFailures AuthenticationFailuresRecent "
      "CertificateRemainingTime ClockOffset ClockStep ClockSteps ClockSynchronised ClockMaxError CommandsAccepted "
      "CommandsRefused CoreRestarted CoreRestarts CpuLoad CycleCount CycleLateness CycleLatenessMax CycleTime "
      "CycleTimeMax DiskFree EventLogBacklog EventsLogged FaceRestarts FacesAlive FacesConfigured FacesMissing "
      "FieldProcessRestarts FieldProcessesAlive FieldProcessesConfigured FieldProcessesMissing JournalDelay MemoryUsed "
      "OpcUaMonitoredItems OpcUaSessions OpcUaSubscriptions OverrunCount OverrunsRecent RealTimePriority "
      "RejectedCertificateCount RejectedRequests ServiceLevel TimeEpoch UncleanStop Uptime"),
    P("core.server_points", (SYSTEM,), "State", "SimulationActive"),
)  # fmt: skip


def produced(field_points: frozenset[str]) -> set[tuple[Level, str]]:
    """(level, path) of all points that the program writes on a site whose racks deliver `field_points`."""
    found = {(Level.RACK, path) for path in field_points}
    for line in TABLE:
        if field_points.issuperset(line.needs):
            found.update(line.points())
    return found
