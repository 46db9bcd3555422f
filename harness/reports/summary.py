"""A story in one line: ``event 7f3a… essay_lifecycle  claimed 12.031 s, killed 12.034 s, no effect by 31.0 s``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.reports.story import Kind, Moment, Story, seconds, tell

if TYPE_CHECKING:
    from harness.history.reader import History
    from harness.verdict import Fields

_MOST = 10
"""Moments in a line; what matters most stands at its two ends."""

_SHORT = 8
"""Characters of an id: enough to be the only one, and ``show`` says so if not."""


def subject(row: Fields) -> tuple[Kind, str] | None:
    """What a row of evidence is about: an event or an upload, if it names one."""
    if isinstance(found := row.get("event_id"), str):
        return "event", found
    return ("upload", found) if isinstance(found := row.get("upload_id"), str) else None


def summary(history: History, row: Fields) -> str:
    """One line for a row of evidence; empty if the row names neither event nor upload."""
    about = subject(row)
    if about is None:
        return ""
    consumer = row.get("consumer")
    consumer = consumer if isinstance(consumer, str) else ""
    told = brief(tell(history, *about), consumer)
    return f"{about[0]} {short(*about)}  {consumer}{'  ' if consumer else ''}{told}"


def short(kind: Kind, id_: str) -> str:
    """An event's id cut short; an upload's whole, for those of one run differ at their ends."""
    return f"{id_[:_SHORT]}…" if kind == "event" and len(id_) > _SHORT else id_


def brief(story: Story, consumer: str) -> str:
    """``claimed 12.031 s, killed 12.034 s, …``: what one consumer did, and what was done to it."""
    parts = [f"{word} {seconds(moment.t)}" for word, moment in _told(story.moments, consumer)]
    if len(parts) > _MOST:
        parts = [*parts[: _MOST // 2], "…", *parts[-(_MOST - _MOST // 2) :]]
    return ", ".join(parts)


def _told(moments: Sequence[Moment], consumer: str) -> Iterator[tuple[str, Moment]]:
    mine = [one for one in moments if one.brief and (one.consumer in {"", consumer} or not consumer)]
    claimed = [n for n, one in enumerate(mine) if one.brief == "claimed"]
    counts: dict[str, int] = {}
    before = ""
    for moment in mine[claimed[0] if claimed and consumer else 0 :]:
        # One kill between two deeds is told; the same fault on the next replica is not.
        if moment.brief == before:
            continue
        before = moment.brief
        counts[before] = counts.get(before, 0) + 1
        yield _again(before, counts[before]), moment


def _again(word: str, count: int) -> str:
    if count == 1:
        return word
    if word == "effect":
        return "second effect" if count == 2 else "another effect"  # noqa: PLR2004 - as it says
    return word if " " in word or "." in word else f"{word} again"
