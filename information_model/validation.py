"""Configuration errors, all at once, each with key, value given, what is allowed and how to mend it.

`problems` translates what pydantic found into `Problem` rows; `InvalidConfiguration` carries any number of them and
prints one paragraph for each. Every reader of a TOML file uses these two, so that all configuration errors look alike.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)

_LONGEST_VALUE = 80
_LARGEST_FILE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands, what stands there, what may stand there, what to do."""

    key: str
    given: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: given {self.given}; expected {self.expected}. {self.remedy}"


class InvalidConfiguration(ValueError):  # noqa: N818 - reads as the sentence "raise InvalidConfiguration"
    """A file is wrong; `.problems` lists every mistake that was found in it, in the order of the file."""

    def __init__(self, where: str, problems: Iterable[Problem]) -> None:
        self.where = where
        self.problems: tuple[Problem, ...] = tuple(dict.fromkeys(problems))  # a row for many racks errs but once
        super().__init__("\n".join(f"{where}: {problem}" for problem in self.problems))

    def __reduce__(self) -> tuple[type["InvalidConfiguration"], tuple[str, tuple[Problem, ...]]]:
        return type(self), (self.where, self.problems)


def shown(value: object) -> str:
    """A value as it is quoted in a message: never longer than a line."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


# pydantic's error type -> (what is expected, what to do); braces are filled from the error's own context.
_RULES: Mapping[str, tuple[str, str]] = {
    "missing": ("a value", "Add the key."),
    "extra_forbidden": ("no such key", "Remove it or correct its spelling."),
    "greater_than": ("a number above {gt}", "Raise the value."),
    "greater_than_equal": ("a number of at least {ge}", "Raise the value."),
    "less_than": ("a number below {lt}", "Lower the value."),
    "less_than_equal": ("a number of at most {le}", "Lower the value."),
    "string_pattern_mismatch": ("text of the form {pattern}", "Correct the text."),
    "string_too_short": ("text of at least {min_length} characters", "Complete the text."),
    "string_too_long": ("text of at most {max_length} characters", "Shorten the text."),
    "string_type": ("text", "Put the value in quotes."),
    "int_type": ("a whole number", "Write a whole number without quotes."),
    "int_from_float": ("a whole number", "Write it without a fraction."),
    "float_type": ("a number", "Write a number without quotes."),
    "finite_number": ("a finite number", "Write a number that is neither nan nor inf."),
    "bool_type": ("true or false", "Write true or false without quotes."),
    "literal_error": ("{expected}", "Use one of these."),
    "enum": ("{expected}", "Use one of these."),
    "list_type": ("a list", "Put the values in square brackets."),
    "tuple_type": ("a list", "Put the values in square brackets."),
    "dict_type": ("a table", "Write a table: { key = value }."),
    "model_type": ("a table", "Write a table: { key = value }."),
    "too_short": ("at least {min_length} entries", "Add the missing entries."),
    "too_long": ("at most {max_length} entries", "Remove entries."),
}


class _Blank(dict[str, Any]):
    """A missing piece of context becomes an ellipsis instead of an error about the error."""

    def __missing__(self, key: str) -> str:
        return "…"


def _key_text(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(whole file)"


def _known_keys(model: type[BaseModel] | None, location: tuple[int | str, ...]) -> tuple[str, ...]:
    """Keys that the table at `location` has, found by walking the models; empty when that cannot be told."""
    for part in location:
        if model is None:
            return ()
        if isinstance(part, int):
            continue
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        model = _inner_model(field.annotation) if field is not None else None
    return tuple(f.alias or n for n, f in model.model_fields.items()) if model is not None else ()


def _inner_model(annotation: object) -> type[BaseModel] | None:
    """The model inside `tuple[M, ...]`, `list[M]`, `M | None` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := _inner_model(inner)) is not None:
            return found
    return None


def problems(
    error: ValidationError,
    remedies: Mapping[str, str] | None = None,
    model: type[BaseModel] | None = None,
) -> list[Problem]:
    """Every mistake that pydantic found, as rows.

    `remedies` maps the last name of a key to a better remedy than the general one; `model` (the one that was
    validated) lets the row of an unknown key name the keys that exist. Elements of lists count from 1 in the texts.
    """
    rows = []
    for item in error.errors(include_url=False):
        location = tuple(item["loc"])
        context = _Blank(item.get("ctx", {}))
        kind = item["type"]
        name = next((str(part) for part in reversed(location) if isinstance(part, str)), "")
        if kind in ("value_error", "assertion_error"):
            expected, _, remedy = str(context.get("error", item["msg"])).partition(" | ")
            remedy = remedy or "Correct the value."
        else:
            expected, remedy = _RULES.get(kind, (item["msg"], "Correct the value."))
            expected = expected.format_map(context)
        if kind == "extra_forbidden":
            known = _known_keys(model, location[:-1])
            close = difflib.get_close_matches(name, known, 1)
            remedy = f"Did you mean {close[0]}?" if close else remedy
            expected = f"one of {', '.join(known)}" if known else expected
        remedy = (remedies or {}).get(name, remedy)
        given = "nothing" if kind == "missing" else shown(item["input"])
        rows.append(Problem(_key_text(location), given, expected, remedy))
    return rows


def read_toml(path: Path) -> dict[str, Any]:
    """The document in `path`.

    Raises InvalidConfiguration when the file is absent, unreadable, too large, not UTF-8 or not TOML.
    """
    where = str(path)
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidConfiguration(
            where, [Problem("(file)", reason, "a readable file", "Check the path and its permissions.")]
        ) from error
    if len(content) > _LARGEST_FILE:
        limit = f"at most {_LARGEST_FILE} bytes"
        raise InvalidConfiguration(where, [Problem("(file)", "more", limit, "Is this the right file?")])
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidConfiguration(
            where, [Problem("(file)", f"byte {error.start} is not UTF-8", "UTF-8 text", "Save it as UTF-8.")]
        ) from error
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, endless nesting
        raise InvalidConfiguration(
            where, [Problem("(file)", str(error), "TOML 1.0", "Correct the syntax at this place.")]
        ) from error


def validate(
    model: type[Model], document: Mapping[str, Any], where: str, remedies: Mapping[str, str] | None = None
) -> Model:
    """`document` as a `model`; raises InvalidConfiguration with all mistakes at once."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InvalidConfiguration(where, problems(error, remedies, model)) from error
