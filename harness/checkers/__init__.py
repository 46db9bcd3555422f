"""The table of checkers, in the order in which reports list their findings."""

from __future__ import annotations

from typing import Final

CHECKERS: Final = {
    "exactly one effect": "harness.checkers.exactly_one_effect:ExactlyOneEffect",
    "totals": "harness.checkers.totals:Totals",
    "outcomes": "harness.checkers.outcomes:Outcomes",
    "raw retained": "harness.checkers.raw_retained:RawRetained",
    "evidence": "harness.checkers.evidence:Evidence",
}
"""Name -> ``"module:Name"``; a new checker is one file and one row."""
