"""What the models of the files have in common."""

from __future__ import annotations

import re
import shlex
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$"), Field(title="name")]
Pointer = Annotated[str, StringConstraints(pattern=r"^(/[^/]*)+$"), Field(title="JSON pointer")]

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_-]*(?::[a-z0-9_.-]+)?)\}")
"""``{redis}``, ``{redis:host}``, ``{port}``, ``{topic:essays}`` in a command or an environment value."""


def _words(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError:
        words = []
    if not words:
        raise ValueError("not a command; write a program and its arguments, and close every quote")
    return value


Command = Annotated[str, AfterValidator(_words)]


class Model(BaseModel):
    """A frozen model that refuses unknown fields; reference pages and schemas quote its fields' docstrings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Where(Model):
    """The place of an event's field that is not at a JSON pointer: a header, or the record's key."""

    header: str | None = None
    """The header that holds it, for example ``x-event-id``."""
    key: bool = False
    """``true`` if the record's key holds it."""

    @model_validator(mode="after")
    def _one(self) -> Where:
        if (self.header is None) != self.key:
            raise ValueError("write either {header: NAME} or {key: true}")
        return self


def _apart(pointers: list[str]) -> list[str]:
    if len(set(pointers)) < len(pointers):
        raise ValueError("the same pointer is there twice; each part of an id or a key is at another one")
    return pointers


def _one(pointers: object) -> object:
    return pointers[0] if isinstance(pointers, list) and len(pointers) == 1 else pointers


Pointers = Annotated[
    Pointer | Annotated[list[Pointer], Field(min_length=1), AfterValidator(_apart)], BeforeValidator(_one)
]
"""A pointer, or several whose values are one id or key together."""

By = Pointers | Where
"""Where a record holds an id or a key."""


def said(by: By) -> str:
    """Return where an id or a key is, as text for messages."""
    if isinstance(by, Where):
        return "the key" if by.key else f"the header {by.header}"
    return by if isinstance(by, str) else ", ".join(by)
