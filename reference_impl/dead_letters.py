"""``python -m reference_impl.dead_letters``: list dead letters, and have their events processed again.

A replay is one transaction in the consumer's database: it deletes the inbox row that closed the event and puts the
record into the outbox, from where the running service's relay sends it to its original topic. Other consumers of that
topic that have applied the event skip it, but only while they remember it: an event that is as old as RETENTION_HOURS,
less an hour for its way to them, is refused.
"""

import argparse
import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import PositiveInt, ValidationError
from sqlalchemy import Connection, delete, select
from sqlalchemy.exc import DBAPIError

from reference_impl.common_core import event_ids
from reference_impl.common_core.enums import DeadLetterKind
from reference_impl.common_core.events import EventEnvelope
from reference_impl.service_libs.clock import SystemClock
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.dead_letter import Letter
from reference_impl.service_libs.inbox import APPLIED, INBOX
from reference_impl.service_libs.kafka_internals import read_leniently
from reference_impl.service_libs.logging import brief
from reference_impl.service_libs.outbox import Outbox
from reference_impl.service_libs.settings import DatabaseSettings, load

_LONGEST_SECONDS = 60.0
_RECORD_SECONDS = 10.0
_DELIVERY = timedelta(hours=1)
"""How long the copy may be on its way before another consumer, which must still remember the event, receives it."""

_EXAMPLES = """examples:
  python -m reference_impl.dead_letters list --kafka 127.0.0.1:9092
  python -m reference_impl.dead_letters list --kafka 127.0.0.1:9092 --json | jq .reason
  DATABASE_URL=sqlite:////var/lib/spell_checker/db RETENTION_HOURS=336 \\
      python -m reference_impl.dead_letters replay \\
      --kafka 127.0.0.1:9092 --consumer spell_checker --event 7f3a9c1e-...

exit status: 0 done, 1 failed, possibly partway, 2 wrong usage, 3 refused: nothing was done
"""


REPLAYED = frozenset({DeadLetterKind.POISON, DeadLetterKind.UNKNOWN_VERSION})
"""Kinds of dead letters whose event may succeed when processed again."""


class ReplaySettings(DatabaseSettings):
    """Without a default: one that differs from the services' would let through what they have forgotten."""

    retention_hours: PositiveInt


class NotReplayed(Exception):
    """An event stays set aside; the exception's text says why."""


async def letters(kafka: str, topic: str) -> list[Letter]:
    """Return every dead letter there is now, oldest first within a partition; skip records in another format."""
    dead: list[Letter] = []
    async with _reader(kafka, topic) as reader:
        ends = await reader.end_offsets(reader.assignment())
        while any([await reader.position(partition) < end for partition, end in ends.items()]):
            for records in (await reader.getmany(timeout_ms=500)).values():
                dead.extend(letter for record in records if (letter := _letter(record)) is not None)
    return dead


@dataclass(frozen=True)
class Record:
    """The record that is sent again."""

    key: bytes | None
    value: bytes


async def whole_record(kafka: str, letter: Letter) -> Record:
    """Return the original record, from the letter or, if the letter was cut, from its topic. Raises ``NotReplayed``."""
    key = None if letter.key_base64 is None else base64.b64decode(letter.key_base64)
    payload = base64.b64decode(letter.payload_base64)
    sizes = (letter.key_bytes, letter.payload_bytes)
    if (_size(key), len(payload)) == sizes:
        return Record(key, payload)
    source = letter.source
    async with _reader(kafka) as reader:
        partition = TopicPartition(source.topic, source.partition)
        reader.assign([partition])
        reader.seek(partition, source.offset)
        try:
            async with asyncio.timeout(_RECORD_SECONDS):
                record = await reader.getone(partition)
        except TimeoutError:
            record = None
    if record is None or record.offset != source.offset or (_size(record.key), len(record.value or b"")) != sizes:
        raise NotReplayed(
            f"the letter's key or payload was cut, and its record is no longer at {source.topic}, partition "
            f"{source.partition}, offset {source.offset}"
        )
    return Record(record.key, bytes(record.value))


def _size(key: bytes | None) -> int | None:
    return None if key is None else len(key)


def chosen(candidates: list[Letter], consumer: str, event_id: str) -> Letter:
    """Choose the newest letter that can be replayed. Raises ``NotReplayed``."""
    matching = [letter for letter in candidates if (letter.consumer, letter.event_id) == (consumer, event_id)]
    for letter in reversed(matching):
        if letter.kind in REPLAYED:
            return letter
    match matching[-1].kind if matching else None:
        case None:
            raise NotReplayed(f"no dead letter of {consumer} about event {event_id}")
        case DeadLetterKind.CONFLICT:
            raise NotReplayed("a conflict cannot be replayed: another payload was already applied under the same id")
        case _:
            raise NotReplayed(
                "a malformed record cannot be replayed: its identity is its position, so a copy would be another "
                "malformed record; have its producer send a well-formed one"
            )


def check_remembered(record: Record, hours: int) -> None:
    """Refuse an event that consumers, who forget after ``hours``, may have forgotten when it comes. Raises ``NotReplayed``."""
    stated = EventEnvelope[dict[str, Any]].model_validate_json(record.value).event_timestamp
    if stated < SystemClock().now() - timedelta(hours=hours) + _DELIVERY:
        raise NotReplayed(
            f"the event is of {stated:%Y-%m-%d %H:%M}, RETENTION_HOURS ({hours}) ago, less an hour for its way, or "
            "longer: other consumers that applied it may have forgotten it, and would apply it again; "
            "--even-if-forgotten replays it all the same"
        )


async def replay(database: Database, letter: Letter, record: Record) -> None:
    """Reopen the event and send its record once more, in one transaction. Raises ``NotReplayed``.

    A record without a key is sent with its event id as the key. Headers are not sent again.
    """
    try:
        key = letter.event_id if record.key is None else record.key.decode()
    except UnicodeDecodeError:
        raise NotReplayed("the record's key is not UTF-8, and the outbox stores keys as text") from None
    digest = event_ids.digest(orjson.loads(record.value)["data"])
    outbox = Outbox(database)
    same = (INBOX.c.consumer == letter.consumer, INBOX.c.event_id == letter.event_id)
    row = select(INBOX.c.digest, INBOX.c.closed_as).where(*same).with_for_update()

    def reopen(transaction: Connection) -> None:
        closed = transaction.execute(row).one_or_none()
        if closed is None:
            raise NotReplayed(
                "the event is not set aside now: it was replayed already, or this is another consumer's database"
            )
        if closed.closed_as == APPLIED:
            raise NotReplayed("the event has been applied since")
        if (closed.digest, closed.closed_as) != (digest, letter.kind):
            raise NotReplayed("the event was set aside with another payload than this letter's payload")
        transaction.execute(delete(INBOX).where(*same))
        outbox.add(transaction, letter.source.topic, key, record.value)

    await database.write(reopen)


def _letter(record: ConsumerRecord) -> Letter | None:
    try:
        return Letter.model_validate_json(record.value or b"")
    except ValidationError:
        return None


@asynccontextmanager
async def _reader(kafka: str, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    read_leniently()
    client = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    try:
        await client.start()
        yield client
    finally:
        await client.stop()


async def _list(arguments: argparse.Namespace) -> None:
    for letter in await letters(arguments.kafka, arguments.topic):
        source = letter.source
        place = f"{source.topic}:{source.partition}:{source.offset}"
        line = (
            f"{letter.kind}  {letter.consumer}  {letter.event_id}  from {place}  {letter.attempts}x  {letter.reason}"
        )
        sys.stdout.write(f"{letter.model_dump_json() if arguments.json else line}\n")


async def _replay(arguments: argparse.Namespace) -> None:
    letter = chosen(await letters(arguments.kafka, arguments.topic), arguments.consumer, arguments.event)
    record = await whole_record(arguments.kafka, letter)
    if not arguments.even_if_forgotten:
        check_remembered(record, arguments.settings.retention_hours)
    database = Database(arguments.settings.database_url, [])
    try:
        await replay(database, letter, record)
    finally:
        await database.stop()
    sys.stdout.write(f"{letter.consumer} will receive event {letter.event_id} again from {letter.source.topic}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m reference_impl.dead_letters",
        description="List the events that the reference's consumers set aside, and have them processed again.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shown = commands.add_parser("list", help="print every dead letter, one a line")
    shown.set_defaults(run=_list)
    shown.add_argument("--json", action="store_true", help="one JSON object a line, with key and payload")
    again = commands.add_parser(
        "replay",
        help="have a poison or unknown-version event processed again; needs DATABASE_URL and RETENTION_HOURS as the "
        "services have them",
    )
    again.set_defaults(run=_replay)
    again.add_argument("--consumer", required=True, metavar="NAME", help="the consumer that set it aside")
    again.add_argument("--event", required=True, metavar="ID", help="the event's id")
    again.add_argument(
        "--even-if-forgotten",
        action="store_true",
        help="also an event as old as RETENTION_HOURS, less an hour, which need not be set then: "
        "every other consumer that applied it and forgot it applies it a second time",
    )
    for command in (shown, again):
        command.add_argument("--kafka", required=True, metavar="HOST:PORT", help="a broker")
        command.add_argument(
            "--topic", default="dead-letters", help="topic of the dead letters (default: %(default)s)"
        )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parsed = _parser().parse_args(arguments)
    if parsed.run is _replay:
        parsed.settings = load(DatabaseSettings if parsed.even_if_forgotten else ReplaySettings, "replay")
    try:
        asyncio.run(asyncio.wait_for(parsed.run(parsed), _LONGEST_SECONDS))
    except (NotReplayed, KafkaError, DBAPIError, OSError, ValueError) as error:
        sys.stderr.write(f"{error if isinstance(error, NotReplayed) else brief(error)}\n")
        return 3 if isinstance(error, NotReplayed) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
