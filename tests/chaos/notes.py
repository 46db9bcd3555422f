"""A recorder for faults that are applied without a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from tests.standin import StandIn


class Notes(StandIn):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def now(self) -> int:
        return len(self.records)

    def record(self, op: str, phase: str, actor: str, **fields: object) -> int:
        self.records.append({"op": op, "phase": phase, "actor": actor, **fields})
        return len(self.records)

    @contextmanager
    def operation(self, op: str, actor: str, **fields: object) -> Iterator[Any]:
        index = self.record(op, "invoke", actor, **fields)
        yield SimpleNamespace(index=index, ok=lambda **more: self.record(op, "ok", actor, **{**fields, **more}))

    def phases(self) -> list[str]:
        return [record["phase"] for record in self.records if record["op"] == "fault"]

    def wire(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["op"] == "wire"]
