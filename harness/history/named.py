"""What the keys of a run's messages name: its events, and what is left of a key without these names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.history.reader import History

ID: Final = "{id}"
"""Stands for one name in the pattern of a message."""

ONE: Final = r"[\w.~-]+"
"""The names that ``{id}`` can stand for, as a regular expression: without what separates the parts of a key, such as ``:``
and ``/``. Besides letters of other scripts, these are the characters that have no special meaning in a URL."""

_NAMES: Final = """
SELECT DISTINCT coalesce(upload_id, raw_file_storage_id, event_id) AS identity,
       unnest([event_id, upload_id, raw_file_storage_id]) AS name
FROM history WHERE op = 'event' AND event_id IS NOT NULL
"""


class Named:
    """Finds the names of a run's events, their uploads and their raw blobs in keys."""

    def __init__(self, history: History) -> None:
        self._of = {str(row["name"]): str(row["identity"]) for row in history.sql(_NAMES) if row["name"]}
        self._known = any_of(self._of)
        self._run = str(history.header["run"])

    def identity(self, key: str) -> str | None:
        """Return what tells the event that a key names from others; None if it names none."""
        found = self._known.search(key)
        return self._of[found[0]] if found is not None else None

    def general(self, text: str) -> str:
        """Return a text with ``*`` for each name, and for the run's own."""
        return self._known.sub("*", text).replace(self._run, "*")

    def whole(self, key: str) -> bool:
        """Whether ``{id}`` can stand for each name in a key."""
        return "*" not in key and all(re.fullmatch(ONE, name) for name in self._known.findall(key))

    def pattern(self, key: str) -> str:
        """Return the pattern of a key: with ``{id}`` for each name, or with ``*`` where that can stand for more."""
        return pattern(self.general(key), whole=self.whole(key))


def pattern(general: str, *, whole: bool) -> str:
    """Return the pattern of messages that are alike in ``general``."""
    return general.replace("*", ID) if whole else general


def any_of(names: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for any of the names, the longest first, and each only as a whole: 17 does not name 7."""
    every = "|".join(map(re.escape, sorted(names, key=len, reverse=True))) or r"(?!)"
    return re.compile(rf"(?<![^\W_])(?:{every})(?![^\W_])")
