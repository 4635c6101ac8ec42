r"""Device map: how the messages of one kind of device become points. Format version 1.

A map is a TOML file; the layout of the messages stands in a CAN database (DBC) beside it. The map says what a DBC
cannot: which point a signal is, its element number, its unit and sign, what is invalid, how old it may become, how a
message is protected end to end, and what is sent to the device.

    version = 1
    name = "example-rack"
    kind = "can"
    dbc = "example.dbc"            # file beside the map
    node_offset = 16               # frame id on the bus = id in the DBC + node * node_offset

    [[matrix]]                     # one value per cell or probe
    point = "CellData.CellVoltages"     # group and name of the point on the rack
    count = 96                     # number of elements
    signal = 'CellVoltage_(\d+)'   # regular expression over signal names; its group is the number of the element
    first = 1                      # the number that means element 1
    unit = "V"
    range = [1.5, 4.5]             # outside: quality Range, no value
    invalid = [0x3FFF]             # raw patterns (unsigned, before sign and scale) that mean "not available"
    period = 3.3                   # s, after which every element has come once
    timeout = 10.0                 # s, after which a value is too old

    [[scalar]]                     # one value
    point = "Measurements.DcCurrent"
    signal = "PackCurrent"
    message = "PackStatus"         # needed only where the signal's name occurs in several messages
    unit = "A"
    sign = -1                      # positive is discharge; a device that counts the other way has -1
    period = 0.01
    timeout = 0.5

    [[scalar]]
    point = "Status.ContactorState"
    signal = "State"
    codes = { 0 = 1, 3 = 2 }       # raw code -> value; a code that is not listed is invalid
    period = 0.1
    timeout = 1.0

    [[check]]                      # protection of a message
    message = "PackStatus"
    crc = { poly = 0x1D, init = 0xFF, xorout = 0xFF, byte = 7, over = 7, data_id = 0x21 }
    counter = { signal = "Alive", modulo = 15 }
    liveness = true                # this counter is the device's sign of life (at most one per map)

    [[command]]                    # sent to the device, again and again
    message = "RackCommand"
    period = 0.1                   # s
    modulo = 15                    # of the frame counter; all codes of the signal where absent
    codes = { Desired = { 0 = 0, 1 = 2 } }
    crc = { poly = 0x1D, init = 0xFF, xorout = 0xFF, byte = 7, over = 7, data_id = 0x22 }
    safe = { zero_current = { ChargeLimit = 0, DischargeLimit = 0 }, open = { Desired = 0 } }

    [command.signals]              # or on one line: signals = { Desired = "desired", ... }
    Desired = "desired"
    ChargeLimit = "charge_limit_a"
    DischargeLimit = "discharge_limit_a"
    Alive = "alive"
    Reset = "reset_counter"
    Mode = 1

Rules:

- value = sign * (physical value of the DBC * scale + offset); `scale` and `offset` are 1 and 0 where absent. Where
  `codes` is given, the listed value takes the place of that formula.
- The first finding decides the quality: `invalid`, an unlisted code, `range`. A value that is not good is not a number.
- `invalid` has raw values no wider than the whole bytes of the signal, `codes` those that its bits can carry; `codes` of a
  command translate what is requested into what is sent. A point, the check of a message and a command stand there once.
- Slots: first all matrices, then all scalars, each in the order of the file; a matrix has `count` slots.
- `crc` is a CRC-8: over `data_id` (if given), the first `over` bytes without byte `byte` itself, and `zeros` zero
  bytes; compared with byte `byte` (from 0). `reflected` mirrors input and output.
- `counter` is a signal of the message or `start` and `length` (bits, little-endian as in a DBC). `modulo` is the
  number of codes it runs through. A frame whose counter repeats or goes back is withheld.
- A signal of a command is a request field, or a number that is always sent. `alive` is counted up by one with every
  frame sent. `safe` replaces signals: `zero_current` while no current may flow, both tables while the rack must open.
- Limits are sent rounded down to the resolution of the signal and confined to what it can carry.
"""

from information_model.device_map.loading import examine_device_map, load_device_map
from information_model.device_map.messages import Check, CommandMessage, Crc
from information_model.device_map.model import DeviceMap, SlotRange
from information_model.device_map.points import MappedPoint, MatrixPoint, ScalarPoint

__all__ = [
    "Check",
    "CommandMessage",
    "Crc",
    "DeviceMap",
    "MappedPoint",
    "MatrixPoint",
    "ScalarPoint",
    "SlotRange",
    "examine_device_map",
    "load_device_map",
]
