"""Reads the sums that services update in place, as exact decimal numbers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from harness.effects import Total
from harness.errors import StackError
from harness.observers.located import named_key
from harness.observers.sources import Row, Source
from harness.pointer import pick
from harness.stack import Fields

DIGITS: Final = (24, 12)
"""The most digits before and after the decimal point: what checkers can add up exactly."""

_LEAST: Final = -1000
"""Decimal exponent at or below which a number is refused before its digits are written out."""


class Totals:
    """Observes the sums of every service that has any; an interim pass yields those that changed, the final one all."""

    what = "totals"

    def __init__(self, described: Mapping[str, Total], sources: Mapping[str, Source]) -> None:
        self._described = described
        self._sources = sources
        self._last: dict[tuple[str, str], str] = {}
        self.counts: dict[str, int] = dict.fromkeys(described, 0)
        """Consumer -> number of changes seen so far."""

    def instead(self, sources: Mapping[str, Source]) -> Totals:
        """Return an observer that reads the given services' sums from ``sources``."""
        return Totals(self._described, {**self._sources, **sources})

    async def try_out(self) -> None:
        """Read each once; raises StackError if that fails."""
        for consumer in self._described:
            await self._read(consumer, final=True)

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Yield sums, each under its key."""
        for consumer in self._described:
            for key, total in (await self._read(consumer, final=final)).items():
                changed = self._last.get((consumer, key)) != total
                if changed or final:
                    yield {"op": "total", "phase": "seen", "consumer": consumer, "key": key, "total": total}
                # Last: if this pass is cut short, what it did not yield is still new to the next one.
                if changed:
                    self._last[consumer, key] = total
                    self.counts[consumer] += 1

    async def close(self) -> None:
        """Close the connections of the sources."""
        for source in self._sources.values():
            await source.close()

    async def _read(self, consumer: str, *, final: bool) -> Mapping[str, str]:
        rows: list[Row] = []
        try:
            await self._sources[consumer].each(rows.extend, everything=final)
            return self._totals(consumer, rows)
        except StackError as error:
            raise StackError(f"effects.{consumer}.total: {error}") from error

    def _totals(self, consumer: str, rows: list[Row]) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for row in rows:
            if missing := [name for name in ("id", "total") if name not in row]:
                raise StackError(
                    f"it gives {', '.join(row)}, but no `{missing[0]}`; in a query write SELECT … AS {missing[0]}"
                )
            key = named_key(self._described[consumer].by, row["id"])
            if key in found:
                raise StackError(f"two rows have the id {key}; let the query add them up: sum(…) … GROUP BY")
            total = exact(row["total"])
            if total is None:
                raise StackError(
                    f"the total of {key} is {str(row['total'])[:80]} ({type(row['total']).__name__}), which is no exact "
                    f"number of at most {DIGITS[0]} digits and {DIGITS[1]} after the point; a binary floating-point number "
                    "does not add up exactly: write printf('%.2f', balance) in SQLite, or balance::numeric(20, 2) in Postgres"
                )
            found[key] = total
        return found


def exact(value: object) -> str | None:
    """Return a number as exact decimal text; None if it is not one that can be added up exactly.

    A float is exact if it is a whole number. Text is read as a decimal number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    try:
        number = Decimal(int(value) if isinstance(value, float) else value)
    except InvalidOperation:
        return None
    if not number.is_finite() or not _LEAST < number.adjusted() < DIGITS[0]:
        return None
    text = format(number, "f")
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > DIGITS[1]:
        return None
    return f"{whole}.{fraction}" if fraction else whole


def amount(value: bytes | None, pointer: str) -> str | None:
    """Return the number at ``pointer`` in a record's JSON as exact decimal text; None if there is none."""
    try:
        parsed = json.loads(value or b"", parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return exact(pick(parsed, pointer))
