"""Finds an id within a name: a Redis key or a file name."""

from __future__ import annotations

import re
from typing import Final

from harness.errors import StackError
from harness.observers.identity import UUID_TEXT, identity

ID: Final = "{id}"

_SIDES: Final = (("(?s:.*?)", "(?s:.+)"), ("(?s:.*)", "(?s:.+?)"))
"""Patterns for ``*`` and for the id: first with the longest possible id, then with the shortest."""


class Pattern:
    """A name with ``*`` for any text, and at most one ``{id}`` for an id; everything else stands for itself."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names_id = ID in text
        self.open = "*" in text
        pieces = re.split(r"(\*|\{id\})", text)
        self._pieces = [piece for piece in pieces if piece]

    def glob(self, special: str, escape: str) -> str:
        """Return the pattern as a glob; ``escape``, with ``{}`` for the character, escapes each of ``special``."""
        return "".join(
            "*" if piece in {"*", ID} else "".join(escape.format(c) if c in special else c for c in piece)
            for piece in self._pieces
        )

    def fits(self, name: str) -> bool:
        """Whether a name matches the pattern."""
        return self._either(None)[0].fullmatch(name) is not None

    def id_in(self, name: str) -> str | None:
        """Return the id that a name holds, a UUID in canonical form; None if the name does not fit.

        Raises StackError if the id is ambiguous.
        """
        for inner in (f"(?i:{UUID_TEXT})", None):
            found = {match["id"] for one in self._either(inner) if (match := one.fullmatch(name)) is not None}
            if len(found) == 1:
                return identity(found.pop())
            if found:
                one, other = sorted(found)
                raise StackError(
                    f"the id in {name} may be {one} or {other} by the pattern {self.text}; part `{{id}}` from `*` by text "
                    "that neither holds, or read the id in the content: `id: /POINTER`"
                )
        return None

    def _either(self, inner: str | None) -> list[re.Pattern[str]]:
        return [
            re.compile(
                "".join(
                    star if piece == "*" else f"(?P<id>{inner or anything})" if piece == ID else re.escape(piece)
                    for piece in self._pieces
                )
            )
            for star, anything in _SIDES
        ]
