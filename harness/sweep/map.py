"""The map of a sweep: a verdict for each way to break off at each message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.reports.case import Case
from harness.sweep.lineage import ACTIONS, Action, Step
from harness.verdict import Verdict

WORDS: Final = tuple(verdict.word for verdict in Verdict)
"""The verdicts, the worst last."""


@dataclass
class Cell:
    """One action at one message: its scenario, and the runs that were made of it, the last of which counts."""

    step: Step
    action: Action
    path: Path
    cases: list[Case] = field(default_factory=list)

    @property
    def met(self) -> bool:
        """Whether the message came, and the fault acted at it."""
        return bool(self.cases and self.cases[-1].bitten)

    @property
    def verdict(self) -> str:
        """``valid`` only if the fault acted; ``unknown`` without a run."""
        if not self.cases or (self.cases[-1].verdict != "invalid" and not self.met):
            return "unknown"
        return self.cases[-1].verdict

    @property
    def said(self) -> str:
        """The verdict with its reason."""
        if not self.cases:
            return "unknown: no run"
        if self.verdict == "invalid":
            return f"invalid: {', '.join(self.cases[-1].anomalies)}"
        return self.verdict if self.met else "unknown: its message never came"

    def document(self) -> dict[str, Any]:
        """The form that the map's file holds."""
        return {
            "verdict": self.verdict,
            "anomalies": dict(self.cases[-1].anomalies) if self.cases else {},
            "scenario": self.path.name,
            "runs": [str(case.directory) for case in self.cases],
        }


@dataclass
class Map:
    """All cells, message by message, each message's in the order of ACTIONS."""

    cells: list[Cell] = field(default_factory=list)

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
        counts = {verdict: sum(cell.verdict == verdict for cell in self.cells) for verdict in WORDS}
        return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)

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
