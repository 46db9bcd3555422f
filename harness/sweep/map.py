"""The map of a sweep: a verdict for each way to break off at each message."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.reports.case import Case
from harness.sweep.lineage import ACTIONS, Action, LeftOut, Step
from harness.taps.event import Event
from harness.verdict import Verdict

WORDS: Final = tuple(verdict.word for verdict in Verdict)
"""The verdicts, the worst last."""


_LONG: Final = re.compile(r"(\w{12})\w{20,}")
"""Names such as digests, of which a table shows the beginning."""


@dataclass
class Cell:
    """One action at one message: its scenario, and its runs, of which the last counts."""

    step: Step
    action: Action
    path: Path
    cases: list[Case] = field(default_factory=list)
    first: tuple[Step, Action] | None = None
    """In a pair: the first fault, whose event this fault meets again."""
    event: Event | None = None
    """The event that the last run's faults met, if it is known."""
    astray: str = ""
    """A message of another kind than the cell's at which a fault of the last run acted instead; empty if none did."""

    @property
    def steps(self) -> Sequence[Step]:
        """The messages at which its faults are to act, in order."""
        return [self.step] if self.first is None else [self.first[0], self.step]

    @property
    def acted(self) -> bool:
        """Whether the fault acted at some message; in a pair, both faults."""
        return bool(self.cases) and sum(self.cases[-1].bitten.values()) >= len(self.steps)

    @property
    def met(self) -> bool:
        """Whether the message came, and the fault acted at it; in a pair, both faults."""
        return self.acted and not self.astray

    @property
    def verdict(self) -> str:
        """``valid`` only if the fault acted at its message; ``unknown`` without a run. A pair counts only if both did.

        An invalid run in which a fault's message never came shows a flaw all the same, unless the cell is a pair.
        """
        if self.met or (self.cases and not self.acted and self.first is None and self.cases[-1].verdict == "invalid"):
            return self.cases[-1].verdict
        return "unknown"

    @property
    def said(self) -> str:
        """The verdict with its reason."""
        if not self.cases:
            return "unknown: no run"
        if self.verdict == "invalid":
            return f"invalid: {self._found}"
        if self.met:
            return self.verdict
        so = f"; the run is {self.cases[-1].verdict} all the same" if self.cases[-1].verdict == "invalid" else ""
        if self.acted:
            at = _LONG.sub(r"\1…", self.astray)
            return f"unknown: it acted at another message, {at}{so}"
        if self.first is None:
            return "unknown: its message never came"
        came = "the second" if self.cases[-1].bitten else "either"
        return f"unknown: the message of {came} fault never came{so}"

    @property
    def _found(self) -> str:
        """The anomalies, first those at the event that was met: a death also ends the process's other work."""
        elsewhere = self.elsewhere
        own = [name for name in self.cases[-1].anomalies if name not in elsewhere]
        return ", ".join([*own, *([f"at other events {' and '.join(elsewhere)}"] if elsewhere else [])])

    @property
    def elsewhere(self) -> list[str]:
        """Anomalies that are certainly not at the event that was met: all of them are listed, with other events."""
        case = self.cases[-1] if self.cases else None
        if self.event is None or case is None or case.document is None:
            return []
        found = [each for finding in case.document["findings"] for each in finding["anomalies"].items()]
        ids = {name: [str(row["id"]) for row in one["told"] if row.get("kind") == "event"] for name, one in found}
        counts = {name: one["count"] for name, one in found}
        return [name for name, told in ids.items() if len(told) == counts[name] and self.event.names.isdisjoint(told)]

    def document(self) -> dict[str, Any]:
        """The form that the map's file holds."""
        return {
            "verdict": self.verdict,
            "anomalies": dict(self.cases[-1].anomalies) if self.cases else {},
            "at_other_events": self.elsewhere,
            "scenario": self.path.name,
            **({"astray": self.astray} if self.astray else {}),
            "runs": [str(case.directory) for case in self.cases],
        }


def counts(cells: Iterable[Cell]) -> str:
    """How many cells have which verdict, in words."""
    found = Counter(cell.verdict for cell in cells)
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in WORDS if found[verdict])


@dataclass
class Map:
    """All cells, message by message, each message's in the order of ACTIONS."""

    cells: list[Cell] = field(default_factory=list)
    left_out: Sequence[LeftOut] = ()
    """What came with about every event, and is in no cell."""

    @property
    def left(self) -> str:
        """What was left out, in words; empty if nothing was."""
        what = ", ".join(map(str, self.left_out))
        return f"not tried, as nothing tells whether an event caused it: {what}" if what else ""

    @property
    def verdict(self) -> str:
        """The worst of all cells."""
        return max((cell.verdict for cell in self.cells), key=WORDS.index, default="unknown")

    @property
    def rows(self) -> Iterator[Sequence[Cell]]:
        """The cells of one message after the other."""
        width = len(ACTIONS)
        return (self.cells[at : at + width] for at in range(0, len(self.cells), width))

    @property
    def counts(self) -> str:
        """How many cells have which verdict, in words."""
        return counts(self.cells)

    def document(self) -> list[dict[str, Any]]:
        """The form that the map's file holds: a message a row."""
        return [
            {
                "message": str(step),
                "target": step.target,
                "command": step.command,
                "key": step.key,
                "turn": step.turn,
                "events": step.events,
                "cells": {cell.action.name: cell.document() for cell in row},
            }
            for row in self.rows
            for step in [row[0].step]
        ]
