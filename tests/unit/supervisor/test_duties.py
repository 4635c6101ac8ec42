"""Which processes a site has, and what each of them is told."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import server
from server.config.site import load_site
from server.duties import KINDS, Duty, duties_of
from server.exit_codes import ExitCode
from server.processes import MAINS
from server.runtime.health import COUNTERS
from server.runtime.serving import tell_serving
from server.supervisor.command_line import StartOptions, command_line, environment

EXAMPLES = Path(__file__).parents[3] / "examples"


def options(tmp_path: Path) -> StartOptions:
    return StartOptions(EXAMPLES / "demo.toml", tmp_path, tmp_path, opcua_port=0, opcua_host="127.0.0.1", simulate=True)


def test_the_demo_runs_plant_core_fields_face_archive_and_mirror() -> None:
    names = [duty.name for duty in duties_of(load_site(EXAMPLES / "demo.toml"), simulated=True)]
    assert {"core", "mirror", "plant", "opcua", "archive"} <= set(names)
    assert sum(name.startswith("field-") for name in names) >= 1


def test_faces_stop_first_and_what_keeps_the_log_last() -> None:
    turns = {name: kind.stop_turn for name, kind in KINDS.items()}
    assert turns["opcua"] < turns["core"] < turns["field"] < turns["mirror"]


def test_every_kind_has_a_main_function_and_all_but_the_plant_have_counters() -> None:
    assert KINDS.keys() == MAINS.keys()
    assert COUNTERS.keys() == KINDS.keys() - {"plant"} | {"supervisor"}


def test_without_simulation_there_is_no_plant() -> None:
    site = load_site(EXAMPLES / "demo.toml")
    assert "plant" not in [duty.name for duty in duties_of(site, simulated=False)]


def test_a_face_that_is_started_again_keeps_its_port(tmp_path) -> None:
    site = load_site(EXAMPLES / "demo.toml")
    face = next(duty for duty in duties_of(site, simulated=True) if duty.kind.face)
    line = command_line(face, options(tmp_path), 5)
    assert line[line.index("--port") + 1] == "0"
    tell_serving(tmp_path, "opcua", {"endpoint": "opc.tcp://127.0.0.1:41234", "port": 41234})
    line = command_line(face, options(tmp_path), 5)
    assert line[line.index("--port") + 1] == "41234"


def test_a_file_called_server_where_the_program_was_started_is_not_taken_for_the_program(tmp_path) -> None:
    (tmp_path / "server.py").write_text("raise SystemExit(99)\n")
    reading, writing = os.pipe()
    told = replace(options(tmp_path), site_file=tmp_path / "nosuch.toml")
    done = subprocess.run(
        command_line(Duty("archive"), told, writing),
        cwd=tmp_path,
        pass_fds=(writing,),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    os.close(reading)
    os.close(writing)
    assert done.returncode == ExitCode.CONFIGURATION
    assert "nosuch.toml" in done.stderr


def test_the_processes_are_of_the_same_checkout_as_their_supervisor(tmp_path, monkeypatch) -> None:
    other = tmp_path / "other" / "server"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(other.parent))
    line = [sys.executable, "-P", "-c", "import server; print(server.__file__)"]
    found = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    assert found.stdout.strip() == server.__file__


def test_what_the_environment_already_says_of_modules_stays(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere:/else")
    assert environment()["PYTHONPATH"].endswith(":/somewhere:/else")
    monkeypatch.delenv("PYTHONPATH")
    assert "" not in environment()["PYTHONPATH"].split(os.pathsep), "an empty one is the present folder"


def test_no_process_sees_the_password_of_the_demo(monkeypatch) -> None:
    monkeypatch.setenv("GRIDBMS_DEMO_PASSWORD", "not for children")
    assert "not for children" not in environment().values()
