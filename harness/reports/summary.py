"""A story in one line: ``event 7f3a… essay_lifecycle  SET asked 12.031 s, killed 12.034 s, no effect by 31.0 s``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.reports.moment import Moment, seconds

if TYPE_CHECKING:
    from harness.reports.story import Story, Subject
    from harness.verdict import Fields

_MOST = 10
"""Moments in a line; the two ends matter most."""

_DEEDS = frozenset({"published", "published again", "offset passed", "effect"})

_ENDS = frozenset({"no effect by", "dead letter"})

_COUNTED = frozenset({"effect", "follow-up"})
"""Each of these counts, even if nothing else was seen in between."""

_AT = {"effect": "effect at {}", "no effect by": "no effect at {} by", "dead letter": "dead letter at {}"}
"""Phrases for what came of an event at a consumer."""


def subject(row: Fields) -> Subject | None:
    """Return the event or upload that a row of evidence is about, if it names one."""
    if isinstance(id_ := row.get("event_id"), str):
        return "event", id_
    return ("upload", id_) if isinstance(id_ := row.get("upload_id"), str) else None


def owner(row: Fields) -> str:
    """Return the consumer that a row of evidence is about; empty if there is none."""
    return consumer if isinstance(consumer := row.get("consumer"), str) else ""


def named(row: Fields) -> str:
    """Return what stands beside the id: the consumer, else the event's type."""
    kind = row.get("event_type")
    return owner(row) or (kind if isinstance(kind, str) else "")


def summary(row: Fields, story: Story, short: str) -> str:
    """Sum up a row of evidence in one line, from its subject's story and short id."""
    id_ = short + ("…" if short != story.id else "")
    return f"{' '.join([story.kind, id_, named(row)]).rstrip()}  {brief(story, owner(row))}"


def brief(story: Story, consumer: str) -> str:
    """``SET NX asked 12.031 s, killed 12.034 s, …``: what one consumer did, and what was done to it.

    Without a consumer: what came of an event at each consumer, and its follow-ups; or what is known about an upload.
    """
    if consumer:
        relevant = [
            each for each in story.moments if each.consumer in {"", consumer} and "follow-up" not in each.brief
        ]
        phrases = [(moment, moment.brief) for moment in _deeds([each for each in relevant if each.brief])]
    else:
        phrases = [(moment, _said(moment, story)) for moment in story.moments]
    parts = [f"{word} {seconds(moment.t)}" for word, moment in _counted([phrase for phrase in phrases if phrase[1]])]
    if len(parts) > _MOST:
        parts = [*parts[: _MOST // 2], "…", *parts[-(_MOST - _MOST // 2) :]]
    return ", ".join(parts)


def _said(moment: Moment, story: Story) -> str:
    if not moment.consumer:
        return moment.brief
    return _AT.get(moment.brief, "").format(moment.consumer) if story.kind == "event" else ""


def _deeds(moments: Sequence[Moment]) -> Sequence[Moment]:
    """Return a consumer's part: from its first deed to its last, and how it ended."""
    begin = next((n for n, moment in enumerate(moments) if _deed(moment)), 0)
    if moments and moments[begin].brief == "effect":
        # An effect is older than its first sighting: who died just before may have died just after it.
        begin = max((n for n, moment in enumerate(moments[:begin]) if moment.brief == "killed"), default=begin)
    part = [moment for moment in moments[begin:] if moment.kind != "blob"]
    # A command to the store may be seen before the event, and shows that the event was there.
    part = [moment for n, moment in enumerate(part) if moment.brief != "published" or n == 0]
    last = max((n for n, moment in enumerate(part) if _deed(moment)), default=len(part))
    return [moment for n, moment in enumerate(part) if n <= last or moment.brief in _ENDS]


def _deed(moment: Moment) -> bool:
    return moment.kind == "store" or moment.brief in _DEEDS


def _counted(moments: Sequence[tuple[Moment, str]]) -> Iterator[tuple[str, Moment]]:
    counts: dict[str, int] = {}
    before = ""
    for moment, word in moments:
        # Skip a repeat with nothing in between, such as the same fault on the next replica.
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
