"""``python -m reference_impl.dead_letters``: what was set aside, and having a poison event processed again.

A replay is one transaction in the consumer's database: the row that closed the event goes, and its record goes into
the outbox, from where the running service's relay sends it to the topic it came from. Other consumers of that topic
have closed the event and skip it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import SystemRandom

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import BaseModel, ValidationError
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError

from reference_impl.common_core import event_ids
from reference_impl.common_core.enums import DeadLetterKind
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.inbox import APPLIED, INBOX
from reference_impl.service_libs.kafka_internals import read_leniently
from reference_impl.service_libs.outbox import Outbox

_LONGEST_SECONDS = 60.0
_RECORD_SECONDS = 10.0

_EXAMPLES = """examples:
  python -m reference_impl.dead_letters list --kafka 127.0.0.1:9092
  python -m reference_impl.dead_letters list --kafka 127.0.0.1:9092 --json | jq .reason
  DATABASE_URL=sqlite:////var/lib/spell_checker/db python -m reference_impl.dead_letters replay \\
      --kafka 127.0.0.1:9092 --consumer spell_checker --event 7f3a9c1e-...

exit status: 0 done, 1 failed, and nobody can say how far it came, 2 refused or wrong usage: nothing was done
"""


class NotReplayed(Exception):
    """Why an event stays set aside."""


class Source(BaseModel):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int


class Letter(BaseModel):
    """A dead letter, as far as it is needed here; ``service_libs.dead_letter`` says what it holds."""

    event_id: str
    consumer: str
    source: Source
    kind: DeadLetterKind
    reason: str
    attempts: int
    key_base64: str | None
    payload_bytes: int
    payload_base64: str


async def letters(kafka: str, topic: str) -> list[Letter]:
    """Every dead letter there is now, oldest first within a partition; records of another form are passed over."""
    found: list[Letter] = []
    async with _reader(kafka, topic) as reader:
        ends = await reader.end_offsets(reader.assignment())
        while any([await reader.position(partition) < end for partition, end in ends.items()]):
            for records in (await reader.getmany(timeout_ms=500)).values():
                found.extend(letter for record in records if (letter := _letter(record)) is not None)
    return found


async def whole_payload(kafka: str, letter: Letter) -> bytes:
    """The record's value: out of the letter, or from where it came if that was cut. Raises ``NotReplayed``."""
    payload = base64.b64decode(letter.payload_base64)
    if len(payload) == letter.payload_bytes:
        return payload
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
    if record is None or record.offset != source.offset or len(record.value or b"") != letter.payload_bytes:
        raise NotReplayed(
            f"the letter's payload was cut, and its record is no longer at {source.topic}, partition "
            f"{source.partition}, offset {source.offset}"
        )
    return bytes(record.value)


def chosen(found: list[Letter], consumer: str, event_id: str) -> Letter:
    """The newest letter that can be replayed. Raises ``NotReplayed``."""
    about = [letter for letter in found if (letter.consumer, letter.event_id) == (consumer, event_id)]
    for letter in reversed(about):
        if letter.kind is DeadLetterKind.POISON:
            return letter
    match about[-1].kind if about else None:
        case None:
            raise NotReplayed(f"no dead letter of {consumer} about event {event_id}")
        case DeadLetterKind.CONFLICT:
            raise NotReplayed("a conflict cannot be replayed: another payload under the same id was applied already")
        case _:
            raise NotReplayed(
                "a malformed record cannot be replayed: its identity is its position, and sent again it is another "
                "record, as malformed as before; have its producer send a well-formed one"
            )


async def replay(database: Database, letter: Letter, payload: bytes) -> None:
    """Open the event again and send its record once more, in one transaction. Raises ``NotReplayed``.

    A record without a key is sent under its event's id. Headers are not sent again.
    """
    try:
        key = base64.b64decode(letter.key_base64).decode() if letter.key_base64 is not None else letter.event_id
    except UnicodeDecodeError:
        raise NotReplayed("its key is no UTF-8, and the outbox keeps keys as text") from None
    digest = event_ids.digest(orjson.loads(payload)["data"])
    outbox = Outbox(database)
    async with database.transaction() as transaction:
        same = (INBOX.c.consumer == letter.consumer, INBOX.c.event_id == letter.event_id)
        row = select(INBOX.c.digest, INBOX.c.closed_as).where(*same).with_for_update()
        closed = (await transaction.execute(row)).one_or_none()
        if closed is None:
            raise NotReplayed(
                "the event is not set aside now: it was replayed already, or this is another's database"
            )
        if closed.closed_as == APPLIED:
            raise NotReplayed("the event has been applied since")
        if (closed.digest, closed.closed_as) != (digest, letter.kind):
            raise NotReplayed("the event was set aside with another payload than this letter's")
        await transaction.execute(delete(INBOX).where(*same))
        await outbox.add(transaction, letter.source.topic, key, payload)


def _letter(record: ConsumerRecord) -> Letter | None:
    try:
        return Letter.model_validate_json(record.value or b"")
    except ValidationError:
        return None


@asynccontextmanager
async def _reader(kafka: str, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    client = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    try:
        await client.start()
        read_leniently(client)
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
    payload = await whole_payload(arguments.kafka, letter)
    database = Database(os.environ["DATABASE_URL"], [], SystemRandom())
    try:
        await replay(database, letter, payload)
    finally:
        await database.stop()
    sys.stdout.write(f"{letter.consumer} gets event {letter.event_id} again from {letter.source.topic}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m reference_impl.dead_letters",
        description="What the reference's consumers set aside, and having a poison event processed again.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shown = commands.add_parser("list", help="print every dead letter, one a line")
    shown.set_defaults(run=_list)
    shown.add_argument("--json", action="store_true", help="one JSON object a line, with key and payload")
    again = commands.add_parser("replay", help="have a poison event processed again; needs DATABASE_URL")
    again.set_defaults(run=_replay)
    again.add_argument("--consumer", required=True, metavar="NAME", help="the consumer that set it aside")
    again.add_argument("--event", required=True, metavar="ID", help="the event's id")
    for command in (shown, again):
        command.add_argument("--kafka", required=True, metavar="HOST:PORT", help="a broker")
        command.add_argument("--topic", default="dead-letters", help="where the letters are (default: %(default)s)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit status."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.run is _replay and "DATABASE_URL" not in os.environ:
        parser.error("set DATABASE_URL to the consumer's database")

    async def bounded() -> None:
        async with asyncio.timeout(_LONGEST_SECONDS):
            await parsed.run(parsed)

    try:
        asyncio.run(bounded())
    except (NotReplayed, KafkaError, DBAPIError, OSError, ValueError) as error:
        sys.stderr.write(f"{error if isinstance(error, NotReplayed) else repr(error)}\n")
        return 2 if isinstance(error, NotReplayed) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
