"""What a system file says of a service's effects: where they are, and how each is joined with its event."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from harness.model import Model, Name, Pointer, Where


class Sql(Model):
    """A query with the columns ``id``, ``effect`` and, to compare contents, ``carries``.

    ``url`` is ``sqlite:///{data}/FILE``, or ``postgresql://oneffect@{postgres}/{database}`` for the service's database.
    """

    url: str = Field(repr=False)
    """Where the effects are, for example ``sqlite:///{data}/db``."""
    query: str
    """The query, sent as written, for example ``SELECT event_id AS id, entry AS effect, digest AS carries FROM ledger``."""


class OutputTopic(Model):
    """A topic that the service writes, read_committed: each record is one effect, named by its place."""

    name: Name
    """The topic, for example ``billed``."""
    id: Pointer | Where
    """Where a record names its event, or holds the key at ``by``, for example ``/event_id`` or ``{key: true}``."""
    carries: Pointer | Where | None = None
    """Where it holds the digest of the data that was applied, to compare contents; default: nowhere."""
    only: dict[Pointer, str | int | bool] = {}
    """Values that a record must have to be an effect, for example ``{/type: order.billed}``; default: every record is."""


By = Pointer | Where | Annotated[list[Pointer], Field(min_length=1)]


class Total(Model):
    """Sums that the service updates in place, such as balances: each must grow by what its events add, once each."""

    sql: Sql
    """A query with the columns ``id``, the sum's key, and ``total``, for example ``SELECT account AS id, cents AS total …``."""
    adds: Pointer
    """Where an event holds the number that it adds, for example ``/data/amount``."""
    by: By
    """Where an event holds the key of the sum that it is added to, for example ``/data/account``."""


class Effects(Model):
    """A service's permanent changes: effects that can be counted, sums that are updated in place, or both."""

    applies: list[str]
    """Event types each of which must have exactly one effect, for example ``[order.placed]``."""
    by: By | None = None
    """Where an event holds the business key that its effects name as ``id``, for example ``/data/order_id``.

    Default: they name the event's id. Several pointers are one key together; ``id`` is then a JSON array of their values.
    """
    sql: Sql | None = None
    """How to read the effects in a database, past the proxies and in a read-only transaction."""
    topic: OutputTopic | None = None
    """The topic that the effects are records of, for example ``{name: billed, id: /event_id}``."""

    total: Total | None = None
    """What the events are added up to in place, for example a balance by account."""

    @model_validator(mode="after")
    def _somewhere(self) -> Effects:
        if self.sql is not None and self.topic is not None:
            message = "effects are in one place: write either sql: or topic:"
            raise ValueError(message)
        if not self.countable and self.total is None:
            message = "say where the effects are: write sql:, topic: or total:"
            raise ValueError(message)
        if not self.countable and self.by is not None:
            message = "by: it joins effects with events, and there are none to count; a total has a `by` of its own"
            raise ValueError(message)
        return self

    @property
    def countable(self) -> bool:
        """Whether each event has an effect of its own."""
        return self.sql is not None or self.topic is not None

    @property
    def urls(self) -> list[str]:
        """The databases that are read."""
        return [read.sql.url for read in (self, self.total) if read is not None and read.sql is not None]

    def read_at(self, url: str) -> Effects:
        """Return a copy whose databases are all at ``url``."""
        sql, total = self.sql, self.total
        if sql is not None:
            sql = sql.model_copy(update={"url": url})
        if total is not None:
            total = total.model_copy(update={"sql": total.sql.model_copy(update={"url": url})})
        return self.model_copy(update={"sql": sql, "total": total})


def said(by: By) -> str:
    """Return where a key is, as text for messages."""
    if isinstance(by, list):
        return ", ".join(by)
    if isinstance(by, Where):
        return "the record's key" if by.key else f"header {by.header}"
    return by
