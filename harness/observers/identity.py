"""One spelling for ids: a store may write a UUID in another form than the event that carries it."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

_UUID: Final = re.compile(r"(?:urn:uuid:)?\{?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\}?", re.IGNORECASE)


def identity(text: str) -> str:
    """Return ``text``; a UUID in any usual form becomes canonical: lower case, with hyphens.

    Postgres returns a ``uuid`` in lower case, some drivers return it without hyphens: it is the same id.
    """
    return str(UUID(text)) if _UUID.fullmatch(text) else text
