"""A story in one line: ``event 7f3a… essay_lifecycle  claimed 12.031 s, killed 12.034 s, no effect by 31.0 s``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.reports.moment import Moment, seconds

if TYPE_CHECKING:
    from harness.reports.story import Story, Subject
    from harness.verdict import Fields

_MOST = 10
"""Moments in a line; what matters most stands at its two ends."""

_DEEDS = frozenset({"claimed", "published", "published again", "offset passed", "effect"})

_ENDS = frozenset({"no effect by", "dead letter"})


def subject(row: Fields) -> Subject | None:
    """What a row of evidence is about: an event or an upload, if it names one."""
    if isinstance(found := row.get("event_id"), str):
        return "event", found
    return ("upload", found) if isinstance(found := row.get("upload_id"), str) else None


def owner(row: Fields) -> str:
    """The consumer that a row of evidence is about; empty if it is about none."""
    return found if isinstance(found := row.get("consumer"), str) else ""


def summary(row: Fields, story: Story, short: str) -> str:
    """One line for a row of evidence, whose subject's story and short id these are."""
    named = short + ("…" if short != story.id else "")
    return f"{' '.join([story.kind, named, owner(row)]).rstrip()}  {brief(story, owner(row))}"


def brief(story: Story, consumer: str) -> str:
    """``claimed 12.031 s, killed 12.034 s, …``: what one consumer did, and what was done to it."""
    mine = [one for one in story.moments if one.brief and one.consumer in {"", consumer}]
    told = list(_counted(_deeds(mine) if consumer else mine))
    parts = [f"{word} {seconds(moment.t)}" for word, moment in told]
    if len(parts) > _MOST:
        parts = [*parts[: _MOST // 2], "…", *parts[-(_MOST - _MOST // 2) :]]
    return ", ".join(parts)


def _deeds(moments: Sequence[Moment]) -> Sequence[Moment]:
    """A consumer's part: from the event on, and of what was done to it only what it could still feel."""
    begin = next((n for n, one in enumerate(moments) if one.brief in _DEEDS), 0)
    part = [one for one in moments[begin:] if not one.brief.startswith("blob")]
    # A claim may be heard before the event is seen, and says that it was there.
    part = [one for n, one in enumerate(part) if one.brief != "published" or n == 0]
    last = max((n for n, one in enumerate(part) if one.brief in _DEEDS), default=len(part))
    return [one for n, one in enumerate(part) if n <= last or one.brief in _ENDS]


def _counted(moments: Sequence[Moment]) -> Iterator[tuple[str, Moment]]:
    counts: dict[str, int] = {}
    before = ""
    for moment in moments:
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
