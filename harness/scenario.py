"""The scenario file: a load, a schedule of faults, and the verdicts expected."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from harness.system import Model, Name
from harness.units import Duration, Moment, Rate, Share


class LoadShape(Model):
    """How many operations, how fast, and of which kinds."""

    batch: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Uploads that make a batch, where the front door is told of batches."""
    uploads: Annotated[int, Field(ge=1, le=10_000_000)]
    """How many, at least, in whole batches; the load goes on at its rate while a fault that heals is to come or in place."""
    rate: Rate
    """Uploads a second; each begins when it is due, whether or not those before it were answered."""
    rejected: Share = 0.15
    """The share of uploads that must fail validation: no text, too long, damaged; the smallest has five bytes."""
    large: Share = 0.05
    """The share of the others that are of about 340 KiB; they should pass."""
    retries: Annotated[int, Field(ge=0, le=100)] = 0
    """How often a client sends an upload again, under the same key, after an unknown answer."""
    retry_after: Duration = 0.5
    """How long a client waits after an unknown answer before it sends the upload again."""

    @field_validator("uploads")
    @classmethod
    def _whole_batches(cls, uploads: int, info: ValidationInfo) -> int:
        batch: int = info.data.get("batch", 1)
        return -(-uploads // batch) * batch


class FaultLine(Model):
    """One row of the schedule; what is not named here are the fault's own parameters."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    fault: str
    """Its name, for example ``net.hang``: `oneffect list faults`."""
    on: str | None = None
    """What is broken, for example the link ``billing->redis``, the replica ``billing#1``, the topic ``orders``."""
    at: Moment
    """Time since the load's start, or share of the load, at the earliest.

    No fault comes before the first acknowledged upload, unless that takes twenty seconds more. Faults keep the order and
    the distances of their moments: where one waits for something to meet, the later ones wait.
    """
    lasts: Annotated[Duration | None, Field(alias="for")] = None
    """How long, at least.

    A fault that nothing has met yet, or under which too little was done, stays for up to twenty seconds more.
    """

    def parameters(self) -> dict[str, Any]:
        """The fault's own parameters, as written."""
        return dict(self.model_extra or {})


class AgainLine(Model):
    """Something that the system is asked to do again at a moment, as its file says how."""

    reprocess: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """So many acknowledged uploads whose outcome was seen, drawn from the seed, of both kinds by turns."""
    replay: Literal["all"] | Annotated[int, Field(ge=1, le=100_000)] | None = None
    """The dead letters seen so far, or so many of them, drawn from the seed."""
    at: Moment
    """Time since the load's start, or share of the load, at the earliest.

    What is not there yet to be asked about is waited for until twenty seconds bring no more of it."""

    @model_validator(mode="after")
    def _one(self) -> AgainLine:
        if (self.reprocess is None) == (self.replay is None):
            message = "write either {reprocess: NUMBER, at: …} or {replay: all, at: …}"
            raise ValueError(message)
        return self

    @property
    def op(self) -> Literal["reprocess", "replay"]:
        """What the history calls it."""
        return "reprocess" if self.reprocess is not None else "replay"

    @property
    def count(self) -> int | None:
        """How many; None: all there are."""
        return self.replay if isinstance(self.replay, int) else self.reprocess


class Expected(Model):
    """What a run must come out as: the verdict, and anomalies that must be among those found."""

    verdict: Literal["valid", "unknown", "invalid"]
    """The verdict itself; ``expect: valid`` is short for ``expect: {verdict: valid}``."""
    find: list[str] = []
    """Anomalies that must all be found, for example ``[lost]``; others may be."""


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
    """What the scenario is called in reports, for example ``redis-outage``."""
    summary: str = ""
    """What it shows, in a sentence, for `oneffect list scenarios`."""
    system: str | None = None
    """Path of the system file, from this file's folder, for example ``../system.yaml``."""
    tags: list[str] = []
    """``[gate]``: `oneffect gate` runs it."""
    load: LoadShape
    """How much work gets in, for example ``{uploads: 120, rate: 15/s}``."""
    faults: list[FaultLine] = []
    """The schedule, for example ``[{fault: net.hang, on: "billing->redis", at: 25%, for: 2s}]``."""
    again: list[AgainLine] = []
    """What the system is asked to do again, for example ``[{reprocess: 15, at: 60%}]``."""
    drain: Duration = 30.0
    """How long the system may take, after the load and the last heal, to finish all it was given."""
    expect: Annotated[Expectation, Field(json_schema_extra={"default": "valid"})] = Expected(verdict="valid")
    """What a run of the system as it is must come out as."""
    variants: dict[Name, Expectation] = {}
    """What each variant of the system must come out as, for example ``{setnx_only: {verdict: invalid, find: [lost]}}``."""
