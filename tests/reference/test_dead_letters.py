from __future__ import annotations

import asyncio
import base64
import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from reference_impl import dead_letters
from reference_impl.common_core.events import UPLOAD_OUTCOMES, EssayContentProvisionedV1
from reference_impl.dead_letters import NotReplayed, Record, check_remembered, chosen, main, replay, whole_record
from reference_impl.service_libs import ledger
from reference_impl.service_libs.clock import SystemClock
from reference_impl.service_libs.dead_letter import Letter
from reference_impl.service_libs.idempotency import idempotent_consumer
from reference_impl.service_libs.message import Delivery

EFFECTS = "SELECT * FROM effect_ledger"


@pytest.fixture
def broken():
    """What the handler raises; emptied, it works."""
    return [ValueError("a defect")]


@pytest.fixture
def consume(consumer_settings, idempotency, broken):
    settings = consumer_settings.model_copy(update={"max_attempts": 2})

    @idempotent_consumer(replace(idempotency, settings=settings), consumer="c", accepts=UPLOAD_OUTCOMES)
    async def handle(message):
        if broken:
            raise broken[0]

        return lambda transaction: ledger.record(transaction, message, "u1")

    return handle


@pytest.fixture
def found(letters):
    """The letters, as the command reads them from the topic."""

    async def read():
        return [Letter.model_validate(letter) for letter in await letters()]

    return read


async def test_a_poison_event_is_processed_again_and_has_one_effect(
    *, consume, delivered, found, broken, database, rows
):
    first = delivered()
    await consume(first)
    letter = chosen(await found(), "c", json.loads(first.value)["event_id"])
    await replay(database, letter, await whole_record("nowhere", letter))
    ((topic, key, value),) = await rows("SELECT topic, key, value FROM outbox WHERE topic != 'dead-letters'")
    assert (topic, key, value) == ("essays", "u1", first.value)
    broken.clear()
    for offset in (7, 8):
        await consume(replace(first, offset=offset))
    assert len(await rows(EFFECTS)) == 1
    with pytest.raises(NotReplayed, match="has been applied since"):
        await replay(database, letter, Record(first.key, first.value))
    assert len(await rows("SELECT * FROM outbox WHERE topic != 'dead-letters'")) == 1


async def test_it_cannot_be_replayed_twice_at_once_and_may_be_set_aside_again(
    *, consume, delivered, found, database, rows
):
    first = delivered()
    await consume(first)
    (letter,) = await found()
    await replay(database, letter, Record(first.key, first.value))
    with pytest.raises(NotReplayed, match="not set aside now"):
        await replay(database, letter, Record(first.key, first.value))
    await consume(first)
    assert len(await found()) == 2
    assert await rows(EFFECTS) == []


async def test_another_payload_than_the_one_that_was_set_aside_is_refused(consume, delivered, found, database, rows):
    first = delivered()
    await consume(first)
    (letter,) = await found()
    other = json.loads(first.value)
    other["data"]["file_name"] = "other.txt"
    with pytest.raises(NotReplayed, match="another payload"):
        await replay(database, letter, Record(first.key, json.dumps(other).encode()))
    assert await rows("SELECT closed_as FROM inbox") == [("poison",)]


async def test_a_conflict_a_malformed_record_and_an_unknown_event_are_refused(consume, delivered, found, broken):
    broken.clear()
    first = delivered()
    identity = json.loads(first.value)["event_id"]
    await consume(first)
    told = EssayContentProvisionedV1(**json.loads(first.value)["data"] | {"file_name": "other.txt"})
    await consume(delivered(told, identity=identity))
    await consume(Delivery("essays", 1, 2, b"k", b"junk"))
    letters = await found()
    for event, why in ((identity, "conflict"), ("essays:1:2", "identity is its position"), ("x", "no dead letter")):
        with pytest.raises(NotReplayed, match=why):
            chosen(letters, "c", event)
    with pytest.raises(NotReplayed, match="no dead letter of another"):
        chosen(letters, "another", identity)


@pytest.mark.parametrize(("key", "sent_as"), [(None, "the event's id"), (b"\xff", None)])
async def test_a_record_without_a_key_goes_under_its_events_id_and_one_that_is_no_text_stays(
    *, consume, delivered, found, database, rows, key, sent_as
):
    first = replace(delivered(), key=key)
    await consume(first)
    (letter,) = await found()
    if sent_as is None:
        with pytest.raises(NotReplayed, match="not UTF-8"):
            await replay(database, letter, Record(first.key, first.value))
        return
    await replay(database, letter, Record(first.key, first.value))
    assert await rows("SELECT key FROM outbox WHERE topic = 'essays'") == [(letter.event_id,)]


@pytest.fixture
def lies(monkeypatch):
    """Has a record lie at an offset of a partition, and only that one there."""

    def at(offset, key, value):
        class Reader:
            def __init__(self, *_, **__): ...

            start = stop = lambda self: _nothing()

            def assign(self, partitions):
                (self.assigned,) = partitions

            def seek(self, partition, sought):
                assert (partition, sought) == (self.assigned, 9)

            async def getone(self, partition):
                return Delivery(partition.topic, partition.partition, offset, key, value)

        monkeypatch.setattr(dead_letters, "AIOKafkaConsumer", Reader)

    return at


@pytest.mark.parametrize(
    ("key", "value"), [(b"k", b"x" * 2_000_000), (b"k" * 20_000, b"x"), (None, b"x" * 2_000_000)]
)
async def test_what_was_cut_is_read_where_it_came_from(consume, lies, found, key, value):
    await consume(Delivery("essays", 3, 9, key, value))
    (letter,) = await found()
    lies(9, key, value)
    assert await whole_record("nowhere", letter) == Record(key, value)
    for offset, another in ((10, key), (9, b"another")):
        lies(offset, another, value)
        with pytest.raises(NotReplayed, match="no longer at essays, partition 3, offset 9"):
            await whole_record("nowhere", letter)


async def test_an_event_with_a_long_key_is_sent_again_under_all_of_it(
    *, consume, lies, delivered, found, database, rows
):
    first = replace(delivered(), key=b"k" * 20_000, offset=9)
    await consume(first)
    (letter,) = await found()
    assert "key cut from 20000 to 16384 bytes" in letter.reason
    lies(9, first.key, first.value)
    await replay(database, letter, await whole_record("nowhere", letter))
    assert await rows("SELECT key, value FROM outbox WHERE topic = 'essays'") == [("k" * 20_000, first.value)]


async def test_an_event_of_an_unknown_version_is_processed_once_it_is_known(
    *, consume, delivered, found, broken, database, rows
):
    broken.clear()
    first = delivered()
    document = json.loads(first.value)
    newer = json.dumps(document | {"event_type": document["event_type"].replace(".v1", ".v2")}).encode()
    await consume(replace(first, value=newer))
    letter = chosen(await found(), "c", document["event_id"])
    assert letter.kind == "unknown_version"
    await replay(database, letter, Record(first.key, newer))
    assert await rows("SELECT * FROM inbox") == []
    assert await rows("SELECT key, value FROM outbox WHERE topic = 'essays'") == [("u1", newer)]


async def _nothing(): ...


@pytest.fixture
def published(monkeypatch):
    """What the topic is said to hold."""
    held = []

    async def read(_kafka, _topic):
        return held

    monkeypatch.setattr(dead_letters, "letters", read)
    return held


LETTER = Letter.model_validate(
    {
        "event_id": "e",
        "consumer": "c",
        "source": {"topic": "essays", "partition": 0, "offset": 7},
        "kind": "poison",
        "reason": "ValueError()",
        "attempts": 8,
        "key_bytes": None,
        "key_base64": None,
        "payload_bytes": 1,
        "payload_base64": base64.b64encode(b"x").decode(),
    }
)


def test_the_command_lists_letters(published, capsys):
    published.append(LETTER)
    assert main(["list", "--kafka", "nowhere:1"]) == 0
    assert capsys.readouterr().out == "poison  c  e  from essays:0:7  8x  ValueError()\n"
    assert main(["list", "--kafka", "nowhere:1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == LETTER.model_dump(mode="json")


def test_the_command_says_why_it_refuses(published, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/db")
    monkeypatch.setenv("RETENTION_HOURS", "336")
    asked = ["replay", "--kafka", "nowhere:1", "--consumer", "c", "--event", "e"]
    assert main(asked) == 3
    assert capsys.readouterr().err == "no dead letter of c about event e\n"


async def test_an_event_that_others_have_forgotten_is_replayed_only_if_told(
    *, consume, delivered, found, published, rows, database_url, monkeypatch, capsys
):
    await consume(delivered())
    published += await found()
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RETENTION_HOURS", "336")
    asked = ["replay", "--kafka", "nowhere:1", "--consumer", "c", "--event", published[0].event_id]
    assert await asyncio.to_thread(main, asked) == 3
    assert "of 2024-01-01 00:00, RETENTION_HOURS (336) ago" in capsys.readouterr().err
    assert await rows("SELECT closed_as FROM inbox") == [("poison",)]
    monkeypatch.setenv("RETENTION_HOURS", "1000000")
    assert await asyncio.to_thread(main, asked) == 0
    await consume(delivered())
    monkeypatch.delenv("RETENTION_HOURS")
    assert await asyncio.to_thread(main, [*asked, "--even-if-forgotten"]) == 0
    assert len(await rows("SELECT 1 FROM outbox WHERE topic = 'essays'")) == 2


@pytest.mark.parametrize(("minutes", "refused"), [(50, False), (70, True), (130, True)])
def test_an_event_needs_time_to_reach_those_who_must_remember_it(delivered, minutes, refused):
    stated = (SystemClock().now() - timedelta(minutes=minutes)).isoformat()
    record = Record(None, json.dumps(json.loads(delivered().value) | {"event_timestamp": stated}).encode())
    with pytest.raises(NotReplayed, match="RETENTION_HOURS") if refused else nullcontext():
        check_remembered(record, 2)


def test_how_long_consumers_remember_has_no_default(published, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/db")
    monkeypatch.delenv("RETENTION_HOURS", raising=False)
    asked = ["replay", "--kafka", "nowhere:1", "--consumer", "c", "--event", "e"]
    with pytest.raises(SystemExit) as ended:
        main(asked)
    assert ended.value.code == 2
    assert "replay: environment variable RETENTION_HOURS: Field required" in capsys.readouterr().err
    assert main([*asked, "--even-if-forgotten"]) == 3
    assert capsys.readouterr().err == "no dead letter of c about event e\n"


def test_the_reference_runs_its_replay_where_it_is_told_how_long_consumers_remember():
    system = yaml.safe_load(Path(dead_letters.__file__).with_name("system.yaml").read_text())
    for consumer in system["effects"]:
        assert "RETENTION_HOURS" in system["services"][consumer]["env"]


def test_what_fails_on_the_way_is_told_apart_from_a_refusal(capsys, monkeypatch):
    async def fails(*_):
        raise OSError("gone")

    monkeypatch.setattr(dead_letters, "letters", fails)
    monkeypatch.setenv("DATABASE_URL", "sqlite:////nowhere/db")
    monkeypatch.setenv("RETENTION_HOURS", "336")
    assert main(["replay", "--kafka", "nowhere:1", "--consumer", "c", "--event", "e"]) == 1
    assert "gone" in capsys.readouterr().err


def test_wrong_usage_ends_with_2(capsys, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for arguments in ([], ["list"], ["replay", "--kafka", "n:1", "--consumer", "c", "--event", "e"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "replay: environment variable DATABASE_URL: Field required" in capsys.readouterr().err
