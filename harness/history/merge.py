"""Merges the parts that a load's processes wrote into the run's history, each operation once."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson

from harness.errors import FileError
from harness.history.part import Clock, Part

_OWN = frozenset({"i", "t", "of", "op", "phase", "actor", "intended"})
_NOT_COMPARED = frozenset({*_OWN, "placed", "error"})
"""Fields that cannot tell two records apart: positions, and errors, whose secrets were removed."""

Known = dict[tuple[str, str], bytes]
"""(operation, phase) -> a digest of its record, because a long load has very many."""


class Writer(Protocol):
    """What ``Joint`` appends records to."""

    def record_at(self, t: int, op: str, phase: str, actor: str, **fields: Any) -> int:  # noqa: ANN401 - JSON
        """Append one record at ``t`` (ns since the run's start); return its index."""


class Joint:
    """Joins parts to one history. ``start`` is the reading of the history's ``clock`` at the run's start.

    An operation's identity is its id (upload, attempt, worker). An operation in ``known`` is left out; FileError if the
    part's record of it differs. ``known`` is None if each part belongs to a worker of its own and is read only once.
    """

    def __init__(
        self,
        writer: Writer,
        clock: Clock,
        start: int,
        known: Known | None = None,
        invokes: dict[str, int] | None = None,
    ) -> None:
        self._writer, self._clock, self._start = writer, clock, start
        self._known = known
        self._invokes: dict[str, int] = {} if invokes is None else invokes

    def add(self, part: Part, record: Mapping[str, Any]) -> bool:
        """Join one record of a part; False if the history has it already."""
        fields = {name: value for name, value in record.items() if name not in _OWN}
        operation = record.get("operation")
        if record["op"] == "upload":
            if not isinstance(operation, str):
                raise FileError(f"record {record['i']}: an upload has no operation id", path=str(part.path))
            if self._known is not None and self._is_there(self._known, operation, part, record):
                return False
        if not part.clock.same(self._clock):
            fields["placed"] = True
        of = self._invokes.pop(str(operation), None) if "of" in record else None
        intended = self._t(part, record["intended"]) if "intended" in record else None
        index = self._writer.record_at(
            self._t(part, record["t"]),
            record["op"],
            record["phase"],
            record["actor"],
            **fields,
            of=of,
            intended=intended,
        )
        if record["phase"] == "invoke":
            self._invokes[str(operation)] = index
        return True

    @staticmethod
    def _is_there(known: Known, operation: str, part: Part, record: Mapping[str, Any]) -> bool:
        key, digest = (operation, _step(record["phase"])), _digest(record)
        if key not in known:
            known[key] = digest
            return False
        if known[key] != digest:
            raise FileError(
                f"record {record['i']}: operation {operation} is in the history already, with other content; "
                f"two workers shared an id, or a part was changed",
                path=str(part.path),
            )
        return True

    def _t(self, part: Part, reading: int) -> int:
        return max(0, part.clock.brought(reading, self._clock) - self._start)


def _digest(record: Mapping[str, Any]) -> bytes:
    fields = {name: value for name, value in record.items() if name not in _NOT_COMPARED}
    return hashlib.blake2b(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _step(phase: str) -> str:
    """Map every way to end to one step: an operation begins once and ends once."""
    return phase if phase == "invoke" else "end"


def merge(
    history: Path, parts: Sequence[Path], hide: Callable[[object], Any] = lambda value: value
) -> tuple[int, int]:
    """Merge parts into a history atomically; return how many upload records were added, and how many were known.

    ``hide`` removes secrets from errors. FileError, with the history unchanged, if the run is still under way, or if a
    part belongs to another run, is damaged or contradicts the history.
    """
    with _held(history):
        return _merge(_Lines(history, hide), parts)


@contextmanager
def _held(history: Path) -> Iterator[None]:
    """Lock the history: a recorder would keep writing to the replaced file, and its records would be lost."""
    try:
        file = history.open("rb")
    except OSError as error:
        raise FileError(
            f"cannot be read: {error.strerror}; name a run of `oneffect load`", path=str(history)
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = "its run is still under way, or parts are being merged into it; merge when that is over"
            raise FileError(message, path=str(history)) from None
        except OSError:
            pass  # a file system without locks
        yield


def _merge(lines: _Lines, parts: Sequence[Path]) -> tuple[int, int]:
    joint = Joint(lines, lines.clock, lines.start, lines.known, lines.invokes)
    added = there = 0
    for path in parts:
        part = Part(path)
        for record in part.take():
            if record["op"] == "upload" and joint.add(part, record):
                added += 1
            else:
                there += record["op"] == "upload"
        _refuse_stranger(part, lines.run)
        if part.worker not in lines.ended:
            if part.ended:
                lines.record_at(lines.last, "load", "ended", "merge", worker=part.worker)
                lines.ended.add(part.worker)
            elif part.worker not in lines.begun:
                lines.record_at(lines.last, "load", "began", "merge", worker=part.worker)
                lines.begun.add(part.worker)
    lines.write()
    return added, there


def _refuse_stranger(part: Part, run: str) -> None:
    if not part.begun:
        raise FileError("is empty: its worker was killed before it began", path=str(part.path))
    if part.run != run:
        raise FileError(
            f"is a part of run {part.run}, but this is run {run}; name the part's own run", path=str(part.path)
        )


class _Lines:
    """A recorded history, which takes more records before its end."""

    def __init__(self, path: Path, hide: Callable[[object], Any]) -> None:
        self._path, self._hide = path, hide
        self._added: list[bytes] = []
        self.known: Known = {}
        self.invokes: dict[str, int] = {}
        self.begun: set[str] = set()
        self.ended: set[str] = set()
        self._index = self.last = 0
        self._end: dict[str, Any] | None = None
        try:
            # A killed run may leave a torn last line, which readers skip too.
            whole, newline, _ = path.read_bytes().rpartition(b"\n")
            self._whole = whole + newline
            first, *rest = whole.splitlines()
            header = orjson.loads(first)
            self.run, self.start, self.clock = str(header["run"]), int(header["t0"]), Clock.of(header["clock"])
            for line in rest:
                self._note(orjson.loads(line))
        except (OSError, ValueError, KeyError) as error:
            message = f"no parts can be merged into it: {error!r}; name a run of `oneffect load`"
            raise FileError(message, path=str(path)) from error

    def _note(self, record: dict[str, Any]) -> None:
        self._index, self.last = record["i"], max(self.last, record["t"])
        self._end = record if (record["op"], record["phase"]) == ("run", "finished") else None
        if isinstance(operation := record.get("operation"), str):
            if record["phase"] == "invoke":
                self.invokes[operation] = record["i"]
            self.known[operation, _step(record["phase"])] = _digest(record)
        if record["op"] == "load" and record["phase"] in {"began", "ended"}:
            (self.ended if record["phase"] == "ended" else self.begun).add(str(record["worker"]))

    def record_at(self, t: int, op: str, phase: str, actor: str, **fields: Any) -> int:  # noqa: ANN401 - JSON
        self._index += 1
        present = {name: value for name, value in fields.items() if value is not None}
        if "error" in present:
            present["error"] = self._hide(present["error"])
        self._added.append(
            orjson.dumps({"i": self._index, "t": t, "actor": actor, "op": op, "phase": phase, **present})
        )
        return self._index

    def write(self) -> None:
        """Rewrite the history with the added records; the end of the run stays its last line."""
        if not self._added:
            return
        if self._end is not None:
            self.record_at(self.last, "run", "finished", str(self._end["actor"]))
        partial = self._path.with_name(f".{self._path.name}")
        try:
            with partial.open("wb") as file:
                file.write(self._whole)
                file.writelines(line + b"\n" for line in self._added)
            partial.replace(self._path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise FileError(f"cannot be written: {error.strerror}", path=str(self._path)) from error
