"""Wrong files, folders and ports: a clear message, the right exit code, nothing started."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert "cannot start" in found.stderr


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
        seen = ""
        for line in process.stderr:
            seen += line
            if str(port) in line and "ERROR" in line:
                break
        assert str(port) in seen
        process.terminate()
        process.stderr.close()
        process.wait(20)


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


def test_a_bus_that_is_absent_leaves_the_rest_running(tmp_path) -> None:
    text = DEMO.read_text().replace("{run}/plant/array2.sock", "{run}/plant/absent.sock")
    site = tmp_path / "site.toml"
    site.write_text(text)
    folder = tmp_path / "program"
    folder.mkdir()
    program = Program(Path(site), folder)
    program.start()
    assert program.stop() == 0
