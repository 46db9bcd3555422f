"""A story in one line: ``event 7f3a… essay_lifecycle  SET asked 12.031 s, killed 12.034 s, no effect by 31.0 s``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.reports.moment import Moment, seconds

if TYPE_CHECKING:
    from harness.reports.story import Story, Subject
    from harness.verdict import Fields

_MOST = 10
"""Moments in a line; what matters most stands at its two ends."""

_DEEDS = frozenset({"published", "published again", "offset passed", "effect"})

_ENDS = frozenset({"no effect by", "dead letter"})

_COUNTED = frozenset({"effect", "follow-up"})
"""Two of these are two, also where nothing else was seen between them."""

_AT = {"effect": "effect at {}", "no effect by": "no effect at {} by", "dead letter": "dead letter at {}"}
"""What came of an event at each consumer."""


def subject(row: Fields) -> Subject | None:
    """What a row of evidence is about: an event or an upload, if it names one."""
    if isinstance(found := row.get("event_id"), str):
        return "event", found
    return ("upload", found) if isinstance(found := row.get("upload_id"), str) else None


def owner(row: Fields) -> str:
    """The consumer that a row of evidence is about; empty if it is about none."""
    return found if isinstance(found := row.get("consumer"), str) else ""


def named(row: Fields) -> str:
    """What stands beside the id: the consumer, else the event's type."""
    kind = row.get("event_type")
    return owner(row) or (kind if isinstance(kind, str) else "")


def summary(row: Fields, story: Story, short: str) -> str:
    """One line for a row of evidence, whose subject's story and short id these are."""
    id_ = short + ("…" if short != story.id else "")
    return f"{' '.join([story.kind, id_, named(row)]).rstrip()}  {brief(story, owner(row))}"


def brief(story: Story, consumer: str) -> str:
    """``SET NX asked 12.031 s, killed 12.034 s, …``: what one consumer did, and what was done to it.

    Without a consumer: what came of an event at each, and its follow-ups; or what is known of an upload.
    """
    if consumer:
        mine = [one for one in story.moments if one.consumer in {"", consumer} and "follow-up" not in one.brief]
        told = [(one, one.brief) for one in _deeds([one for one in mine if one.brief])]
    else:
        told = [(one, _said(one, story)) for one in story.moments]
    parts = [f"{word} {seconds(moment.t)}" for word, moment in _counted([one for one in told if one[1]])]
    if len(parts) > _MOST:
        parts = [*parts[: _MOST // 2], "…", *parts[-(_MOST - _MOST // 2) :]]
    return ", ".join(parts)


def _said(moment: Moment, story: Story) -> str:
    if not moment.consumer:
        return moment.brief
    return _AT.get(moment.brief, "").format(moment.consumer) if story.kind == "event" else ""


def _deeds(moments: Sequence[Moment]) -> Sequence[Moment]:
    """A consumer's part: from the event on, and of what was done to it only what it could still feel."""
    begin = next((n for n, one in enumerate(moments) if _deed(one)), 0)
    part = [one for one in moments[begin:] if one.kind != "blob"]
    # The store may be heard of before the event is seen, and says that it was there.
    part = [one for n, one in enumerate(part) if one.brief != "published" or n == 0]
    last = max((n for n, one in enumerate(part) if _deed(one)), default=len(part))
    return [one for n, one in enumerate(part) if n <= last or one.brief in _ENDS]


def _deed(moment: Moment) -> bool:
    return moment.kind == "store" or moment.brief in _DEEDS


def _counted(moments: Sequence[tuple[Moment, str]]) -> Iterator[tuple[str, Moment]]:
    counts: dict[str, int] = {}
    before = ""
    for moment, word in moments:
        # One kill between two deeds is told; the same fault on the next replica is not.
        if word == before and moment.brief not in _COUNTED:
            continue
        before = word
        counts[word] = counts.get(word, 0) + 1
        yield _again(moment, word, counts[word]), moment


def _again(moment: Moment, word: str, count: int) -> str:
    if count == 1:
        return word
    if moment.brief in _COUNTED:
        return f"second {word}" if count == 2 else f"another {word}"  # noqa: PLR2004 - as it says
    return word if (" " in word or "." in word) and moment.kind != "store" else f"{word} again"
