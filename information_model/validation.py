"""Configuration errors, all at once, each with key, value given, what is allowed and how to mend it.

`problems` translates what pydantic found into `Problem` rows; `InvalidConfiguration` carries any number of them and
prints one paragraph for each. Every reader of a TOML file uses these two, so that all configuration errors look alike.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Generic, TypeGuard, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]
"""Where a value stands in a document: keys, and numbers from 0 in lists."""

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
    """A file is wrong; `.problems` lists every mistake that was found in it, each once, in the order of the checks."""

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


def _key_text(location: Location) -> str:
    text = ""
    for part in location:
        if part == "[key]":  # pydantic's mark of a mistake in the name of a table, not in what the table holds
            continue
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(whole file)"


def _keys_at(model: type[BaseModel], location: Location) -> tuple[str, ...]:
    """Keys that the table at `location` may have, found by walking the models; empty when that cannot be told."""
    place: object = model
    for part in location:
        place = _inside(_plain(place), part)
    table = _plain(place)
    if not _is_model(table):
        return ()
    return tuple(field.alias or name for name, field in table.model_fields.items())


def _inside(annotation: object, part: int | str) -> object:
    """Annotation of the value that is called `part` in a value of this annotation; None when that cannot be told."""
    if _is_model(annotation):
        return next((f.annotation for n, f in annotation.model_fields.items() if part in (n, f.alias)), None)
    arguments = [argument for argument in get_args(annotation) if argument is not ...]
    return arguments[-1] if arguments else None


def _plain(annotation: object) -> object:
    """The annotation without what `Annotated` adds and without `| None`."""
    while get_origin(annotation) in (Annotated, UnionType, Union):
        annotation = get_args(annotation)[0]
    return annotation


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def closest(name: str, known: Iterable[str], otherwise: str) -> str:
    """The remedy for a name that does not exist: the known name that it resembles, or `otherwise`."""
    close = difflib.get_close_matches(name, tuple(known), 1)
    return f"Did you mean {close[0]}?" if close else otherwise


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
        location = item["loc"]
        context = _Blank(item.get("ctx", {}))
        kind = item["type"]
        name = next((str(part) for part in reversed(location) if isinstance(part, str)), "")
        if kind in ("value_error", "assertion_error"):
            expected, _, remedy = str(context.get("error", item["msg"])).partition(" | ")
            remedy = remedy or "Correct the value."
        else:
            expected, remedy = _RULES.get(kind, (item["msg"], "Correct the value."))
            expected = expected.format_map(context)
        if kind == "extra_forbidden" and model is not None and (known := _keys_at(model, location[:-1])):
            remedy = closest(name, known, remedy)
            expected = f"one of {', '.join(known)}"
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
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or str(error)
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


@dataclass(frozen=True)
class Findings(Generic[Model]):
    """What the validation of a document found.

    `model` is the document as a model, None where it has mistakes. `wrong` are the places of the mistakes; `spoilt` are
    the places that cannot be used because of them: not the unknown keys, but what those were probably meant to be.
    """

    model: Model | None
    problems: tuple[Problem, ...] = ()
    wrong: frozenset[Location] = frozenset()
    spoilt: frozenset[Location] = frozenset()

    def concerns(self, *location: int | str) -> bool:
        """True where a mistake stands at the location or within it."""
        return _any_within(self.wrong, location)

    def spoils(self, *location: int | str) -> bool:
        """True where the value at the location, or something within it, cannot be used."""
        return _any_within(self.spoilt, location)


def _any_within(places: Iterable[Location], location: Location) -> bool:
    return any(place[: len(location)] == location for place in places)


def examine(
    model: type[Model], document: Mapping[str, Any], remedies: Mapping[str, str] | None = None
) -> Findings[Model]:
    """`document` as a `model`, or every mistake that is in it. Parts without a mistake can still be used."""
    try:
        return Findings(model.model_validate(document))
    except ValidationError as error:
        wrong: set[Location] = set()
        spoilt: set[Location] = set()
        for item in error.errors(include_url=False):
            place = item["loc"]
            wrong.add(place)
            if item["type"] != "extra_forbidden":
                spoilt.add(place)
            else:
                meant = difflib.get_close_matches(str(place[-1]), _keys_at(model, place[:-1]), 1)
                spoilt |= {(*place[:-1], key) for key in meant}
        return Findings(None, tuple(problems(error, remedies, model)), frozenset(wrong), frozenset(spoilt))


def validate(
    model: type[Model], document: Mapping[str, Any], where: str, remedies: Mapping[str, str] | None = None
) -> Model:
    """`document` as a `model`; raises InvalidConfiguration with all mistakes at once."""
    findings = examine(model, document, remedies)
    if findings.model is None:
        raise InvalidConfiguration(where, findings.problems)
    return findings.model
