"""Reads the dead-letter topic: which record was set aside, by which consumer and why."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from harness.exact_json import text
from harness.model import Where as Beside
from harness.observers.base import seen_at
from harness.observers.identity import identity
from harness.observers.set_aside import SetAside, is_tombstone, set_aside, verbatim
from harness.observers.topics import Reader, Settled, settled_at_once
from harness.stack import MARK, Fields, Record, RunNames
from harness.system_events import DeadLetters as Where


@dataclass(frozen=True, slots=True)
class Known:
    """The event topics and the services, which a dead letter's headers refer to."""

    events: Collection[str] = ()
    services: Collection[str] = ()


class DeadLetters:
    """Observes dead letters; the final pass yields all of them again."""

    what = "dead_letters"

    def __init__(
        self, reader: Reader, where: Where, names: RunNames, known: Known, *, settled: Settled = settled_at_once
    ) -> None:
        self._reader = reader
        self._settled = settled
        self._where = where
        self._names = names
        self._known = known
        self._left: deque[Record] = deque()
        self.letters: list[Fields] = []
        self.set_aside: list[SetAside] = []

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Yield the dead letters that became visible since the last pass, or all of them if ``final``.

        The final pass raises StackError while a transaction hides some of them.
        """
        if final:
            await self._settled()
        self._left.extend(await self._reader.pass_to_end())
        for letter in list(self.letters) if final else ():
            yield letter
        while self._left:
            if is_tombstone(self._left[0], self._where):
                self._left.popleft()
                continue
            letter = _seen(self._left[0], self._where, self._names, self._known)
            yield letter
            record = self._left.popleft()
            self.letters.append(letter)
            if "error" not in letter:
                self.set_aside.append(set_aside(record, self._where, letter, self._names, self._known.events))

    @property
    def made(self) -> Counter[object]:
        """Consumer -> number of its dead letters."""
        return Counter(letter.get("consumer") for letter in self.letters)


def _seen(record: Record, where: Where, names: RunNames, known: Known) -> Fields:
    """Return ``letter_fields``, or the record's position and the ``error`` if extracting them fails; never raises."""
    try:
        return letter_fields(record, where, names, known)
    except Exception as error:  # noqa: BLE001 - no single letter may keep the others from being read
        return {**seen_at("dead_letter", record), "error": f"{type(error).__name__}: {error}"}


def letter_fields(record: Record, where: Where, names: RunNames, known: Known) -> Fields:
    """Return the fields of one dead letter; those that it does not carry are None.

    A service writes the broker's topic names and its group's name; the history has the system file's names. Raises
    ValueError if headers should name the source or the consumer but do not.
    """
    said = verbatim(record, where, names, known.events)
    consumer = said["consumer"]
    if isinstance(consumer, str):
        consumer = names.service(consumer) or consumer
    if isinstance(where.consumer, Beside) and consumer not in known.services:
        raise ValueError(f"{consumer} is neither a service nor a service's group; write its name: `consumer: NAME`")
    return {
        **seen_at("dead_letter", record),
        "marked": (dict(record.headers).get(MARK) or b"").decode("utf-8", "replace") or None,
        "digest": hashlib.sha256(record.value or b"").hexdigest(),
        "source_topic": _plain(names, said["topic"]),
        "source_partition": said["partition"],
        "source_offset": said["offset"],
        "event_id": _plain_id(names, said["event_id"]),
        "consumer": consumer,
        "kind": said["kind"],
    }


def _plain(names: RunNames, topic: object) -> object:
    return names.plain(topic) or topic if isinstance(topic, str) else topic


def _plain_id(names: RunNames, event_id: object) -> object:
    """Normalize an event id; a malformed record's id is TOPIC:PARTITION:OFFSET, with the broker's topic name."""
    if not isinstance(event_id, str):
        return text(event_id)
    topic, colon, place = event_id.partition(":")
    return f"{names.plain(topic) or topic}{colon}{place}" if colon else identity(event_id)
