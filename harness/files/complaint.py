"""Puts pydantic's errors into sentences: each mistake, what is allowed, the nearest name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from harness.errors import nearest
from harness.files.document import Document, Field
from harness.redaction import anonymous
from harness.system import SeveralError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_LONGEST = 60
"""Characters of a wrong value to quote."""

_SECRETIVE = frozenset({"env", "config", "command", "fields"})
"""Fields whose values are never quoted, as they may hold secrets."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a file; ``unknown`` if it is a field that the model does not have, ``missing`` if one is not there.

    ``joint`` if values, each right by itself, do not fit together.
    """

    field: Field
    said: str
    unknown: bool = False
    missing: bool = False
    joint: bool = False


def mistakes(error: ValidationError, model: type[BaseModel], document: Document) -> list[Mistake]:
    """Return every mistake in the file, in the file's order."""
    errors = error.errors(include_url=False)
    if not errors[0]["loc"] and isinstance(several := errors[0].get("ctx", {}).get("error"), SeveralError):
        fields = [_named(message, document.value) for message in several.messages]
        found = [
            Mistake(field, _without(field, said), joint=True)
            for field, said in zip(fields, several.messages, strict=True)
        ]
        return sorted(found, key=lambda mistake: document.place(mistake.field).line)
    by_field: dict[Field, list[ErrorDetails]] = {}
    for detail in errors:
        by_field.setdefault(_field(detail, document.value), []).append(detail)
    # For a value of several possible kinds, the error that got furthest into it helps most.
    furthest = {
        field: details
        for field, details in by_field.items()
        if not any(other != field and other[: len(field)] == field for other in by_field)
    }
    # A misspelt field is both unknown and, under its right name, missing: report it as unknown.
    in_order = sorted(
        furthest.items(), key=lambda item: (document.place(item[0]).line, item[1][0]["type"] == "missing")
    )
    return [
        Mistake(
            field,
            " or ".join(dict.fromkeys(_said(detail, model, field) for detail in details)),
            unknown=details[0]["type"] == "extra_forbidden",
            missing=details[0]["type"] == "missing",
        )
        for field, details in in_order
        if not _misspelt(field, furthest)
    ]


def _misspelt(field: Field, among: Mapping[Field, list[ErrorDetails]]) -> bool:
    """Whether a missing field is there under a name that is nearly its own."""
    if not field or among[field][0]["type"] != "missing":
        return False
    beside = [
        other
        for other, details in among.items()
        if other and other[:-1] == field[:-1] and details[0]["type"] != "missing"
    ]
    unknown = [str(other[-1]) for other in beside if among[other][0]["type"] == "extra_forbidden"]
    return any(nearest(name, [str(field[-1])]) for name in unknown)


def _field(detail: ErrorDetails, value: Any) -> Field:  # noqa: ANN401 - any document
    """Locate an error in the document: pydantic's location without the names of the kinds it tried."""
    field: list[str | int] = []
    for part in detail["loc"]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            if detail["type"] != "missing" or part != detail["loc"][-1]:
                continue
        field.append(part)
    if not field and detail["type"] == "value_error":
        return _named(str(detail["ctx"]["error"]), value)
    return tuple(field)


def _named(message: str, value: object) -> Field:
    """Return the field that an error of the whole file begins with: ``services.essay_lifecycle: …``."""
    field: list[str | int] = []
    for name in message.partition(":")[0].split("."):
        if not isinstance(value, Mapping) or name not in value:
            return ()
        value = value[name]
        field.append(name)
    return tuple(field)


def _said(detail: ErrorDetails, model: type[BaseModel], field: Field) -> str:  # noqa: PLR0911 - one for each type
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            name, allowed = str(field[-1]), sorted(_names(model, field[:-1]))
            return f"no such field{nearest(name, allowed)}; known: {', '.join(allowed)}"
        case "literal_error":
            expected = str(context["expected"])
            allowed = re.findall(r"'([^']*)'", expected)
            return f"{_shown(detail['input'], field)} is not allowed{nearest(detail['input'], allowed)}; write {expected}"
        case "string_pattern_mismatch":
            return f"{_shown(detail['input'], field)} does not look like {_words(str(context['pattern']))}"
        case "value_error":
            return _without(field, str(context["error"]))
        case "string_type":
            return f"{_shown(detail['input'], field)} is not text; put it in quotes"
    return f"{detail['msg'][0].lower()}{detail['msg'][1:]}, not {_shown(detail['input'], field)}"


def _without(field: Field, message: str) -> str:
    """Return a message without the field that it begins with."""
    return message.removeprefix(".".join(map(str, field)) + ": ") if field else message


def _words(pattern: str) -> str:
    if pattern.startswith("^[a-z]"):
        return "a name: small letters, digits, _ and -, beginning with a letter"
    if "https?://" in pattern:
        return "a URL: it begins with http:// or https://"
    return "a path: it begins with /" if pattern.startswith(("^/", "^(/")) else pattern


def _shown(value: object, field: Field) -> str:
    if not _SECRETIVE.isdisjoint(field):
        return "the value"
    text = anonymous(repr(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _names(model: type[BaseModel], holder: Field) -> Iterator[str]:
    """Names of the fields allowed at ``holder``."""
    kinds: list[Any] = [model]
    for part in holder:
        kinds = [below for kind in kinds for below in _below(kind, part)]
    for kind in _plain(kinds):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, info in kind.model_fields.items():
                yield info.alias or name


def _below(kind: Any, part: str | int) -> Iterator[Any]:  # noqa: ANN401 - any annotation
    for plain in _plain([kind]):
        if isinstance(plain, type) and issubclass(plain, BaseModel):
            yield from (info.annotation for name, info in plain.model_fields.items() if part in {name, info.alias})
        elif get_origin(plain) in {dict, list, Mapping, Sequence}:
            yield get_args(plain)[-1]


def _plain(kinds: Sequence[Any]) -> Iterator[Any]:
    """Strip ``Annotated`` from annotations, and split unions."""
    for kind in kinds:
        if get_origin(kind) is Annotated:
            yield from _plain(get_args(kind)[:1])
        elif get_origin(kind) in {Union, UnionType}:
            yield from _plain(get_args(kind))
        else:
            yield kind
