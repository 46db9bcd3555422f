"""A candidate: a part of a scenario's schedule and load, with an identity that outlasts the process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import rfc8785

from harness.scenario import AgainLine, FaultLine, LoadShape, Scenario
from harness.shrink import written

Row = FaultLine | AgainLine
"""One row of a schedule."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be left out or made smaller in a scenario; the rest of the scenario stays as it is."""

    load: LoadShape
    faults: tuple[FaultLine, ...]
    again: tuple[AgainLine, ...] = ()
    taps: Literal["all"] | None = None

    @classmethod
    def of(cls, scenario: Scenario) -> Candidate:
        """Return the whole scenario as a candidate."""
        return cls(scenario.load, tuple(scenario.faults), tuple(scenario.again), scenario.taps)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row of the schedule: the faults, then the requests of ``again``."""
        return (*self.faults, *self.again)

    def only(self, rows: Sequence[Row]) -> Candidate:
        """Return a copy with only these rows."""
        faults = tuple(row for row in rows if isinstance(row, FaultLine))
        return replace(self, faults=faults, again=tuple(row for row in rows if isinstance(row, AgainLine)))

    def document(self) -> dict[str, Any]:
        """Return its part of a scenario file, as users write it."""
        again = [written.again(row) for row in self.again]
        return {
            "load": written.load(self.load),
            "faults": [written.fault(row) for row in self.faults],
            **({"again": again} if again else {}),
            **({"taps": self.taps} if self.taps is not None else {}),
        }

    @property
    def identity(self) -> str:
        """The first 64 bits of the document's SHA-256, in hex: equal for equal candidates, today and later."""
        return hashlib.sha256(rfc8785.dumps(self.document())).hexdigest()[:16]

    @property
    def size(self) -> str:
        """``2 faults for 700ms, 55 uploads``."""
        lasting = sum(row.lasts or 0.0 for row in self.faults)
        parts = [
            _counted(len(self.faults), "fault") + (f" for {written.duration(lasting)}" if lasting else ""),
            *([_counted(len(self.again), "request") + " of again"] if self.again else []),
            _counted(self.load.uploads, "upload"),
        ]
        return ", ".join(parts)


def _counted(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
