"""One calibration: a run without faults, which must be sound, and then one control after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from harness.calibrate.copies import Altered, Copies
from harness.calibrate.judging import answer, blind, fit, judged, shows
from harness.calibrate.live import Fact, Live
from harness.calibrate.planting import NotPlantedError
from harness.calibrate.tape import Tape
from harness.calibration import Answer, Told, part
from harness.checkers.judge import overall
from harness.errors import OneffectError
from harness.verdict import Finding, Verdict

if TYPE_CHECKING:
    from harness.run import AtRest
    from harness.stack import Record

SOUND: Final = "none"
"""The folder of the run without anything planted."""

STANDS: Final = ("stalled", "lost")
"""Anomalies of which a consumer that is held back must show one."""


class Calibrating:
    """Call it with a run at rest; afterwards ``told`` has the result of each control, in order."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.fit = False
        """Whether the run without anything planted was sound; if not, nothing was planted."""

    async def __call__(self, at: AtRest) -> None:
        """Judge the run as it is, then plant one thing after the other."""
        session = at.session
        session.recorder.flush()
        tape = Tape.of(session.directory / "history.jsonl", session.recorder.now, session.redaction.value)
        self._at, self._folder = at, session.directory / "controls"
        at.progress.step("judging the run without anything planted")
        self._sound = await self._judged(tape, SOUND)
        self.fit = fit(self._sound)
        if self.fit:
            await self._copies(Copies(at, tape))
            await self._live(Live(at, tape.without(lambda _: False)))

    async def _copies(self, copies: Copies) -> None:
        system = self._at.plan.system
        for consumer, effects in system.effects.items():
            if effects.countable:
                await self._copy("lost", consumer, copies.lost(consumer))
                await self._copy("duplicate", consumer, copies.duplicate(consumer))
            if effects.total is not None:
                await self._copy("total", consumer, copies.total(consumer))
        if system.blobs is not None:
            await self._copy("raw_different", "blobs", copies.raw_different())

    async def _copy(self, control: str, of: str, altered: Awaitable[Altered]) -> None:
        self._at.progress.step(f"{control} of {of}, in a copy")
        try:
            planted = await altered
            findings = await self._judged(planted.tape, f"{control}-{of}")
        except (NotPlantedError, OneffectError) as error:
            self._tell(control, of, "not_tried", str(error))
            return
        self._tell(control, of, *answer(findings, planted.wanted, planted.about, planted.how))

    async def _live(self, live: Live) -> None:
        system = self._at.plan.system
        consumers = [name for name, effects in system.effects.items() if effects.countable]
        if not consumers:
            return
        self._at.progress.step("held back, with one fact under two ids")
        try:
            async with live.held_back():
                held = live.snapshot()
            findings = await self._judged(held, "held_back")
            await live.at_rest()
            after = live.snapshot()
            applied = await self._judged(after, "two_ids")
        except (NotPlantedError, OneffectError) as error:
            for consumer in consumers:
                self._tell("held_back", consumer, "not_tried", str(error))
                self._tell("two_ids", consumer, "not_tried", str(error))
        else:
            facts = {consumer: fact for fact in live.facts for consumer in fact.consumers}
            for consumer in consumers:
                self._tell("held_back", consumer, *_held(findings, consumer, facts.get(consumer)))
                self._tell("two_ids", consumer, *_two(after, applied, consumer, facts.get(consumer)))
        if system.dead_letters is not None:
            await self._malformed(live, consumers)

    async def _malformed(self, live: Live, consumers: Sequence[str]) -> None:
        self._at.progress.step("a record that is malformed")
        try:
            published = await live.malformed()
            after = live.snapshot()
            with_letter = await self._judged(after, "dead_letter")
            without = await self._judged(
                after.without(lambda one: one["op"] == "dead_letter"), "dead_letter-left_out"
            )
        except (NotPlantedError, OneffectError) as error:
            for consumer in consumers:
                self._tell("dead_letter", consumer, "not_tried", str(error))
            return
        for consumer in consumers:
            self._tell("dead_letter", consumer, *_lettered(with_letter, without, consumer, after, published))

    async def _judged(self, tape: Tape, name: str) -> Sequence[Finding]:
        """Judge a tape; NotPlantedError if a read failed, as the result would say nothing about the system file."""
        # In a thread: judging takes a while, and the system's connections must be kept up meanwhile.
        findings = await asyncio.to_thread(judged, tape, self._folder / name)
        if name != SOUND and shows(findings, ("read_failed",), {}):
            raise NotPlantedError("it was planted, but not everything could be read then")
        return findings

    def _tell(self, control: str, of: str, found: Answer, said: str) -> None:
        if found == "seen" and blind(self._sound, control, of):
            found, said = "unseen", f"{said}; but even with nothing planted, two effects could not be told apart"
        said = str(self._at.session.redaction.text(said))  # a store's message may hold anything
        self.told.append(
            Told(control=control, of=of, answer=found, said=said, part=part(self._at.plan.system, control, of))
        )


def _held(findings: Sequence[Finding], consumer: str, fact: Fact | None) -> tuple[Answer, str]:
    if fact is None:
        return "not_tried", "no event of the run that it applies could be published again under another id"
    how, about = "its replicas paused, and a fact published", {"consumer": [consumer]}
    # Only what is found of this consumer counts: others are held back in the same run.
    if found := shows(findings, STANDS, about):
        return "seen", f"{how}: {', '.join(found)}"
    if shows(findings, ("undecided",), about):
        return "not_tried", f"{how}, and nothing was decided about it"
    # If the machine or the system is never still, nothing can be shown about any consumer, and the run is not valid.
    unshown = overall(findings) is not Verdict.VALID and not shows(findings, STANDS, {})
    return "not_tried" if unshown else "unseen", f"{how}, and nothing shows that it did not apply it"


def _two(after: Tape, findings: Sequence[Finding], consumer: str, fact: Fact | None) -> tuple[Answer, str]:
    if fact is None:
        return "not_tried", "no event of the run that it applies could be published again under another id"
    effects = [one for one in after.last("effects") if one.get("consumer") == consumer]
    counted = [sum(_of(one, event, consumer) for one in effects) for event in (fact.old, fact.new)]
    how = "a fact published under another id"
    if all(counted):
        return "seen", f"{how}: {sum(counted)} effects"
    if not counted[0]:
        return "unseen", f"{how}: the effect of the first is there no more"
    waiting = shows(findings, STANDS, {"consumer": [consumer]})
    return "not_tried", f"{how}: it made no effect of it" + (f" ({', '.join(waiting)})" if waiting else "")


def _of(effect: Mapping[str, object], event: Mapping[str, object], consumer: str) -> bool:
    keys = event.get("keys")
    if "key" in effect and isinstance(keys, Mapping):
        return effect["key"] == keys.get(consumer)
    return effect.get("event_id") == event["event_id"]


def _lettered(
    with_letter: Sequence[Finding],
    without: Sequence[Finding],
    consumer: str,
    after: Tape,
    published: Sequence[Record],
) -> tuple[Answer, str]:
    reads = {one["topic"] for one in after.records if one["op"] == "offset" and one["consumer"] == consumer}
    places = [one for one in published if one.topic in reads]
    how = f"bytes that are not JSON published on {', '.join(one.topic for one in places)}"
    if not places:
        return "not_tried", "its group's offsets do not show which topics it reads"
    about: dict[str, list[object]] = {
        "consumer": [consumer],
        "topic": [one.topic for one in places],
        "offset": [one.offset for one in places],
    }
    if shows(with_letter, ("undecided",), {"consumer": [consumer]}):
        if shows(without, ("neither",), about):
            return "unseen", f"{how}, and no dead letter says that it is of it and by {consumer}"
        return "not_tried", f"{how}, and nothing was decided about it"
    if shows(with_letter, ("neither", "stalled", "dead_letter_contradicts"), {"consumer": [consumer]}):
        return "unseen", f"{how}, and no dead letter of it is seen"
    if not shows(without, ("neither",), about):
        return "unseen", f"{how}, and a run without its dead letter is not called wrong"
    return "seen", f"{how}: a dead letter; without it: neither"
