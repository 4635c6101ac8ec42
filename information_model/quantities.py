"""Units of measurement: the symbol used here, the UNECE code of OPC UA, the SIUnit of IEC 61850.

UNECE codes: OPC 10000-8 5.6.4.3 (unit id = the code's ASCII bytes, big-endian). SIUnit: IEC 61850-7-3, SIUnitKind; None
where 61850 has no such unit (percent and ampere hours are served with SIUnit 1 and a text).
"""

from dataclasses import dataclass

UNIT_NAMESPACE = "http://www.opcfoundation.org/UA/units/un/cefact"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: `symbol` is its one name in tables, exports and texts."""

    symbol: str
    unece: str
    name: str
    iec61850: int | None = None

    @property
    def unit_id(self) -> int:
        """UNECE code as the Int32 of EUInformation."""
        return int.from_bytes(self.unece.encode("ascii"), "big")


ONE = Unit("1", "C62", "one", 1)
PERCENT = Unit("%", "P1", "percent", 1)
PPM = Unit("ppm", "59", "part per million", 52)
VOLT = Unit("V", "VLT", "volt", 29)
VOLT_PER_SECOND = Unit("V/s", "H46", "volt per second")
AMPERE = Unit("A", "AMP", "ampere", 5)
AMPERE_HOUR = Unit("Ah", "AMH", "ampere hour")
WATT = Unit("W", "WTT", "watt", 38)
WATT_HOUR = Unit("Wh", "WHR", "watt hour", 72)
VOLT_AMPERE = Unit("VA", "D46", "volt ampere", 61)
VAR = Unit("var", "D44", "var", 63)
OHM = Unit("ohm", "OHM", "ohm", 30)
HERTZ = Unit("Hz", "HTZ", "hertz", 33)
DEGREE_CELSIUS = Unit("degC", "CEL", "degree Celsius", 23)
KELVIN = Unit("K", "KEL", "kelvin", 6)
KELVIN_PER_SECOND = Unit("K/s", "F12", "kelvin per second", 58)
SECOND = Unit("s", "SEC", "second", 4)
PASCAL = Unit("Pa", "PAL", "pascal", 39)
CUBIC_METRE_PER_SECOND = Unit("m3/s", "MQS", "cubic metre per second", 45)
