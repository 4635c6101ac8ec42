"""Which processes a site has, and what each of them is told."""

from dataclasses import replace
from pathlib import Path

from server.config.site import load_site
from server.runtime.serving import tell_serving
from server.supervisor.duties import StartOptions, command_line, duties_of, environment
from server.supervisor.ready import write_ready

EXAMPLES = Path(__file__).parents[3] / "examples"


def options(tmp_path: Path) -> StartOptions:
    return StartOptions(EXAMPLES / "demo.toml", tmp_path, tmp_path, opcua_port=0, opcua_host="127.0.0.1", simulate=True)


def test_the_demo_runs_plant_core_fields_face_archive_and_mirror(tmp_path) -> None:
    names = [duty.name for duty in duties_of(load_site(EXAMPLES / "demo.toml"), options(tmp_path))]
    assert {"core", "mirror", "plant", "opcua", "archive"} <= set(names)
    assert sum(name.startswith("field-") for name in names) >= 1


def test_faces_stop_first_and_what_keeps_the_log_last(tmp_path) -> None:
    turns = {duty.kind: duty.stop_turn for duty in duties_of(load_site(EXAMPLES / "demo.toml"), options(tmp_path))}
    assert turns["opcua"] < turns["core"] < turns["field"] < turns["mirror"]


def test_without_simulation_there_is_no_plant(tmp_path) -> None:
    site = load_site(EXAMPLES / "demo.toml")
    assert "plant" not in [duty.name for duty in duties_of(site, replace(options(tmp_path), simulate=False))]


def test_a_face_that_is_started_again_keeps_its_port(tmp_path) -> None:
    site = load_site(EXAMPLES / "demo.toml")
    face = next(duty for duty in duties_of(site, options(tmp_path)) if duty.face)
    line = command_line(face, options(tmp_path), 5)
    assert line[line.index("--port") + 1] == "0"
    tell_serving(tmp_path, "opcua", {"endpoint": "opc.tcp://127.0.0.1:41234", "port": 41234})
    line = command_line(face, options(tmp_path), 5)
    assert line[line.index("--port") + 1] == "41234"


def test_no_process_sees_the_password_of_the_demo(monkeypatch) -> None:
    monkeypatch.setenv("GRIDBMS_DEMO_PASSWORD", "not for children")
    assert "not for children" not in environment().values()


def test_ready_json_holds_endpoint_and_processes_and_appears_whole(tmp_path) -> None:
    tell_serving(tmp_path, "opcua", {"endpoint": "opc.tcp://127.0.0.1:41234", "port": 41234})
    content = write_ready(tmp_path, tmp_path, ["opcua"], {"core": 7})
    assert content["opcua"]["port"] == 41234
    assert content["pids"] == {"core": 7}
    assert not list(tmp_path.glob("*.part"))
