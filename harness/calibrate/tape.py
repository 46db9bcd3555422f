"""A history in memory: the records of a run so far, followed by reads of the altered system."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import orjson

from harness.history.recorder import RecordedOperation, Scope

Record = Mapping[str, Any]

_SAID: Final = frozenset({"error", "evidence"})


class Tape:
    """Existing records, and a recorder that appends to them in memory.

    ``now`` gives ns since the run's start; ``hide`` removes secrets from errors and evidence.
    """

    def __init__(
        self,
        header: Record,
        records: Sequence[Record],
        now: Callable[[], int],
        hide: Callable[[object], Any] = lambda value: value,
    ) -> None:
        self._header, self.records, self._now, self._hide = header, list(records), now, hide

    @classmethod
    def of(cls, path: Path, now: Callable[[], int], hide: Callable[[object], Any]) -> Self:
        """Continue a history whose last line is complete."""
        header, *records = (orjson.loads(line) for line in path.read_bytes().splitlines())
        return cls(header, records, now, hide)

    def now(self) -> int:
        """Nanoseconds since the run's start."""
        return self._now()

    def record(self, op: str, phase: str, actor: str, **fields: Any) -> int:  # noqa: ANN401 - any JSON value
        """Append one record, without fields that are None; return its index."""
        index = (self.records[-1]["i"] if self.records else 0) + 1
        given = {name: value for name, value in fields.items() if value is not None}
        given |= {name: self._hide(given[name]) for name in _SAID & given.keys()}
        self.records.append({"i": index, "t": self._now(), "actor": actor, "op": op, "phase": phase, **given})
        return index

    def operation(self, op: str, actor: str, **fields: object) -> Scope:
        """Record the invoke, and the completion when the scope ends."""
        return RecordedOperation(self, op, actor, fields)

    def without(self, gone: Callable[[Record], bool]) -> Tape:
        """Return a copy without the records that ``gone`` picks; later records go to the copy alone."""
        return Tape(self._header, [one for one in self.records if not gone(one)], self._now, self._hide)

    def last(self, what: str) -> list[Record]:
        """Return what the last final pass of an observer read."""
        passes = [one["i"] for one in self.records if _begins(one) and one["what"] == what and one.get("final")]
        return [one for one in self.records if passes and one.get("read") == passes[-1]]

    def write(self, path: Path) -> Path:
        """Write it as the history of a run that ended here, numbered anew; return the path."""
        numbers = {one["i"]: number for number, one in enumerate(self.records, 1)}
        numbered = [
            {name: numbers.get(value, 0) if name in {"i", "of", "read"} else value for name, value in one.items()}
            for one in self.records
        ]
        last = {"i": len(numbered) + 1, "t": self._now(), "actor": "run", "op": "run", "phase": "finished"}
        path.parent.mkdir(parents=True, exist_ok=True)
        option = orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
        path.write_bytes(b"".join(orjson.dumps(one, option=option) for one in (self._header, *numbered, last)))
        return path


def _begins(record: Record) -> bool:
    return (record["op"], record["phase"]) == ("read", "invoke")
