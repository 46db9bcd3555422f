"""One spelling for ids: a store may keep a UUID in another form than the event that carries it."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

_UUID: Final = re.compile(r"(?:urn:uuid:)?\{?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\}?", re.IGNORECASE)


def identity(text: str) -> str:
    """``text``, or, if it is a UUID in any of its usual forms, its canonical one: lower case, with hyphens.

    Postgres gives a ``uuid`` back in lower case, other drivers without hyphens: the id is the same.
    """
    return str(UUID(text)) if _UUID.fullmatch(text) else text
