"""Writes the history: one line per record, as it happens, so that a killed harness still leaves a readable run."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import orjson

from harness.errors import FileError, OneffectError
from harness.history.records import COLUMNS, FORMAT, PHASES

FLUSH_EVERY: Final = 0.05
"""Seconds. The promise is 100 ms, but a busy machine wakes a thread late."""

_KNOWN: Final = frozenset((op, phase) for op, phases in PHASES.items() for phase in phases)
_OWN: Final = frozenset({"i", "t", "op", "phase", "actor"})
_FIELDS: Final = frozenset(COLUMNS) - _OWN
_SAID: Final = frozenset({"error", "evidence"})
_HEADER: Final = frozenset({"plan", "plan_digest", "seed", "versions", "started", "run"})


class Operation(Protocol):
    """An operation under way; end it once, by one of the three methods."""

    index: int
    """The invoke's ``i``."""

    def ok(self, **fields: object) -> None:
        """Record that it was done."""

    def fail(self, **fields: object) -> None:
        """Record that it was refused: nothing was done."""

    def unknown(self, **fields: object) -> None:
        """Record that nobody knows whether it was done."""


class Scope(Protocol):
    """The context of an operation; leaving it without an answer records ``unknown``."""

    def __enter__(self) -> Operation: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Recorder(Protocol):
    """The writing side of a history."""

    def now(self) -> int:
        """Nanoseconds since the run's start, monotonic."""

    def record(self, op: str, phase: str, actor: str, **fields: object) -> int:
        """Append one record, without fields that are None; return its index."""

    def operation(self, op: str, actor: str, **fields: object) -> Scope:
        """Record the invoke; a completion names it in ``of`` and repeats its fields unless it gives new ones."""


class HistoryRecorder:
    """Appends to a new file, from any thread. ``clock`` returns monotonic nanoseconds.

    The file stays locked until ``close``, so that nobody changes it meanwhile. ``header`` needs plan, plan_digest,
    seed, versions, started and run, and may have more; ``t0``, the clock's reading at the start, is added. ``hide``
    removes secrets from errors and evidence. FileError if the file exists or cannot be written, OneffectError for a
    record that the format does not have.
    """

    def __init__(
        self,
        path: Path,
        header: Mapping[str, object],
        *,
        clock: Callable[[], int],
        hide: Callable[[object], Any] = lambda value: value,
    ) -> None:
        if missing := sorted(_HEADER - header.keys()):
            raise OneffectError(
                f"history header: {', '.join(missing)} missing; a header needs {', '.join(sorted(_HEADER))}"
            )
        self._path = path
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise FileError(f"cannot be made: {error.strerror}; name a new file", path=str(path)) from error
        with suppress(OSError):  # a file system without locks
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._clock = clock
        self._hide = hide
        self._start = clock()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._lines: list[bytes] = [_slow_line({"oneffect_history": FORMAT, **header, "t0": self._start})]
        self._index = 0
        self._broken: OSError | None = None
        self._closed = threading.Event()
        self._flush()
        self._flusher = threading.Thread(target=self._keep_flushing, name="history", daemon=True)
        self._flusher.start()

    def now(self) -> int:
        """Nanoseconds since the run's start, monotonic."""
        return self._clock() - self._start

    def record(self, op: str, phase: str, actor: str, **fields: Any) -> int:  # noqa: ANN401 - any JSON value
        """Append one record, without fields that are None; return its index."""
        return self._append(None, op, phase, actor, fields)

    def record_at(self, t: int, op: str, phase: str, actor: str, **fields: Any) -> int:  # noqa: ANN401 - the same
        """Append a record that another process made at ``t`` (ns since the run's start), in order of arrival."""
        return self._append(t, op, phase, actor, fields)

    def since_start(self, reading: int) -> int:
        """Convert a reading of the clock, by this or another process that shares it, to ns since the run's start."""
        return reading - self._start

    def _append(self, t: int | None, op: str, phase: str, actor: str, fields: dict[str, Any]) -> int:
        if (op, phase) not in _KNOWN or not fields.keys() <= _FIELDS:
            raise _refusal(op, phase, fields)
        if None in fields.values():
            fields = {name: value for name, value in fields.items() if value is not None}
        for name in _SAID & fields.keys():
            fields[name] = self._hide(fields[name])
        with self._lock:
            # Within the lock, so that the order of the lines is the order of i and of t.
            index = self._index + 1
            t = self._clock() - self._start if t is None else t
            record = {"i": index, "t": t, "actor": actor, "op": op, "phase": phase, **fields}
            try:
                line = orjson.dumps(record)
            except TypeError:
                line = _slow_line(record)
            if self._broken is not None or self._closed.is_set():
                raise self._unwritable()
            self._index = index
            self._lines.append(line)
        return index

    def operation(self, op: str, actor: str, **fields: object) -> Scope:
        """Record the invoke; a completion names it in ``of`` and repeats its fields unless it gives new ones."""
        return RecordedOperation(self, op, actor, fields)

    def flush(self) -> None:
        """Write what was recorded so far."""
        self._flush()

    def close(self) -> None:
        """Write what is left and sync it to disk; a second call does nothing. FileError if it cannot be written."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
        self._flusher.join()
        self._flush()
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._broken = self._broken or error
        self._file.close()
        if self._broken is not None:
            raise self._unwritable()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep_flushing(self) -> None:
        while not self._closed.wait(FLUSH_EVERY):
            self._flush()

    def _flush(self) -> None:
        with self._writing:
            with self._lock:
                lines, self._lines = self._lines, []
            if not lines or self._broken is not None:
                return
            lines.append(b"")
            rest = memoryview(b"\n".join(lines))
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError as error:
                self._broken = error

    def _unwritable(self) -> OneffectError:
        if self._broken is None:
            return OneffectError(f"{self._path}: closed; nothing can be recorded after the run's end")
        return FileError(
            f"cannot be written: {self._broken.strerror}; the run ends here, its history up to this point can be read",
            path=str(self._path),
        )


class RecordedOperation:
    """An operation under way, for any recorder."""

    __slots__ = ("_actor", "_fields", "_op", "_open", "_recorder", "index")

    def __init__(self, recorder: Recorder, op: str, actor: str, fields: dict[str, object]) -> None:
        self._recorder, self._op, self._actor, self._fields = recorder, op, actor, fields
        self._open = True
        self.index = 0

    def __enter__(self) -> Self:
        self.index = self._recorder.record(self._op, "invoke", self._actor, **self._fields)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            why = f"{kind.__name__}: {error}" if kind is not None else "left without an answer"
            self.unknown(error=why)

    def ok(self, **fields: object) -> None:
        self._end("ok", fields)

    def fail(self, **fields: object) -> None:
        self._end("fail", fields)

    def unknown(self, **fields: object) -> None:
        self._end("unknown", fields)

    def _end(self, phase: str, fields: dict[str, object]) -> None:
        if not self._open:
            raise OneffectError(f"{self._op} {self.index}: has ended already; an operation has one answer")
        self._recorder.record(self._op, phase, self._actor, **{**self._fields, **fields, "of": self.index})
        self._open = False


def _slow_line(record: Mapping[str, object]) -> bytes:
    """Serialize a record that may have numeric keys, as in {partition: offset}: they are rare, and slow to look for."""
    try:
        return orjson.dumps(record, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        what = f"history: {record.get('op', 'header')} {record.get('phase', '')}".rstrip()
        names = ", ".join(name for name, value in record.items() if not _writable(value))
        raise OneffectError(f"{what}: {names} cannot be written as JSON: {error}") from error


def _writable(value: object) -> bool:
    try:
        orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return False
    return True


def _refusal(op: str, phase: str, fields: Mapping[str, object]) -> OneffectError:
    if op not in PHASES:
        return OneffectError(f"history: no op {op!r}; known are {', '.join(PHASES)}")
    if phase not in PHASES[op]:
        return OneffectError(f"history: {op} has no phase {phase!r}; known are {', '.join(PHASES[op])}")
    unknown = ", ".join(sorted(fields.keys() - _FIELDS))
    return OneffectError(f"history: {op} {phase}: no field {unknown}; records.py lists what a record may carry")
