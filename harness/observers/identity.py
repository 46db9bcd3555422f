"""One spelling for ids: a store may write a UUID in another form than the event that carries it."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

UUID_TEXT: Final = r"(?:urn:uuid:)?\{?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\}?"
"""A UUID in any usual form, in either case."""

_UUID: Final = re.compile(UUID_TEXT, re.IGNORECASE | re.ASCII)


def identity(text: str) -> str:
    """Return ``text``; a UUID in any usual form becomes canonical: lower case, with hyphens.

    Postgres returns a ``uuid`` in lower case, some drivers return it without hyphens: it is the same id.
    """
    # In capitals, ``UUID`` does not know the prefix ``urn:uuid:``.
    return str(UUID(text.lower())) if _UUID.fullmatch(text) else text
