"""One run of several, and whether it came out as expected: a scenario on the unchanged system, or on a variant."""

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
    "faults bit",
    "found",
    "time",
    "run",
)

LONGEST: Final = 300
"""Characters of an error on one line."""

REFERENCE: Final = "reference"
"""The unchanged system's name beside its variants."""


@dataclass(frozen=True, slots=True)
class Case:
    """A run and its verdict.json, or the error that prevented the run."""

    scenario: str
    variant: str | None
    file: Path
    seconds: float
    """From the start of the run until it is judged and its reports are written."""

    directory: Path = Path()
    document: Document | None = None
    error: str = ""
    regressions: Sequence[str] = ()
    """How the run is worse than the base, a sentence each."""

    @property
    def label(self) -> str:
        """``redis-outage``, or ``redis-outage setnx_only``."""
        return f"{self.scenario} {self.variant}" if self.variant else self.scenario

    @property
    def as_expected(self) -> bool:
        """Whether the run happened and came out as its scenario says."""
        return self.document is not None and bool(self.document["as_expected"])

    @property
    def passed(self) -> bool:
        """Whether the run came out as expected and no worse than the base."""
        return self.as_expected and not self.regressions

    @property
    def verdict(self) -> str:
        """The run's verdict, or ``error``."""
        return str(self.document["verdict"]) if self.document is not None else "error"

    @property
    def anomalies(self) -> Mapping[str, int]:
        """Anomaly name -> how many, over all checkers."""
        if self.document is None:
            return {}
        by_checker = [finding["anomalies"] for finding in self.document["findings"]]
        return {name: anomaly["count"] for anomalies in by_checker for name, anomaly in anomalies.items()}

    @property
    def bitten(self) -> Mapping[str, int]:
        """Fault name -> how many such faults bit."""
        return Counter(fault["name"] for fault in self.document["faults"] if "bit" in fault) if self.document else {}

    @property
    def why(self) -> str:
        """Why the run did not pass, on one line; empty if it passed."""
        if self.document is None:
            return f"could not be run: {self.error.partition(chr(10))[0][:LONGEST]}"
        unexpected = [] if self.as_expected else [f"{self._came_out()}, expected {said.expected(self.document)}"]
        return "; ".join([*unexpected, *self.regressions])

    def report(self, took: str = "") -> Iterator[Text]:
        """Yield the lines of the run's report; nothing if the run could not be made."""
        if self.document is not None:
            yield from report(self.document, self.directory, took or in_all(self.seconds))

    @property
    def story(self) -> str:
        """The full text: what is worse than the base, then the run's report or the error."""
        report = (
            text(self.document, self.directory, in_all(self.seconds)) if self.document is not None else self.error
        )
        return "\n".join([*self.regressions, report.rstrip()])

    def cells(self) -> Sequence[object]:
        """Return a table row under COLUMNS."""
        if self.document is None:
            return (self.scenario, self.variant or REFERENCE, "error", *[""] * 4, f"{self.seconds:.1f} s", "")
        return (
            self.scenario,
            self.variant or REFERENCE,
            self.verdict,
            self.document["expected"]["verdict"],
            self.document["figures"]["operations"],
            said.bitten(self.document["faults"]),
            self.found or "nothing",
            f"{self.seconds:.1f} s",
            said.run_id(self.directory),
        )

    def _came_out(self) -> str:
        return " with ".join(filter(None, [self.verdict, self.found]))

    @property
    def found(self) -> str:
        """``lost 2, duplicate 1``: the anomalies, and how many of each."""
        return ", ".join(f"{name} {count}" for name, count in self.anomalies.items())
