"""The scenario file: a load, a schedule of faults, and the expected verdicts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from harness.model import Model, Name
from harness.units import Duration, Moment, Rate, Share


class LoadShape(Model):
    """How many operations, how fast, and of which kinds."""

    batch: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Uploads in a batch, if the front door takes batches."""
    uploads: Annotated[int, Field(ge=1, le=10_000_000)]
    """How many at least, in whole batches; the load goes on at its rate while a fault that heals is pending or in place."""
    rate: Rate
    """Uploads a second; each begins when it is due, whether or not earlier ones were answered."""
    rejected: Share = 0.15
    """The share of uploads that must fail validation: without text, too long, or damaged; the smallest has five bytes."""
    large: Share = 0.05
    """The share of the other uploads that are large, about 340 KiB; they should pass validation."""
    retries: Annotated[int, Field(ge=0, le=100)] = 0
    """How often a client retries an upload, under the same key, after an unknown answer."""
    retry_after: Duration = 0.5
    """How long a client waits before a retry."""

    @field_validator("uploads")
    @classmethod
    def _whole_batches(cls, uploads: int, info: ValidationInfo) -> int:
        batch: int = info.data.get("batch", 1)
        return -(-uploads // batch) * batch


Patterns = str | Annotated[list[str], Field(min_length=1)]


class When(Model):
    """A message on a link: the fault acts once it is there, and nothing moves on its connection until the fault has acted.

    Messages are counted from the first acknowledged upload on. Either ``request`` or ``reply`` says which: a command, and
    what it is about, for example ``SET claim:{id}``, ``POST /v1/content``, ``OffsetCommit billing`` or ``Produce essays``;
    several are a list. ``*`` stands for anything, and ``{id}`` for one id: letters, digits, ``-``, ``_``, ``.`` and ``~``. Of
    Kafka, a group goes by its service and a topic by its name in the system file; a Produce for several topics is about its
    first.
    """

    request: Patterns | None = None
    """A request: the dependency has not got it yet."""
    reply: Patterns | None = None
    """The reply to such a request: the dependency has answered, and the service has not seen the answer."""
    on: str | None = None
    """The link, for example ``billing#1->redis``; left out, the link that the fault is on."""
    nth: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1
    """Which of the matching messages."""
    every: Annotated[int | None, Field(ge=1, le=1_000_000_000)] = None
    """In place of ``nth``: every Nth match, until the load ends. One that comes while the fault is still in place passes."""
    per_key: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    """Which of the messages with the same command and key counts; left out, all do. With ``2``, only each key's second message
    does, for example the one that settles what the first has claimed."""
    after: Annotated[int | None, Field(ge=1, le=10_000_000)] = None
    """How many uploads must have begun before a message counts; an upload that is sent again begins again."""
    follows: Annotated[int | None, Field(ge=1, le=1_000)] = None
    """The number of an earlier row of the schedule, from 1: only messages of the event at which its fault acted count, from
    then on, at whichever of the targets they are. A message is an event's if its key names it, its upload or its raw blob, or
    if it commits an offset behind it."""

    @model_validator(mode="after")
    def _one(self) -> When:
        if (self.request is None) == (self.reply is None):
            raise ValueError("write either {request: COMMAND, …} or {reply: COMMAND, …}")
        if self.every is not None and "nth" in self.model_fields_set:
            raise ValueError("write either nth or every")
        if any(not pattern.strip() for pattern in self.message[1]):
            raise ValueError("an empty pattern matches nothing; write a command, or * for any")
        if self.follows is not None and self.every is not None:
            raise ValueError("what follows acts once; write nth in place of every")
        return self

    @property
    def message(self) -> tuple[Literal["request", "reply"], tuple[str, ...]]:
        """Which way it goes, and the patterns."""
        side: Literal["request", "reply"] = "request" if self.request is not None else "reply"
        patterns = self.request if self.request is not None else self.reply
        return side, (patterns,) if isinstance(patterns, str) else tuple(patterns or ())


class FaultLine(Model):
    """One row of the schedule; all other keys are the fault's own parameters. It has ``at`` or ``when``, or both."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        use_attribute_docstrings=True,
        json_schema_extra={"anyOf": [{"required": ["at"]}, {"required": ["when"]}]},
    )

    fault: str
    """The fault's name, for example ``net.hang``; see `oneffect list faults`."""
    on: str | None = None
    """What to break, for example the link ``billing->redis``, the replica ``billing#1``, the topic ``orders``.

    A role stands for whatever a system has in it, so that the scenario fits every system: ``consumers->redis``,
    ``consumers#1``, ``front->services``, ``consumed``.
    """
    at: Moment | None = None
    """The earliest moment: time since the load's start, or share of the load.

    A fault also waits up to a minute for the first acknowledged upload. Faults keep their order and distances: if one
    has to wait for something to bite, the later ones wait too.
    """
    when: When | None = None
    """In place of ``at``: the message at which it acts, for example ``{reply: "SET *", on: "billing#1->redis", nth: 3}``.

    With ``at`` too, messages count from that moment on. If none comes within twenty seconds, or the stack has no taps, the
    fault acts by the clock, and the report says so: one row then fits services whose messages are not known in advance.

    If ``when`` names the link by the fault's own target (``on: billing``, and ``billing->redis`` here), the fault acts on each
    replica at one of that replica's own messages.
    """
    lasts: Annotated[Duration | None, Field(alias="for")] = None
    """How long the fault lasts, at least.

    If it has not bitten by then, or the system did too little work, it stays for up to a minute more.
    """

    @model_validator(mode="after")
    def _at_or_when(self) -> FaultLine:
        if self.at is None and self.when is None:
            raise ValueError("write at: MOMENT, or when: {request: COMMAND, on: LINK, nth: 1}")
        if (
            self.at is not None
            and self.when is not None
            and (self.when.every or self.when.after or self.when.follows)
        ):
            raise ValueError(
                "a row with at has one turn, from that moment on; write every, after or follows without at"
            )
        return self

    def parameters(self) -> dict[str, Any]:
        """The fault's own parameters, as written."""
        return dict(self.model_extra or {})


class AgainLine(Model):
    """A request to the system to do something again, made as the system file says."""

    reprocess: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How many acknowledged uploads with an outcome to reprocess, drawn from the seed, accepted and rejected in turn."""
    replay: Literal["all"] | Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Which dead letters to replay: ``all`` seen so far, or how many of them, drawn from the seed."""
    at: Moment
    """The earliest moment: time since the load's start, or share of the load.

    If too few uploads or dead letters are there by then, it waits until a minute brings no more."""

    @model_validator(mode="after")
    def _one(self) -> AgainLine:
        if (self.reprocess is None) == (self.replay is None):
            raise ValueError("write either {reprocess: NUMBER, at: …} or {replay: all, at: …}")
        return self

    @property
    def op(self) -> Literal["reprocess", "replay"]:
        """The operation's name in the history."""
        return "reprocess" if self.reprocess is not None else "replay"

    @property
    def count(self) -> int | None:
        """How many; None for all."""
        return self.replay if isinstance(self.replay, int) else self.reprocess


class Cover(Model):
    """What a run must have tried, or it is ``unknown``: a death or a lost answer at a certain point of a delivery."""

    cut: Literal["unclaimed", "claimed", "applied"] | None = None
    """A replica died with an event in hand: before a store had granted its claim, with the claim but without the effect, or
    with the effect and before its offset was passed."""
    again: Literal["same", "other"] | None = None
    """Where a ``cut`` delivery came again: at the same replica or at another; left out, either counts, and so does neither."""
    redis: Literal["kept", "away", "emptied"] | None = None
    """How the service found Redis then: as it was, without an answer, or emptied since; left out, all count."""
    lost: str | None = None
    """In place of ``cut``: a command whose answer a tap lost, for example ``OffsetCommit``."""
    consumer: Name | None = None
    """The service, for example ``billing``; left out, each one with effects."""
    least: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """How often, at least."""

    @model_validator(mode="after")
    def _one(self) -> Cover:
        if (self.cut is None) == (self.lost is None):
            raise ValueError("write either {cut: unclaimed | claimed | applied} or {lost: COMMAND}")
        if self.cut is None and (self.again is not None or self.redis is not None):
            raise ValueError("again and redis are about a delivery that was cut off; write cut, or leave them out")
        return self


class Expected(Model):
    """What to expect of a run: the verdict, and anomalies that must be found."""

    verdict: Literal["valid", "unknown", "invalid"]
    """The expected verdict; ``expect: valid`` is short for ``expect: {verdict: valid}``."""
    find: list[str] = []
    """Anomalies that must all be found, for example ``[lost]``; others may be found as well."""


def _expected(value: object) -> object:
    return {"verdict": value} if isinstance(value, str) else value


Expectation = Annotated[
    Expected,
    BeforeValidator(_expected, json_schema_input_type=Literal["valid", "unknown", "invalid"] | Expected),
]


class Scenario(Model):
    """A whole scenario file."""

    oneffect: Literal[1]
    """The version of this format: 1."""
    name: Name
    """The scenario's name in reports, for example ``redis-outage``."""
    summary: str = ""
    """What the scenario shows, in a sentence, for `oneffect list scenarios`."""
    system: str | None = None
    """Path of the system file, relative to this file's folder, for example ``../system.yaml``."""
    tags: list[str] = []
    """With ``[gate]``, `oneffect gate` runs the scenario. ``standard`` marks those of oneffect's own that fit every system."""
    needs: list[str] = []
    """What a system must have for the scenario to show what its name promises; a system that lacks it is refused.

    Names, roles or links, for example ``["consumers->redis"]`` or ``[dead_letters]``.
    """
    load: LoadShape
    """How many uploads to send, and how fast, for example ``{uploads: 120, rate: 15/s}``."""
    faults: list[FaultLine] = []
    """The schedule of faults, for example ``[{fault: net.hang, on: "billing->redis", at: 25%, for: 2s}]``."""
    again: list[AgainLine] = []
    """What to ask the system to do again, for example ``[{reprocess: 15, at: 60%}]``."""
    taps: Literal["all"] | None = None
    """With ``all``, every link whose protocol a tap understands (Redis, Kafka, HTTP, Postgres) has one, and what passes is
    recorded; left out, only links named by a ``when`` have."""
    covers: list[Cover] = []
    """What must have been tried, or the run is ``unknown``, as in ``[{cut: claimed, again: other}]``; needs ``taps: all``."""
    drain: Duration = 30.0
    """How long the system may take to finish its work after the load and the last heal; about a minute more while it moves."""
    expect: Annotated[Expectation, Field(json_schema_extra={"default": "valid"})] = Expected(verdict="valid")
    """What to expect of the system as it is."""
    variants: dict[Name, Expectation] = {}
    """What to expect of each variant of the system, for example ``{setnx_only: {verdict: invalid, find: [lost]}}``."""

    @model_validator(mode="after")
    def _followed(self) -> Scenario:
        for number, line in enumerate(self.faults, 1):
            row = line.when.follows if line.when is not None else None
            if row is None:
                continue
            first = self.faults[row - 1] if row < number else None
            if first is None or first.when is None or first.when.every is not None:
                raise ValueError(
                    f"faults: row {number} follows row {row}, which is no earlier row that acts at one message; rows are "
                    "counted from 1, and the first needs a `when` without `every`"
                )
        return self
