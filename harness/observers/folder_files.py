"""Effects that are files in a folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from harness.errors import StackError
from harness.exact_json import loads, text
from harness.model import said
from harness.observers.id_in_name import Pattern
from harness.observers.located import named_at
from harness.pointer import pick

if TYPE_CHECKING:
    from harness.effects import Files as Described
    from harness.observers.sources import Row, Take


class FolderFiles:
    """Reads every file in a folder whose name matches the pattern."""

    def __init__(self, described: Described, folder: Path) -> None:
        self._described, self._folder, self._pattern = described, folder, Pattern(described.names)

    async def each(self, take: Take, *, everything: bool) -> None:
        """Pass the files to ``take``; ``everything`` reads twice and compares, as reading a folder is not atomic."""
        rows = await asyncio.to_thread(self._rows)
        if everything and rows != await asyncio.to_thread(self._rows):
            raise StackError(f"files: {self._folder.name} changed while it was read")
        take(rows)

    async def close(self) -> None:
        """Do nothing: nothing stays open."""

    def _rows(self) -> list[Row]:
        try:
            return [self._row(name) for name in sorted(self._names())]
        except (OSError, StackError) as error:
            raise StackError(f"files: {error}") from error

    def _names(self) -> Iterator[str]:
        """Yield matching paths relative to the folder. An unreadable folder is an error here; a glob would skip it."""
        deep = self._pattern.text.count("/")
        for at, folders, files in os.walk(self._folder, onerror=_raised, followlinks=True):
            below = Path(at).relative_to(self._folder).parts
            if len(below) == deep:
                folders.clear()
                names = ("/".join([*below, file]) for file in files if Path(at, file).is_file())
                yield from (name for name in names if self._pattern.fits(name) and not self._hidden(name))

    def _hidden(self, name: str) -> bool:
        """Whether a part of a name begins with a dot where the pattern has none, as with many unfinished files."""
        parts = zip(name.split("/"), self._pattern.text.split("/"), strict=True)
        return any(part.startswith(".") and not meant.startswith(".") for part, meant in parts)

    def _row(self, name: str) -> Row:
        described, document = self._described, None
        if described.id is not None or described.carries is not None:
            try:
                document = loads((self._folder / name).read_bytes())
            except ValueError as error:
                raise StackError(
                    f"{_plain(name)} is not JSON ({error}); write a file under a name that is not in `names`, then rename it"
                ) from error
        named = named_at(described.id, document) if described.id is not None else self._pattern.id_in(name)
        if text(named) is None:
            where = said(described.id) if described.id is not None else self._pattern.text
            raise StackError(f"{_plain(name)} has nothing at {where}")
        carries = described.carries
        return {
            "id": named if isinstance(named, list) else text(named),
            # If the name varies only by the id, the id is the effect's name.
            "effect": _plain(name) if self._pattern.open or not self._pattern.names_id else named,
            "carries": text(pick(document, carries)) if carries is not None else None,
        }


def _plain(name: str) -> str:
    """Return a name as text; bytes that are not UTF-8 become distinct escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _raised(error: OSError) -> NoReturn:
    raise error
