"""What a system file says of a service's effects: where they are, and how each is joined with its event."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints, model_validator

from harness.coding import Decode
from harness.model import By, Command, Model, Name, Pointer, Pointers, Where

FORMS: Final = ("sql", "topic", "command", "redis", "http", "files")
"""The fields that say where effects are, of which a file gives one at most; see harness/observers/forms.py."""


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
    id: By
    """Where a record names its event, or holds the key at ``by``, for example ``/event_id`` or ``{key: true}``."""
    carries: Pointer | Where | None = None
    """Where it holds the digest of the data that was applied, to compare contents; default: nowhere."""
    only: dict[Pointer, str | int | bool] = {}
    """Values that a record must have to be an effect, for example ``{/type: order.billed}``; default: every record is."""
    decode: Decode | None = None
    """How to decode its records' values; default: they are JSON."""


class RedisKeys(Model):
    """Keys of a Redis. One effect is a string, a hash, a field of a hash, a member of a set, a list or a stream.

    Its id is at ``{id}`` in its key, at the pointer ``id``, or the whole of it: the field, the member or the string.
    """

    keys: Annotated[str, Field(min_length=1)]
    """The keys, with ``*`` for any text and ``{id}`` for the id, for example ``bill:{run}:{id}``."""
    id: Pointers | None = None
    """Where what is in a key names its event, for example ``/event_id``; default: the key does, or all that is in it."""
    carries: Pointer | None = None
    """Where it holds the digest of the data that was applied, to compare contents; default: nowhere."""
    fields: bool = False
    """Whether each field of a hash is an effect; default: the hash is one."""
    on: Name | None = None
    """The dependency; default: the only one of kind redis."""
    database: Annotated[int, Field(ge=0)] = 0
    """The number of its database."""

    @model_validator(mode="after")
    def _one_id(self) -> RedisKeys:
        if "{id}" in self.keys and self.id is not None:
            raise ValueError("the id is in one place: write either {id} in keys, or id:")
        if self.keys.count("{id}") > 1:
            raise ValueError("keys: {id} stands there twice; write * for one of them")
        return self


class HttpList(Model):
    """A JSON list that a GET answers with, all of it at once: each element is an effect, or a sum."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://"), Field(title="URL")] = Field(repr=False)
    """The URL, past the proxies, for example ``http://{billing}/bills``; 200 is its only good answer."""
    list: Pointer | None = None
    """Where the list is in the answer, for example ``/bills``; default: the answer is the list."""
    id: Pointers
    """Where an element names its event, or holds the key at ``by``, for example ``/event_id``."""
    effect: Pointer | None = None
    """Where it holds its own name, such as its number, for example ``/number``; default: the event's id."""
    carries: Pointer | None = None
    """Where it holds the digest of the data that was applied, to compare contents; default: nowhere."""
    total: Pointer = "/total"
    """Where an element of a list of sums holds the sum."""
    count: Pointer | None = None
    """Where the answer says how many elements there are in all, for example ``/total``; the list must have as many."""


class Files(Model):
    """Files in a folder, each of which is an effect, named by its path there.

    A file whose name begins with a dot is none, unless ``names`` says so.
    """

    folder: Annotated[str, Field(min_length=1)]
    """The folder, for example ``{data}/bills``; it must be there once the service is ready."""
    names: Annotated[str, StringConstraints(pattern=r"^[^/]+(/[^/]+)*$")] = "*"
    """The files, with ``*`` for any text but a slash and ``{id}`` for the id, for example ``{id}.*.pdf`` or ``*/*.json``."""
    id: Pointers | None = None
    """Where a file of JSON names its event, for example ``/event_id``; default: its name does."""
    carries: Pointer | None = None
    """Where it holds the digest of the data that was applied, to compare contents; default: nowhere."""

    @model_validator(mode="after")
    def _one_id(self) -> Files:
        if (self.names.count("{id}") == 1) == (self.id is not None):
            raise ValueError("the id is in one place: write either {id} in names, once, or id:")
        return self


class Total(Model):
    """Sums that the service updates in place, such as balances: each must grow by what its events add, once each."""

    sql: Sql | None = None
    """A query with the columns ``id``, the sum's key, and ``total``, for example ``SELECT account AS id, cents AS total …``."""
    command: Command | None = Field(default=None, repr=False)
    """A program that prints one JSON object a line for each sum, with ``id`` and ``total``."""
    redis: RedisKeys | None = None
    """Keys that are sums (``{keys: "balance:{id}"}``), or a hash whose fields are (``{keys: balances, fields: true}``)."""
    http: HttpList | None = None
    """A list of sums, for example ``{url: "http://{billing}/balances", id: /account, total: /cents}``."""
    adds: Pointer
    """Where an event holds the number that it adds, for example ``/data/amount``."""
    by: By
    """Where an event holds the key of the sum that it is added to, for example ``/data/account``."""

    @model_validator(mode="after")
    def _somewhere(self) -> Total:
        if len(forms(self)) != 1:
            raise ValueError(f"a total is in one place: write one of {written(self)}")
        if self.redis is not None and ("{id}" in self.redis.keys) == self.redis.fields:
            raise ValueError(
                "redis: write {id} in keys if each sum is a key, or fields: true if each is the field of a hash"
            )
        return self


class Effects(Model):
    """A service's permanent changes: effects that can be counted, sums that are updated in place, or both."""

    applies: list[str]
    """Event types each of which must have exactly one effect, for example ``[order.placed]``."""
    by: By | None = None
    """Where an event holds the business key that its effects name as ``id``, for example ``/data/order_id``.

    Default: they name the event's id. Several pointers are one key together; effects name it as a JSON array of their values,
    or have several pointers at ``id``, too.
    """
    sql: Sql | None = None
    """How to read the effects in a database, past the proxies and in a read-only transaction."""
    topic: OutputTopic | None = None
    """The topic that the effects are records of, for example ``{name: billed, id: /event_id}``."""
    command: Command | None = Field(default=None, repr=False)
    """A program that prints one JSON object a line for each effect, with ``id``, ``effect`` and ``carries``.

    It runs in the system file's folder, without a shell, in the service's environment with addresses past the proxies.
    """
    redis: RedisKeys | None = None
    """The keys of a Redis that are effects, or hold them, for example ``{keys: "bills:{run}", id: /event_id}``."""
    http: HttpList | None = None
    """A list that a service answers with, for example ``{url: "http://{billing}/bills", id: /event_id, effect: /number}``."""
    files: Files | None = None
    """The folder whose files are effects, for example ``{folder: "{data}/bills", names: "*.json", id: /event_id}``."""

    total: Total | None = None
    """What the events are added up to in place, for example a balance by account."""

    @model_validator(mode="after")
    def _somewhere(self) -> Effects:
        if len(given := forms(self)) > 1:
            raise ValueError(f"effects are in one place: write either {' or '.join(f'{name}:' for name in given)}")
        if not self.countable and self.total is None:
            raise ValueError(f"say where the effects are: write {written(self)} or total:")
        if not self.countable and self.by is not None:
            raise ValueError(
                "by: it joins effects with events, and there are none to count; a total has a `by` of its own"
            )
        return self

    @property
    def countable(self) -> bool:
        """Whether each event has an effect of its own."""
        return bool(forms(self))

    @property
    def reads(self) -> list[Effects | Total]:
        """What is read: the effects, if they can be counted, and the total, if there is one."""
        return [read for read in (self, self.total) if read is not None and forms(read)]

    @property
    def apart(self) -> bool:
        """Whether effects are counted in another store than the total is kept in, as far as the file says."""
        if not self.countable or self.total is None:
            return False
        own, total = forms(self), forms(self.total)
        if own.keys() != total.keys():
            return bool(own)
        return any(_store(own[name]) != _store(total[name]) for name in own)

    @property
    def urls(self) -> list[str]:
        """The databases and lists that are read."""
        return [place.url for read in self.reads for place in (read.sql, read.http) if place is not None]

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield the texts with placeholders, each with its field: ``total.sql.url``."""
        for read in self.reads:
            prefix = "total." if isinstance(read, Total) else ""
            if read.sql is not None:
                yield f"{prefix}sql.url", read.sql.url
            if read.command is not None:
                yield f"{prefix}command", read.command
            if read.redis is not None:
                yield f"{prefix}redis.keys", read.redis.keys.replace("{id}", "*")
            if read.http is not None:
                yield f"{prefix}http.url", read.http.url
        if self.files is not None:
            yield "files.folder", self.files.folder

    def read_at(self, url: str) -> Effects:
        """Return a copy whose databases, or whose lists, are all at ``url``."""
        total = self.total
        return self.model_copy(
            update={**_moved(self, url), "total": total and total.model_copy(update=_moved(total, url))}
        )


class Returned(Effects):
    """Effects that a test's function returns, each a mapping with the columns of a query; not for system files."""

    call: Callable[[], Iterable[Any]] = Field(exclude=True, repr=False)

    @property
    def countable(self) -> bool:
        """True: each event has an effect of its own."""
        return True


def _store(described: object) -> tuple[object, ...]:
    """Return what tells a store from others of its kind; two programs, or two lists of services, count as one store."""
    if isinstance(described, Sql):
        return (described.url,)
    return (described.on, described.database) if isinstance(described, RedisKeys) else ()


def _moved(read: Effects | Total, url: str) -> dict[str, object]:
    name = "http" if re.match("https?://", url) else "sql"
    place: Sql | HttpList | None = getattr(read, name)
    return {name: place.model_copy(update={"url": url})} if place is not None else {}


def forms(read: Effects | Total) -> dict[str, object]:
    """Return the fields that say where effects or sums are, and what each says; a valid file gives one at most."""
    return {name: said for name in FORMS if (said := getattr(read, name, None)) is not None}


def written(read: Effects | Total) -> str:
    """Return the fields of which one says where effects or sums are, as text for messages."""
    return ", ".join(f"{name}:" for name in FORMS if name in type(read).model_fields)
