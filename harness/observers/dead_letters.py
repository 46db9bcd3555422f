"""Reads the dead-letter topic: what was set aside, by whom, from where and why."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import AsyncIterator

import orjson

from harness.observers.base import seen_at
from harness.observers.identity import identity
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
        self._left: deque[Record] = deque()
        self.letters: list[Fields] = []
        self.set_aside: list[SetAside] = []

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Dead letters that became visible since the pass before; all of them if ``final``."""
        self._left.extend(await self._reader.pass_to_end())
        for letter in list(self.letters) if final else ():
            yield letter
        while self._left:
            letter = _seen(self._left[0], self._where, self._names)
            yield letter
            record = self._left.popleft()
            self.letters.append(letter)
            if "error" not in letter:
                self.set_aside.append(set_aside(record, self._where, letter))

    @property
    def made(self) -> Counter[object]:
        """How many dead letters each consumer has made."""
        return Counter(letter.get("consumer") for letter in self.letters)


def _seen(record: Record, where: Where, names: RunNames) -> Fields:
    """``letter_fields``, or, of a record that they cannot be had of, its place and why (``error``); never raises."""
    try:
        return letter_fields(record, where, names)
    except Exception as error:  # noqa: BLE001 - whatever one letter holds, the others are read
        return {**seen_at("dead_letter", record), "error": f"{type(error).__name__}: {error}"}


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
        **seen_at("dead_letter", record),
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
    return f"{names.plain(topic) or topic}{colon}{place}" if colon else identity(event_id)
