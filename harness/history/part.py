"""A part of a history: one load process's own record of what it did, to be merged into the run's history.

JSON Lines. The header names the run and the worker, and relates the worker's clock to wall time. Records have the
history's format, but their ``t`` and ``intended`` are readings of that machine's monotonic clock. The last line of a
whole part marks its end and counts the records before it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from harness.errors import FileError, OneffectError
from harness.history.recorder import RecordedOperation, Scope
from harness.history.records import COLUMNS, PHASES

FORMAT: Final = 1

PATTERN: Final = "part-*.jsonl"
"""Glob of part files."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A machine's monotonic clock, at ``monotonic`` ns when wall time was ``wall`` ns; one ``boot``, one clock."""

    boot: str
    monotonic: int
    wall: int

    @classmethod
    def now(cls) -> Clock:
        """Read this machine's clock."""
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            boot = ""
        return cls(boot, time.monotonic_ns(), time.time_ns())

    @classmethod
    def of(cls, document: object) -> Clock:
        """Make the clock from a header's document; a missing one is the same as no other clock."""
        fields = document if isinstance(document, Mapping) else {}
        return cls(str(fields.get("boot", "")), int(fields.get("monotonic", 0)), int(fields.get("wall", 0)))

    def document(self) -> dict[str, object]:
        """Return the clock as a header holds it."""
        return {"boot": self.boot, "monotonic": self.monotonic, "wall": self.wall}

    def same(self, other: Clock) -> bool:
        """Whether both are one clock, so that their readings compare."""
        return self.boot == other.boot != ""

    def brought(self, reading: int, other: Clock) -> int:
        """Convert a reading of this clock to one of ``other``'s, through wall time if they are not the same."""
        if self.same(other):
            return reading
        return reading - self.monotonic + self.wall - other.wall + other.monotonic


class PartRecorder:
    """Writes one worker's part to a new file in ``folder``; a ``harness.history.recorder.Recorder``.

    Each call hands its record to the kernel before it returns, so that a request is on record before it is sent,
    however the process then ends. FileError if the file cannot be written.
    """

    def __init__(self, folder: Path, *, run: str, worker: str) -> None:
        self.worker = worker
        self.path = folder / f"part-{worker}.jsonl"
        self._count = 0
        self._ended = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise FileError(f"cannot be made: {error.strerror}; name a folder", path=str(self.path)) from error
        self._write(
            {
                "oneffect_part": FORMAT,
                "run": run,
                "worker": worker,
                "pid": os.getpid(),
                "clock": Clock.now().document(),
            }
        )

    def now(self) -> int:
        """A reading of the monotonic clock, ns."""
        return time.monotonic_ns()

    def record(self, op: str, phase: str, actor: str, **fields: object) -> int:
        """Append one record, without fields that are None; return its index in the part."""
        if phase not in PHASES.get(op, ()) or not fields.keys() <= COLUMNS.keys():
            raise OneffectError(
                f"part of a history: {op} {phase} {sorted(fields)}: records.py lists what a record may carry"
            )
        self._count += 1
        present = {name: value for name, value in fields.items() if value is not None}
        head = {"i": self._count, "t": self.now(), "actor": actor, "op": op, "phase": phase}
        self._write({**head, **present, "worker": fields.get("worker") or self.worker})
        return self._count

    def operation(self, op: str, actor: str, **fields: object) -> Scope:
        """Record the invoke; a completion names it in ``of`` and repeats its fields unless it gives new ones."""
        return RecordedOperation(self, op, actor, fields)

    def end(self) -> None:
        """Mark the part as whole; a second call does nothing."""
        if self._ended:
            return
        self._ended = True
        self._write({"oneffect_part_end": self._count, "t": self.now()})
        os.close(self._file)

    def _write(self, line: Mapping[str, object]) -> None:
        rest = orjson.dumps(line) + b"\n"
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise FileError(f"cannot be written: {error.strerror}", path=str(self.path)) from error


class Part:
    """Reads a part while it is written, or afterwards. ``take`` yields the records that came since the last call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run = ""
        self.worker = ""
        self.clock = Clock("", 0, 0)
        self.pid = 0
        self.ended = False
        """Whether its last line marked it as whole."""
        self._begun = False
        self._at = 0
        self._line = 0
        self._count = 0

    @property
    def begun(self) -> bool:
        """Whether its header has been read."""
        return self._begun

    def take(self) -> Iterator[Mapping[str, Any]]:
        """Yield new records from whole lines; a partial line waits for the next call. FileError if damaged."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                new = file.read()
        except OSError as error:
            raise FileError(f"cannot be read: {error.strerror}", path=str(self.path)) from error
        whole, _, _ = new.rpartition(b"\n")
        if not whole:
            return
        self._at += len(whole) + 1
        for text in whole.split(b"\n"):
            self._line += 1
            record = self._read(text)
            if record is not None:
                yield record

    def _read(self, text: bytes) -> Mapping[str, Any] | None:
        try:
            line = orjson.loads(text)
        except orjson.JSONDecodeError:
            line = None
        if not isinstance(line, dict):
            raise self._damage("is not a record")
        if not self._begun:
            self._open(line)
            return None
        if self.ended:
            raise self._damage("stands after the end of the part")
        if "oneffect_part_end" in line:
            if line["oneffect_part_end"] != self._count:
                raise self._damage(f"counts {line['oneffect_part_end']} records, but there are {self._count}")
            self.ended = True
            return None
        self._count += 1
        if line.get("i") != self._count or line.get("phase") not in PHASES.get(str(line.get("op")), ()):
            raise self._damage(f"is not record {self._count} of the part")
        return line

    def _open(self, line: Mapping[str, Any]) -> None:
        if line.get("oneffect_part") != FORMAT:
            raise FileError("is not a part of a history: its first line does not say so", path=str(self.path), line=1)
        self.run, self.worker, self.pid = str(line["run"]), str(line["worker"]), int(line["pid"])
        self.clock = Clock.of(line.get("clock"))
        self._begun = True

    def _damage(self, what: str) -> FileError:
        return FileError(f"{what}; restore the file from the worker's machine", path=str(self.path), line=self._line)
