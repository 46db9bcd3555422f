"""Values that a file leaves to be written: each is a text that begins with ``TODO:`` and says what belongs there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from harness.files.document import Document, Field

_BEGINS: Final = "TODO: "


def todo(what: str, example: str) -> str:
    """Write a value that says ``what`` belongs in its place, with an example."""
    return f"{_BEGINS}{what}; for example {example}"


def is_todo(value: object) -> bool:
    """Whether a value is yet to be written."""
    return isinstance(value, str) and value.startswith(_BEGINS)


def todos(value: object, field: Field = ()) -> Iterator[tuple[Field, str]]:
    """Yield the field of each value that is yet to be written, and what it says."""
    if is_todo(value):
        yield field, str(value)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from todos(inner, (*field, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from todos(inner, (*field, place))


def without(document: Document, fields: Sequence[Field]) -> Document:
    """Return a document that lacks these fields, which are in its order."""
    value = deepcopy(document.value)
    # From the end, so that what is taken out of a list does not move what is still to be taken out.
    for field in reversed(fields):
        holder: Any = value
        for part in field[:-1]:
            holder = holder[part]
        del holder[field[-1]]
    return Document(value, document.places)
