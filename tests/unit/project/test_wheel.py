"""What is installed is whole: example sites, device maps and schemas come along and are found from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A wheel of this checkout, laid down as an installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    built = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("gridbms-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "packages")
    return folder / "packages"


def python(cwd: Path, *arguments: str, packages: Path | None = None) -> str:
    """Standard output of Python in a folder, with our packages from `packages` in place of the checkout's."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if packages is not None:
        environment["PYTHONPATH"] = str(packages)
    found = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_a_wheel_has_what_the_program_reads(installed) -> None:
    examples = {path.name for path in (ROOT / "examples").glob("*.toml")}
    assert examples == {path.name for path in (installed / "server" / "examples").iterdir()}
    for folder in ("adapters/maps", "server/store/migrations"):
        beside = {path.name for path in (ROOT / folder).iterdir() if path.suffix in (".toml", ".dbc", ".sql")}
        assert beside
        assert beside <= {path.name for path in (installed / folder).iterdir()}


def test_a_wheel_brings_no_package_but_ours(installed) -> None:
    found = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert found == {"server", "information_model", "adapters", "estimators"}


def test_the_point_list_of_the_demonstration_plant_needs_no_site_file_and_no_checkout(installed, tmp_path) -> None:
    where = "from server.config.examples import demo_site; print(demo_site())"
    assert python(tmp_path, "-c", where, packages=installed) == f"{installed}/server/examples/demo.toml\n"
    listed = python(tmp_path, "-m", "server", "points", "--format", "csv", packages=installed)
    assert listed.startswith("node_id,level,path")
    assert "\nESS.ARR02.R003.Measurements.DcVoltage," in listed
    assert listed == python(tmp_path, "-m", "server", "points", "--format", "csv"), "the checkout has the same"


@pytest.mark.parametrize("name", ["demo", "tesla", "large"])
def test_every_example_is_good_where_it_is_installed(installed, tmp_path, name) -> None:
    site = installed / "server" / "examples" / f"{name}.toml"
    found = python(tmp_path, "-m", "server", "check", str(site), packages=installed)
    assert found.startswith(f"{site}: good\n")
    assert ("warning: bus capture has nothing to replay" in found) == (name == "tesla")
