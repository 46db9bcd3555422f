"""One run of several that are judged as expected: a scenario on the system as it is, or on a variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.text import Text

from harness.reports import said
from harness.reports.document import Document
from harness.reports.terminal import in_all, report, text

COLUMNS: Final = (
    "scenario",
    "system",
    "verdict",
    "expected",
    "operations",
    "faults bitten",
    "found",
    "seconds",
    "run",
)

LONGEST: Final = 300
"""Characters of an error in one line."""

REFERENCE: Final = "reference"
"""How the system as it is is called where variants stand beside it."""


@dataclass(frozen=True, slots=True)
class Case:
    """A run and its verdict.json, or, with neither, the error for which it could not be made."""

    scenario: str
    variant: str | None
    file: Path
    seconds: float
    """From the beginning of the run until it was judged and its reports were written."""

    directory: Path = Path()
    document: Document | None = None
    error: str = ""
    regressions: Sequence[str] = ()
    """What the base had, and this run has not, or the other way round."""

    @property
    def label(self) -> str:
        """``redis-outage``, or ``redis-outage setnx_only``."""
        return f"{self.scenario} {self.variant}" if self.variant else self.scenario

    @property
    def as_expected(self) -> bool:
        """Whether the run was made and came out as its scenario says."""
        return self.document is not None and bool(self.document["as_expected"])

    @property
    def passed(self) -> bool:
        """Whether it came out as expected, and no worse than the base."""
        return self.as_expected and not self.regressions

    @property
    def verdict(self) -> str:
        """The run's, or ``error``."""
        return str(self.document["verdict"]) if self.document is not None else "error"

    @property
    def anomalies(self) -> Mapping[str, int]:
        """Name -> how many, over all checkers."""
        if self.document is None:
            return {}
        return {name: found["count"] for one in self.document["findings"] for name, found in one["anomalies"].items()}

    @property
    def bitten(self) -> Mapping[str, int]:
        """A fault's name -> how many of it bit."""
        return Counter(fault["name"] for fault in self.document["faults"] if "bit" in fault) if self.document else {}

    @property
    def why(self) -> str:
        """One line that says why it did not pass; empty if it did."""
        if self.document is None:
            return f"could not be run: {self.error.partition(chr(10))[0][:LONGEST]}"
        unexpected = [] if self.as_expected else [f"{self._came_out()}, expected {said.expected(self.document)}"]
        return "; ".join([*unexpected, *self.regressions])

    def report(self, took: str = "") -> Iterator[Text]:
        """The lines of its report; none of a run that could not be made."""
        if self.document is not None:
            yield from report(self.document, self.directory, took or in_all(self.seconds))

    @property
    def story(self) -> str:
        """The whole of it, in lines: the report of the run, or the error."""
        report = (
            text(self.document, self.directory, in_all(self.seconds)) if self.document is not None else self.error
        )
        return "\n".join([*self.regressions, report.rstrip()])

    def cells(self) -> Sequence[object]:
        """A row below COLUMNS."""
        if self.document is None:
            return (self.scenario, self.variant or REFERENCE, "error", *[""] * 4, f"{self.seconds:.1f}", "")
        return (
            self.scenario,
            self.variant or REFERENCE,
            self.verdict,
            self.document["expected"]["verdict"],
            self.document["figures"]["operations"],
            said.bitten(self.document["faults"]),
            self._found() or "nothing",
            f"{self.seconds:.1f}",
            self.directory.name,
        )

    def _came_out(self) -> str:
        return " with ".join(filter(None, [self.verdict, self._found()]))

    def _found(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in self.anomalies.items())
