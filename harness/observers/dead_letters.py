"""Reads the dead-letter topic: what was set aside, by whom, from where and why."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import orjson

from harness.observers.set_aside import SetAside, set_aside
from harness.observers.topics import Reader
from harness.pointer import pick
from harness.stack import Fields, Record, RunNames
from harness.system import DeadLetters as Where


class DeadLetters:
    """Every dead letter; the final pass gives all of them again."""

    what = "dead_letters"

    def __init__(self, reader: Reader, where: Where, names: RunNames) -> None:
        self._reader = reader
        self._where = where
        self._names = names
        self.letters: list[Fields] = []
        self.set_aside: list[SetAside] = []

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Dead letters that became visible since the pass before; all of them if ``final``."""
        records = await self._reader.pass_to_end()
        new = [letter_fields(record, self._where, self._names) for record in records]
        self.letters += new
        self.set_aside += [set_aside(record, self._where, letter) for record, letter in zip(records, new, strict=True)]
        for letter in self.letters if final else new:
            yield letter


def letter_fields(record: Record, where: Where, names: RunNames) -> Fields:
    """One dead letter; fields it does not carry are left out.

    A service knows topics by the broker's names; the history knows them by the system file's.
    """
    try:
        value: object = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        value = None
    source = pick(value, where.source)
    fields: dict[str, object] = {
        "op": "dead_letter",
        "phase": "seen",
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "digest": hashlib.sha256(record.value or b"").hexdigest(),
        "source_topic": _plain(names, pick(source, "/topic")),
        "source_partition": pick(source, "/partition"),
        "source_offset": pick(source, "/offset"),
    }
    named = {"event_id": where.id, "consumer": where.consumer, "kind": where.kind}
    read = {name: pick(value, pointer) for name, pointer in named.items()}
    return fields | read | {"event_id": _plain_id(names, read["event_id"])}


def _plain(names: RunNames, topic: object) -> object:
    return names.plain(topic) or topic if isinstance(topic, str) else topic


def _plain_id(names: RunNames, event_id: object) -> object:
    """The id of a malformed record is its place, which begins with the topic."""
    if not isinstance(event_id, str):
        return event_id
    topic, colon, place = event_id.partition(":")
    return f"{names.plain(topic) or topic}{colon}{place}"
