"""The texts of the project are of one style, and speak of the project alone."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).relative_to(ROOT)
FOLDERS = ("server", "information_model", "adapters", "estimators", "tests", "docs", "examples", "certs")
KINDS = {".py", ".md", ".toml", ".mjs", ".dbc", ".sql"}
ELSEWHERE = re.compile(r"(?<![\w.}])/(?:work|home|root|Users)/|DESIGN\.md|\b[Ii]ssue #?\d")
"""Places of somebody's machine, and papers that a reader does not have."""


def texts() -> dict[Path, str]:
    """Contents of all files of the project that people read, by their path below its folder."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "node_modules" not in path.parts]
    found = {path.relative_to(ROOT): path for path in [*files, *ROOT.glob("*.md"), ROOT / "pyproject.toml"]}
    return {name: path.read_text() for name, path in found.items() if path.suffix in KINDS and name != HERE}


def test_no_text_speaks_of_a_machine_or_a_paper_that_its_reader_does_not_have() -> None:
    found = texts()
    assert len(found) > 300
    assert {str(name): match[0] for name, text in found.items() if (match := ELSEWHERE.search(text))} == {}


def test_code_in_docstrings_and_comments_stands_between_single_backticks() -> None:
    assert [str(name) for name, text in texts().items() if name.suffix == ".py" and "``" in text] == []
