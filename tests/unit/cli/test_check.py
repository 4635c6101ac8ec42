"""What `gridbms check` says of a site file without mistakes."""

from pathlib import Path

from server.cli.check import checked_site, report
from server.field.buses import absent_captures

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_a_capture_that_is_absent_is_no_mistake_and_check_warns_of_it(tmp_path: Path) -> None:
    text = (EXAMPLES / "tesla.toml").read_text()
    path = tmp_path / "site" / "site.toml"
    path.parent.mkdir()
    path.write_text(text)
    site = checked_site(path)
    capture = path.parent / "../tests/data/can/tesla_model_s_excerpt.csv.gz"
    assert absent_captures(site) == {"capture": capture}
    assert f"warning: bus capture has nothing to replay, its racks stay bad: there is no file {capture}" in report(site)
    capture.resolve().parent.mkdir(parents=True)
    capture.resolve().touch()
    assert "warning" not in report(site)
