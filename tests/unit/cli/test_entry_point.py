"""The entry point: Ctrl-C while the program is still being loaded ends it without a word."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
INTERRUPTED = """
import importlib.abc, os, runpy, signal, sys
wanted = sys.argv.pop(1)
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
SCRIPT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["gridbms"]
WAYS = {
    "python -m server": "runpy.run_module('server', run_name='__main__', alter_sys=True)",
    "gridbms": "from {} import {}; sys.exit({}())".format(*SCRIPT.split(":"), SCRIPT.partition(":")[2]),
}


def ended(way: str, at: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", f"{INTERRUPTED}{WAYS[way]}", at, "--version"]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", ["server.duties", "typer", "server.cli.run"])
def test_ctrl_c_while_it_loads_ends_it_without_a_word(way, at) -> None:
    found = ended(way, at)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")


@pytest.mark.parametrize("way", WAYS)
def test_it_runs_where_nobody_interrupts_it(way) -> None:
    found = ended(way, "nosuchmodule")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("gridbms ")
