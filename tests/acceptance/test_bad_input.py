"""Wrong files, folders and ports: a clear message, the right exit code, nothing started."""

import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from server.config.site import load_site
from tests.image_probe import ImageProbe
from tests.program import ROOT, Program

DEMO = ROOT / "examples" / "demo.toml"
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


def gridbms(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


def test_all_mistakes_of_a_site_file_come_at_once_and_nothing_starts(tmp_path) -> None:
    wrong = DEMO.read_text().replace('chemistry = "LFP"', 'chemistry = "lead"').replace("port = 4840", 'port = "x"')
    (tmp_path / "site.toml").write_text(wrong)
    for command in (("check", tmp_path / "site.toml"), ("run", tmp_path / "site.toml", "--data", tmp_path / "data")):
        found = gridbms(*command)
        assert found.returncode == 2
        assert "rack_types.lfp-280.chemistry" in found.stderr
        assert "opcua.port" in found.stderr
        assert "Traceback" not in found.stderr
    assert not (tmp_path / "data").exists()


def test_a_map_that_names_a_signal_that_does_not_exist(tmp_path) -> None:
    maps = ROOT / "adapters" / "maps"
    (tmp_path / "gridbms_rack.dbc").write_text((maps / "gridbms_rack.dbc").read_text())
    text = (maps / "gridbms_rack.toml").read_text()
    (tmp_path / "gridbms_rack.toml").write_text(text.replace('signal = "DcVoltage"', 'signal = "NoSuchSignal"'))
    (tmp_path / "site.toml").write_text(DEMO.read_text())
    found = gridbms("check", tmp_path / "site.toml")
    assert found.returncode == 2
    assert "NoSuchSignal" in found.stderr


def test_mistakes_of_buses_and_plant_come_at_once(tmp_path) -> None:
    text = DEMO.read_text().replace('channel = "{run}/plant/array1.sock", wait_s', "wait_sx")
    text = text.replace(
        'interface = "gridbms-plant", channel = "{run}/plant/array2.sock"', 'interface = "nosuchdriver"'
    )
    text = text.replace("[simulator]", '[simulator]\nfaults = "nosuch.toml"')
    (tmp_path / "site.toml").write_text(text)
    found = gridbms("run", tmp_path / "site.toml", "--data", tmp_path / "data")
    assert found.returncode == 2
    for said in ("buses.array1.options.channel", "wait_sx", "nosuchdriver", "nosuch.toml"):
        assert said in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "data").exists()


def test_a_dbc_that_does_not_parse(tmp_path) -> None:
    maps = ROOT / "adapters" / "maps"
    (tmp_path / "gridbms_rack.dbc").write_text("BO_ nonsense")
    (tmp_path / "gridbms_rack.toml").write_text((maps / "gridbms_rack.toml").read_text())
    (tmp_path / "site.toml").write_text(DEMO.read_text())
    found = gridbms("check", tmp_path / "site.toml")
    assert found.returncode == 2
    assert "gridbms_rack.dbc" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_file_that_is_not_there() -> None:
    found = gridbms("check", "no-such-file.toml")
    assert found.returncode == 2
    assert "no-such-file.toml" in found.stderr


def test_the_point_list_of_every_example() -> None:
    for name in ("demo", "tesla"):
        found = gridbms("points", ROOT / "examples" / f"{name}.toml", "--format", "csv")
        assert found.returncode == 0
        assert found.stdout.startswith("node_id,level,path")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere: the refusal cannot be shown as root")
def test_a_data_directory_that_cannot_be_written(tmp_path) -> None:
    tmp_path.chmod(0o500)
    found = gridbms("run", DEMO, "--data", tmp_path / "data")
    assert found.returncode == 3
    assert f"{tmp_path}/data" in found.stderr


def test_a_data_path_that_is_a_file(tmp_path) -> None:
    (tmp_path / "data").write_text("")
    found = gridbms("run", DEMO, "--data", tmp_path / "data")
    assert found.returncode == 3
    assert "data" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_port_that_is_taken_is_said_and_tried_again(tmp_path) -> None:
    program = Program(DEMO, tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = ["--opcua-port", str(port), "--opcua-host", "127.0.0.1"]
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "server",
                "run",
                str(DEMO),
                "--data",
                str(program.data),
                "--run",
                str(program.run),
                *options,
            ],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert any(str(port) in line and "ERROR" in line for line in process.stderr), "nothing was said of the port"
        probe = ImageProbe(load_site(DEMO), program.run)
        cycle = probe("ESS.Server.CycleCount")[0]
        assert probe.wait(lambda p: p("ESS.Server.CycleCount")[0] > cycle + 10), "the rest does not run"
    # The port is free now: the face gets it without anybody's help.
    assert probe.wait(lambda p: (program.data / "ready.json").exists(), 30)
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    process.terminate()
    process.stderr.close()
    assert process.wait(20) == 0
    program.kill()


def test_a_damaged_archive_is_kept_aside_and_a_new_one_begun(tmp_path) -> None:
    program = Program(DEMO, tmp_path)
    (program.data / "archive.db").write_bytes(b"this is no database" * 1000)
    program.start()
    assert program.stop() == 0
    assert len(list(program.data.glob("archive.db.damaged-*"))) == 1
    assert "damaged" in program.log.read_text()


@pytest.mark.parametrize("name", ["state.bin", "state.bin.old"])
def test_a_damaged_state_never_keeps_the_program_from_starting(tmp_path, name) -> None:
    program = Program(DEMO, tmp_path)
    (program.data / name).write_bytes(b"\x00" * 100)
    program.start()
    assert program.stop() == 0


def test_a_bus_that_is_absent_turns_its_racks_bad_and_leaves_the_rest_running(tmp_path) -> None:
    present = '{ interface = "gridbms-plant", channel = "{run}/plant/array2.sock", wait_s = 5.0 }'
    assert present in DEMO.read_text()
    site = tmp_path / "site.toml"
    site.write_text(DEMO.read_text().replace(present, '{ interface = "socketcan", channel = "vcan99" }'))
    folder = tmp_path / "program"
    folder.mkdir()
    program = Program(site, folder)
    program.start()
    try:
        probe = ImageProbe(load_site(site), program.run)
        assert probe.wait(lambda p: p("ESS.ARR01.R001.Measurements.DcVoltage")[1] == 0, 20)
        cycle = probe("ESS.Server.CycleCount")[0]
        assert probe.wait(lambda p: p("ESS.Server.CycleCount")[0] > cycle + 20)
        for rack in ("ESS.ARR02.R001", "ESS.ARR02.R003"):
            value, severity = probe(f"{rack}.Measurements.DcVoltage")
            assert math.isnan(value)
            assert severity == 2
        assert probe("ESS.ARR01.R001.Measurements.DcVoltage")[1] == 0
        assert program.stop() == 0
    finally:
        program.kill()
    assert "bus array2: cannot open" in program.log.read_text()


def test_the_password_of_the_demo_is_shown_even_when_nothing_serves_afterwards(tmp_path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    line = [sys.executable, "-u", "-m", "server", "demo", "--data", str(tmp_path / "data"), "--opcua-port", "0"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline().startswith("users     observer, operator, engineer, admin")
        password = program.stdout.readline().split()[-1]
        assert len(password) >= 12
        program.send_signal(signal.SIGINT)
        rest = program.stdout.read()
    assert program.returncode == 0
    assert password not in rest


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("replay", "nosuch.csv", "--map", "tesla_model_s.toml"), 3, "nosuch.csv"),
        (("replay", "README.md", "--map", "tesla_model_s.toml"), 3, "README.md"),
        (("users", "list", "--data", "{tmp}/nowhere"), 2, "nowhere"),
        (("users", "list", "--data", "{tmp}/file"), 2, "file"),
        (("certs", "list", "--data", "{tmp}/file"), 3, "file"),
        (("demo", "--data", "{tmp}/file"), 3, "file"),
        (("demo", "--data", "{tmp}/wide"), 3, "wide"),
        (("simulate", "examples/demo.toml", "--data", "{tmp}/wide"), 3, "wide"),
        (("run", "examples/demo.toml", "--data", "{tmp}/users"), 3, "users.toml"),
    ],
)
def test_what_a_command_cannot_mend_is_one_clear_line(tmp_path, arguments, code, said) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "wide").mkdir()
    (tmp_path / "wide").chmod(0o777)
    (tmp_path / "users").mkdir(mode=0o700)
    (tmp_path / "users" / "users.toml").write_text("version = 99\n")
    (tmp_path / "users" / "users.toml").chmod(0o600)
    before = set(Path("/dev/shm").glob("gridbms-*"))
    found = gridbms(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert found.returncode == code
    assert set(Path("/dev/shm").glob("gridbms-*")) <= before, "something stayed on tmpfs"
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_a_user_can_be_added_before_the_first_start(tmp_path) -> None:
    data = tmp_path / "data"
    added = gridbms("users", "add", "anna", "--role", "Operator", "--data", data, input="a long password\n")
    assert added.returncode == 0, added.stderr
    assert gridbms("users", "list", "--data", data).stdout == "anna\tOperator\tremote\n"
