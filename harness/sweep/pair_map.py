"""The map of pairs: a verdict for each second fault that was tried, and how many were left out for which reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from harness.sweep.lineage import Action, Step
from harness.sweep.map import WORDS, Cell, counts
from harness.sweep.pairs import UNNAMED, Pairs


@dataclass
class PairMap:
    """The cells of the pairs that are tried, in the order of their first faults, then of their messages."""

    found: Pairs
    cells: list[Cell] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """The worst of all cells; without cells, ``unknown`` if messages name no event, else ``valid``."""
        none = "unknown" if self.found.left_out[UNNAMED] else "valid"
        return max((cell.verdict for cell in self.cells), key=WORDS.index, default=none)

    @property
    def said(self) -> str:
        """``120 pairs, 34 tried: …``, and how they came out."""
        unwanted = len(self.found.kept) - len(self.cells)
        reasons = [f"{count} {why}" for why, count in sorted(self.found.left_out.items()) if count]
        if unwanted:
            reasons.append(f"{unwanted} are more than --pairs allows")
        every = len(self.found.kept) + self.found.left_out.total()
        left = f" ({', '.join(reasons)})" if reasons else ""
        return f"{every} pairs, {len(self.cells)} tried: {counts(self.cells) or 'none'}{left}"

    @property
    def groups(self) -> Iterator[tuple[str, list[tuple[Step, dict[Action, Cell]]]]]:
        """For each first fault, in words: each message at which a second one was tried, with its cells."""
        for first, cells in groupby(self.cells, key=lambda cell: cell.first):
            if first is not None:
                rows = groupby(cells, key=lambda cell: cell.step)
                yield said(*first), [(step, {cell.action: cell for cell in row}) for step, row in rows]

    def document(self) -> dict[str, Any]:
        """The form that the map's file holds."""
        return {
            "found": len(self.found.kept) + self.found.left_out.total(),
            "to_try": len(self.found.kept),
            "left_out": {why: count for why, count in sorted(self.found.left_out.items()) if count},
            "cells": [
                {
                    "first": {"message": str(cell.first[0]), "action": cell.first[1].name},
                    "second": {"message": str(cell.step), "action": cell.action.name},
                    "said": cell.said,
                    **cell.document(),
                }
                for cell in self.cells
                if cell.first is not None
            ],
        }


def said(step: Step, action: Action) -> str:
    """``redis: SET claim:*, killed after``."""
    return f"{step}, {action.name}"


def rows(made: PairMap, actions: Sequence[Action]) -> Iterator[list[str]]:
    """Yield the rows of a table: a line for each first fault, and below it each message with a cell for each action."""
    for first, messages in made.groups:
        yield [first, *("" for _ in actions)]
        for step, cells in messages:
            yield [f"  then {step}", *(cells[one].said if one in cells else "-" for one in actions)]
