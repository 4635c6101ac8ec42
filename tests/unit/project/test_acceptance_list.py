"""The list of acceptance promises and the tests that cite its numbers agree."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROWS = {
    row[0]: row
    for line in (ROOT / "docs" / "acceptance.md").read_text().splitlines()
    if line.startswith("| F-")
    for row in [[cell.strip() for cell in line.strip("| ").split("|")]]
}
CITED = re.compile(r"\bF-(\d\d)\b|\btest_f(\d\d)_")


def test_every_number_that_a_test_cites_is_in_the_list_and_names_its_file() -> None:
    cited = {
        (f"F-{match[1] or match[2]}", path.relative_to(ROOT).as_posix())
        for path in (ROOT / "tests" / "interop").glob("*.py")
        for match in CITED.finditer(path.read_text())
    }
    assert len(cited) > 10
    assert [
        (number, name) for number, name in sorted(cited) if f"`{name}`" not in ROWS.get(number, ["", "", ""])[2]
    ] == []


def test_every_promise_is_shown_by_tests_that_exist() -> None:
    for number, row in ROWS.items():
        named = re.findall(r"`(tests/[^`]*)`", row[2])
        assert named, number
        assert [name for name in named if not (ROOT / name).is_file()] == []
