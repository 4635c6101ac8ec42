"""Files that people wrote for older releases are read by this program: site file, device map, users."""

import os
import shutil
from pathlib import Path

from information_model.roles import Origin, Role
from server.cli.check import checked_site
from server.users import UserDirectory, check_password
from tests.data.formats import make

SAMPLES = Path(__file__).parents[2] / "data" / "formats"


def test_a_site_file_of_version_1_is_read() -> None:
    site = checked_site(SAMPLES / "site-file-1.toml")
    assert site.id == "FROZEN01"
    assert [(rack.element, rack.bus, rack.node) for rack in site.racks] == [
        ("ESS.ARR01.R001", "east-1", 1),
        ("ESS.ARR01.R002", "east-1", 2),
        ("ESS.ARR01.R005", "east-1", 5),
        ("ESS.ARR01.R007", "capture", 3),
    ]
    assert [(plan.process, plan.buses) for plan in site.inputs] == [("field2", ("east-1",)), ("field1", ("capture",))]
    constants = site.catalogue.constants
    assert constants["ESS", "Identification.CommissioningDate"] == 1_780_185_600_000_000_000
    assert constants["ESS.ARR01.R002", "Identification.SerialNumber"] == "SN-01-002"
    assert constants["ESS.ARR01.R001", "Identification.Model"] == "Small"
    assert site.value("ESS.ARR01.R001", "rack.rated_capacity_ah") == 100.0
    assert site.value("ESS.ARR01.R001", "rack.max_voltage_v") == 8 * 3.6
    file = site.file
    assert file.thresholds == {"rack": {"CellOverVoltageWarning": 3.55}}
    assert (file.core.period_s, file.core.lease_s, file.core.break_current_share) == (0.2, 2.0, 0.05)
    assert (file.opcua.host, file.opcua.port, file.opcua.host_names) == ("127.0.0.1", 4841, ["plant.example"])
    assert (file.opcua.max_sessions, file.opcua.max_monitored_items_per_session) == (7, 1000)
    assert (file.archive.enabled, file.archive.chunk_s, file.archive.max_size_gb) == (False, 600, 2.5)
    assert file.buses["capture"].options == {"file": "{site}/capture.log", "speed": 2.0, "loop": True}


def test_a_device_map_of_version_1_is_read() -> None:
    device = checked_site(SAMPLES / "site-file-1.toml").racks[0].map
    assert [tuple(row) for row in device.slots()] == [
        ("CellData.CellVoltages", 0, 8, 1.0, 3.0),
        ("Measurements.DcCurrent", 8, 1, 0.1, 1.0),
        ("Contactors.Positive.Position", 9, 1, 0.1, 1.0),
    ]
    (cells,), (current, position) = device.matrix, device.scalar
    assert (cells.first, cells.scale, cells.offset, tuple(cells.invalid)) == (0, 2.0, 0.5, (0xFFFF,))
    assert (current.message, current.sign, current.unit) == ("Status", -1, "A")
    assert position.codes == {"0": 1.0, "0x3": 2.0}
    assert [(check.message, check.crc is not None, check.liveness) for check in device.check] == [
        ("Status", True, True),
        ("Cells1", False, False),
    ]
    (command,) = device.command
    assert (command.modulo, command.signals["Mode"], command.signals["Counter"]) == (15, 1, "alive")


def test_users_of_version_1_are_read_and_get_in(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "users-1.toml", tmp_path / "users.toml")
    os.chmod(tmp_path / "users.toml", 0o600)
    users = UserDirectory(tmp_path)
    assert [(user.name, user.roles, user.origin, user.certificates) for user in users.list()] == [
        ("Zoë", {Role.OPERATOR, Role.ENGINEER}, Origin.STATION, {"AB" * 20}),
        ("observer", {Role.OBSERVER}, Origin.REMOTE, set()),
    ]
    assert check_password(users.find("Zoë"), make.PASSWORD)
    assert not check_password(users.find("observer"), make.PASSWORD + "!")
