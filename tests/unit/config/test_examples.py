"""Example sites are found wherever the program is started, and one that is absent is said."""

from pathlib import Path

import pytest

from information_model.validation import InvalidConfiguration
from server.config.examples import demo_site, example

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("name", ["demo.toml", "tesla.toml", "large.toml"])
def test_an_example_of_the_checkout_is_found_from_another_folder(tmp_path, monkeypatch, name) -> None:
    monkeypatch.chdir(tmp_path)
    assert example(name) == EXAMPLES / name
    assert demo_site() == EXAMPLES / "demo.toml"


def test_one_that_is_absent_is_said_with_where_it_was_looked_for() -> None:
    with pytest.raises(InvalidConfiguration, match=r"'nosuch\.toml'; expected a file in .*/server/examples or"):
        example("nosuch.toml")
