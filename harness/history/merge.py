"""Joins the parts that the processes of a load wrote to the run's history, each operation once."""

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
"""What says nothing of whether two records are the same: places, and an error, from which secrets were taken."""

Known = dict[tuple[str, str], bytes]
"""(operation, phase) -> a digest of what it said: a long load has very many."""


class Writer(Protocol):
    """Where records go."""

    def record_at(self, t: int, op: str, phase: str, actor: str, **fields: Any) -> int:  # noqa: ANN401 - JSON
        """Append one record at ``t`` (ns since the run's start) and give its index."""
        ...


class Joint:
    """Joins parts to one history. ``clock`` is the history's, and ``start`` its reading at the run's start.

    An operation goes by its id (upload, attempt, worker): one that is ``known`` already is left out, and FileError if it
    says something else. None: every part is another worker's and is read once, so nothing can be there.
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
        """Join one record of a part; False if it was there already."""
        fields = {name: value for name, value in record.items() if name not in _OWN}
        operation = record.get("operation")
        if record["op"] == "upload":
            if not isinstance(operation, str):
                raise FileError(f"record {record['i']}: an upload without an operation id", path=str(part.path))
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
        key, said = (operation, _step(record["phase"])), _digest(record)
        if key not in known:
            known[key] = said
            return False
        if known[key] != said:
            raise FileError(
                f"record {record['i']}: operation {operation} is in the history already, and says something else there; "
                f"two workers had one id, or a part was changed",
                path=str(part.path),
            )
        return True

    def _t(self, part: Part, reading: int) -> int:
        return max(0, part.clock.brought(reading, self._clock) - self._start)


def _digest(record: Mapping[str, Any]) -> bytes:
    fields = {name: value for name, value in record.items() if name not in _NOT_COMPARED}
    return hashlib.blake2b(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _step(phase: str) -> str:
    """An operation is begun once and ends once, however it ends."""
    return phase if phase == "invoke" else "end"


def merge(
    history: Path, parts: Sequence[Path], hide: Callable[[object], Any] = lambda value: value
) -> tuple[int, int]:
    """Join whole parts to a recorded history, in one piece; how many records were added, and how many were there.

    ``hide`` takes secrets out of errors. FileError if the run is still under way, or if a part is of another run, is
    damaged, or contradicts the history; the history is then as it was.
    """
    with _held(history):
        return _merge(_Lines(history, hide), parts)


@contextmanager
def _held(history: Path) -> Iterator[None]:
    """Nobody else writes it meanwhile: a recorder would go on in a file that was replaced, and all of that be lost."""
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
        raise FileError(f"is a part of run {part.run}, and this is run {run}; name its own", path=str(part.path))


class _Lines:
    """A recorded history, to which records are added before its end."""

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
            # The last line of a run that was killed may be torn; readers leave it out, too.
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
        told = {name: value for name, value in fields.items() if value is not None}
        if "error" in told:
            told["error"] = self._hide(told["error"])
        self._added.append(orjson.dumps({"i": self._index, "t": t, "actor": actor, "op": op, "phase": phase, **told}))
        return self._index

    def write(self) -> None:
        """The history with what was added; the end of the run stays its last line."""
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
