"""The table of exit codes is the one that users read."""

import re
from pathlib import Path

from server.exit_codes import ExitCode

FORMATS = Path(__file__).parents[3] / "docs" / "formats.md"


def test_the_documentation_lists_every_exit_code_and_no_other() -> None:
    section = FORMATS.read_text().partition("## Exit codes\n")[2].partition("\n## ")[0]
    listed = {name: int(code) for code, name in re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", section, re.MULTILINE)}
    assert listed == {code.name: code.value for code in ExitCode}
