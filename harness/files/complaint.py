"""Puts pydantic's errors into one sentence: the first mistake, what is allowed, the nearest name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from harness.errors import nearest
from harness.redaction import anonymous

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from harness.files.document import Document, Field

_LONGEST = 60
"""Characters of a wrong value to quote."""

_SECRETIVE = frozenset({"env", "config", "command", "fields"})
"""Fields whose values are never quoted, as they may hold secrets."""


def complaint(error: ValidationError, model: type[BaseModel], document: Document) -> tuple[Field, str]:
    """Return (field, message) of the first mistake in the file; the message counts the others."""
    by_field: dict[Field, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_field.setdefault(_field(detail, document.value), []).append(detail)
    # For a value of several possible kinds, the error that got furthest into it helps most.
    furthest = {
        field: details
        for field, details in by_field.items()
        if not any(other != field and other[: len(field)] == field for other in by_field)
    }
    # A misspelt field is both unknown and, under its right name, missing: report it as unknown.
    first, details = min(
        furthest.items(), key=lambda item: (document.place(item[0]).line, item[1][0]["type"] == "missing")
    )
    said = " or ".join(dict.fromkeys(_said(detail, model, first) for detail in details))
    more = len(furthest) - 1
    return first, said + (f" (and {more} more)" if more else "")


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
            message = str(context["error"])
            return message.removeprefix(".".join(map(str, field)) + ": ") if field else message
        case "string_type":
            return f"{_shown(detail['input'], field)} is not text; put it in quotes"
    return f"{detail['msg'][0].lower()}{detail['msg'][1:]}, not {_shown(detail['input'], field)}"


def _words(pattern: str) -> str:
    if pattern.startswith("^[a-z]"):
        return "a name: small letters, digits, _ and -, beginning with a letter"
    return "a path: it begins with /" if "/" in pattern else pattern


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
