"""Says in one sentence what pydantic found: the first thing wrong, what is allowed, the nearest name."""

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
"""Characters of a wrong value that are repeated."""

_SECRETIVE = frozenset({"env", "config", "command", "fields"})
"""Fields of which no value is repeated: it may hold a secret."""


def complaint(error: ValidationError, model: type[BaseModel], document: Document) -> tuple[Field, str]:
    """(field, message) of the first thing wrong in the file's order; the message says how many more there are."""
    by_field: dict[Field, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_field.setdefault(_field(detail, document.value), []).append(detail)
    # Where a value may be of several kinds, the complaint that got furthest into it is the one that helps.
    furthest = {
        field: details
        for field, details in by_field.items()
        if not any(other != field and other[: len(field)] == field for other in by_field)
    }
    # A misspelt field is there and, by its right name, missing: what is there says more.
    first, details = min(
        furthest.items(), key=lambda item: (document.place(item[0]).line, item[1][0]["type"] == "missing")
    )
    said = " or ".join(dict.fromkeys(_said(detail, model, first) for detail in details))
    more = len(furthest) - 1
    return first, said + (f" (and {more} more)" if more else "")


def _field(detail: ErrorDetails, value: Any) -> Field:  # noqa: ANN401 - any document
    """Where in the document: pydantic's place without the names of the kinds it tried."""
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
    """The field that a complaint of the whole file begins with: ``services.essay_lifecycle: …``."""
    field: list[str | int] = []
    for name in message.partition(":")[0].split("."):
        if not isinstance(value, Mapping) or name not in value:
            return ()
        value = value[name]
        field.append(name)
    return tuple(field)


def _said(detail: ErrorDetails, model: type[BaseModel], field: Field) -> str:  # noqa: PLR0911 - one for each kind
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            name, known = str(field[-1]), sorted(_names(model, field[:-1]))
            return f"no such field; known are {', '.join(known)}{nearest(name, known)}"
        case "literal_error":
            expected = str(context["expected"])
            known = re.findall(r"'([^']*)'", expected)
            return f"{_shown(detail['input'], field)} is not known; write {expected}{nearest(detail['input'], known)}"
        case "string_pattern_mismatch":
            return f"{_shown(detail['input'], field)} does not look like {_words(str(context['pattern']))}"
        case "value_error":
            message = str(context["error"])
            return message.removeprefix(".".join(map(str, field)) + ": ") if field else message
        case "string_type":
            return f"{_shown(detail['input'], field)} is no text; put it in quotes"
    return f"{detail['msg'][0].lower()}{detail['msg'][1:]}, not {_shown(detail['input'], field)}"


def _words(pattern: str) -> str:
    if pattern.startswith("^[a-z]"):
        return "a name: small letters, digits, _ and -, beginning with a letter"
    return "a path: it begins with /" if "/" in pattern else pattern


def _shown(value: object, field: Field) -> str:
    if not _SECRETIVE.isdisjoint(field):
        return "what stands there"
    text = anonymous(repr(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _names(model: type[BaseModel], holder: Field) -> Iterator[str]:
    """Names of the fields that whatever stands at ``holder`` may have."""
    kinds: list[Any] = [model]
    for part in holder:
        kinds = [below for kind in kinds for below in _below(kind, part)]
    for kind in _plain(kinds):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, info in kind.model_fields.items():
                yield info.alias or name


def _below(kind: Any, part: str | int) -> Iterator[Any]:  # noqa: ANN401 - any annotation
    for one in _plain([kind]):
        if isinstance(one, type) and issubclass(one, BaseModel):
            yield from (info.annotation for name, info in one.model_fields.items() if part in {name, info.alias})
        elif get_origin(one) in {dict, list, Mapping, Sequence}:
            yield get_args(one)[-1]


def _plain(kinds: Sequence[Any]) -> Iterator[Any]:
    """Annotations without ``Annotated``, unions taken apart."""
    for kind in kinds:
        if get_origin(kind) is Annotated:
            yield from _plain(get_args(kind)[:1])
        elif get_origin(kind) in {Union, UnionType}:
            yield from _plain(get_args(kind))
        else:
            yield kind
