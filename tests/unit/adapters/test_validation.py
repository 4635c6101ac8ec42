"""Configuration errors as people read them."""

import pickle
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field

from adapters.errors import AdapterConfigurationError, AdapterError
from information_model.validation import InvalidConfiguration, Problem, examine, validate


class Rack(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    id: Annotated[str, Field(pattern=r"^R\d{3}$")]
    cells: Annotated[int, Field(ge=1)]


class Site(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    name: str
    racks: list[Rack]
    spare: Rack | None = None
    types: dict[Annotated[str, Field(pattern=r"^[a-z]+$")], Annotated[Rack, "by name"]] = {}


def test_every_mistake_is_one_line_with_key_given_expected_and_remedy() -> None:
    document = {
        "name": 7,
        "racks": [{"id": "R001", "cells": 1}, {"id": "x", "cels": 3, "cells": 1.5}],
        "spare": {"id": "R002", "cells": 0},
    }
    with pytest.raises(InvalidConfiguration) as caught:
        validate(Site, document, "site.toml", {"id": "Number the racks R001, R002, …"})
    assert str(caught.value).splitlines() == [
        "site.toml: name: given 7; expected text. Put the value in quotes.",
        r"site.toml: racks[2].id: given 'x'; expected text of the form ^R\d{3}$. Number the racks R001, R002, …",
        "site.toml: racks[2].cells: given 1.5; expected a whole number. Write a whole number without quotes.",
        "site.toml: racks[2].cels: given 3; expected one of id, cells. Did you mean cells?",
        "site.toml: spare.cells: given 0; expected a number of at least 1. Raise the value.",
    ]


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        validate(Site, {"name": "a", "racks": "x" * 10_000}, "site.toml")
    assert len(str(caught.value)) < 300


def test_errors_keep_their_rows_on_the_way_between_processes() -> None:
    error = AdapterConfigurationError("bus a", [Problem("k", "1", "2", "Change it.")])
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, AdapterError)
    assert isinstance(copy, InvalidConfiguration)
    assert copy.problems == error.problems
    assert str(copy) == "bus a: k: given 1; expected 2. Change it."


def test_a_table_with_a_name_of_its_own_is_told_with_the_keys_that_it_may_have() -> None:
    good = {"id": "R001", "cells": 1}
    with pytest.raises(InvalidConfiguration) as caught:
        validate(Site, {"name": "a", "racks": [], "types": {"a": good | {"celz": 1}, "B": good}}, "site.toml")
    assert str(caught.value).splitlines() == [
        "site.toml: types.a.celz: given 1; expected one of id, cells. Did you mean cells?",
        "site.toml: types.B: given 'B'; expected text of the form ^[a-z]+$. Correct the text.",
    ]


def test_what_is_usable_of_a_wrong_document_can_be_told() -> None:
    racks = [{"id": "R001", "cells": 0}, {"id": "R002", "cels": 1, "cells": 1}, {"id": "R003", "cells": 1, "zzz": 1}]
    found = examine(Site, {"name": "a", "racks": racks})
    assert found.model is None
    assert [found.concerns("racks", number) for number in range(3)] == [True, True, True]
    assert [found.spoils("racks", number) for number in range(3)] == [True, True, False], (
        "an unknown key spoils nothing"
    )
    assert not found.spoils("racks", 0, "id")
    assert found.spoils("racks", 1, "cells"), "this is what the unknown key was probably meant to be"
    assert not found.spoils("name")
    assert examine(Site, {"name": "a", "racks": []}).model == Site(name="a", racks=[])
