from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from reference_impl.common_core.events import UPLOAD_OUTCOMES, EssayContentProvisionedV1
from reference_impl.service_libs import inbox as inboxes
from reference_impl.service_libs import ledger
from reference_impl.service_libs.database import insert_if_absent
from reference_impl.service_libs.errors import ContentUnavailable
from reference_impl.service_libs.idempotency import idempotent_consumer
from reference_impl.service_libs.inbox import Closing
from reference_impl.service_libs.message import Delivery, read

ACCEPTED = {each.EVENT_TYPE: each for each in UPLOAD_OUTCOMES}
EFFECTS = "SELECT event_id, business_key FROM effect_ledger"


class Handler:
    """Applies one ledger row; ``before`` and ``within`` are called in its two phases."""

    def __init__(self) -> None:
        self.prepared = 0
        self.before, self.within = _nothing, lambda: None

    async def __call__(self, message):
        self.prepared += 1
        await self.before()

        def apply(transaction):
            ledger.record(transaction, message, message.event.data.upload_id)
            self.within()

        return apply


async def _nothing() -> None: ...


def raising(*errors):
    """Raises each in turn, then nothing."""
    left = list(errors)

    async def step():
        if left:
            raise left.pop(0)

    return step


@pytest.fixture
def handler():
    return Handler()


@pytest.fixture
def consume(consumer_settings, idempotency, handler):
    idempotency = replace(idempotency, settings=consumer_settings.model_copy(update={"max_attempts": 3}))
    return idempotent_consumer(idempotency, consumer="c", accepts=UPLOAD_OUTCOMES)(handler)


@pytest.fixture
def hint():
    """The key of the hint of a delivery's event."""
    return lambda delivery: f"done:c:{first_id(delivery)}"


OTHER = EssayContentProvisionedV1(
    upload_id="u1",
    batch_id="b1",
    batch_size=1,
    file_name="other.txt",
    raw_file_storage_id="a" * 64,
    text_storage_id="b" * 64,
    extractor_version=1,
)


async def test_an_event_has_its_effect(consume, delivered, rows):
    await consume(delivered())
    assert len(await rows(EFFECTS)) == 1


async def test_an_event_delivered_again_has_no_second_effect(consume, delivered, rows, handler):
    for offset in range(3):
        await consume(delivered(offset=offset))
    assert len(await rows(EFFECTS)) == 1
    assert handler.prepared == 1  # the hint made it cheap


async def test_the_hint_carries_the_digest_and_lives_a_day(consume, delivered, redis, hint, rows):
    await consume(delivered())
    ((digest,),) = await rows("SELECT digest FROM effect_ledger")
    assert redis.keys == {hint(delivered()): digest}  # and the lease is released
    assert redis.ttl[hint(delivered())] == 86_400


async def test_without_redis_nothing_is_doubled(consume, delivered, rows, redis, handler):
    redis.down = True
    for _ in range(2):
        await consume(delivered())
    assert len(await rows(EFFECTS)) == 1
    assert handler.prepared == 2


async def test_a_redis_that_forgot_everything_doubles_nothing(consume, delivered, rows, redis):
    await consume(delivered())
    redis.keys.clear()
    await consume(delivered())
    assert len(await rows(EFFECTS)) == 1


async def test_a_hint_with_another_digest_says_nothing(consume, delivered, rows, redis, hint):
    redis.keys[hint(delivered())] = "another digest"
    await consume(delivered())
    assert len(await rows(EFFECTS)) == 1


async def test_an_error_in_apply_leaves_neither_effect_nor_inbox_row(consume, delivered, rows, handler):
    errors = [ValueError("once")]

    def fail():
        if errors:
            raise errors.pop()

    handler.within = fail
    await consume(delivered())
    assert len(await rows(EFFECTS)) == 1
    assert handler.prepared == 2


async def test_a_commit_without_an_answer_is_asked_about_again(*, consume, delivered, rows, database, monkeypatch):
    real, lost = database.write, []

    async def write(work):
        done = await real(work)
        if not lost:
            lost.append(done)
            raise OperationalError("COMMIT", {}, Exception("no answer"))
        return done

    monkeypatch.setattr(database, "write", write)
    await consume(delivered())
    assert lost == [Closing.NEW]
    assert len(await rows(EFFECTS)) == 1


async def test_another_payload_under_the_same_id_is_quarantined_once(consume, delivered, rows, letters):
    first = delivered()
    identity = first_id(first)
    await consume(first)
    for _ in range(2):
        await consume(delivered(OTHER, identity=identity, offset=5))
    assert len(await rows(EFFECTS)) == 1
    (letter,) = await letters()
    assert (letter["kind"], letter["event_id"]) == ("conflict", identity)
    assert letter["source"] == {"topic": "essays", "partition": 0, "offset": 5}


def first_id(delivery):
    return json.loads(delivery.value)["event_id"]


async def test_a_conflict_leaves_no_hint(consume, delivered, redis, hint, rows):
    await consume(delivered())
    ((digest,),) = await rows("SELECT digest FROM effect_ledger")
    await consume(delivered(OTHER, identity=first_id(delivered())))
    assert redis.keys == {hint(delivered()): digest}


async def test_a_malformed_record_is_set_aside_with_its_bytes(consume, rows, letters, handler):
    for _ in range(2):
        await consume(Delivery("essays", 2, 7, None, b"junk", (("trace", b"\x00"),)))
    (letter,) = await letters()
    assert letter["event_id"] == "essays:2:7"
    assert letter["consumer"] == "c"
    assert letter["kind"] == "malformed"
    assert letter["source"] == {"topic": "essays", "partition": 2, "offset": 7}
    assert base64.b64decode(letter["payload_base64"]) == b"junk"
    assert base64.b64decode(letter["headers"]["trace"]) == b"\x00"
    assert "not JSON" in letter["reason"]
    assert handler.prepared == 0


async def test_a_poison_event_is_set_aside_after_its_attempts(*, consume, delivered, rows, letters, handler, redis):
    handler.before = raising(*(ValueError(f"no {n}") for n in range(100)))
    await consume(delivered())
    assert handler.prepared == 3
    (letter,) = await letters()
    assert (letter["kind"], letter["attempts"], letter["reason"]) == ("poison", 3, "ValueError: no 2")
    assert await rows(EFFECTS) == []
    assert redis.keys == {}  # no hint: it may be replayed


async def test_an_error_puts_no_essay_into_logs_and_letters(consume, delivered, letters, handler):
    """The repr of a ``UnicodeDecodeError`` holds all the bytes that could not be decoded."""

    async def decode():
        (b"Dear diary. " * 10_000 + b"\xff").decode()

    handler.before = decode
    with capture_logs() as logs:
        await consume(delivered())
    (letter,) = await letters()
    assert letter["reason"].startswith("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 120000")
    assert len(logs) == 4
    assert "diary" not in f"{logs}{letter['reason']}"


async def test_a_record_that_is_malformed_at_length_makes_no_long_log(consume, letters):
    with capture_logs() as logs:
        await consume(Delivery("essays", 0, 0, None, b"", (("x" * 100_000 + "\udcff", b""),)))
    assert len(str(logs)) < 1000
    assert len(await letters()) == 1


async def test_a_poison_event_delivered_again_gets_neither_effect_nor_hint_nor_second_letter(
    *, consume, delivered, rows, letters, handler, redis
):
    handler.before = raising(*(ValueError() for _ in range(3)))
    await consume(delivered())
    await consume(delivered())
    assert len(await letters()) == 1
    assert await rows(EFFECTS) == []
    assert redis.keys == {}


async def test_errors_of_dependencies_spend_no_attempts(consume, delivered, rows, letters, handler):
    handler.before = raising(*(ContentUnavailable("down") for _ in range(20)))
    await consume(delivered())
    assert handler.prepared == 21
    assert len(await rows(EFFECTS)) == 1
    assert await letters() == []


async def test_a_lease_held_by_another_is_waited_for(*, idempotency, delivered, redis, handler, rows, until):
    consume = idempotent_consumer(idempotency, consumer="c", accepts=UPLOAD_OUTCOMES)(handler)
    lease = f"lease:c:{first_id(delivered())}"
    redis.keys[lease] = "another's token"
    task = asyncio.ensure_future(consume(delivered()))
    await until(lambda: redis.commands >= 6)
    assert handler.prepared == 0
    del redis.keys[lease]
    await task
    assert len(await rows(EFFECTS)) == 1


async def test_when_the_holder_finishes_the_event_is_skipped(
    *, consume, delivered, redis, handler, hint, rows, until, database, inbox
):
    redis.keys[f"lease:c:{first_id(delivered())}"] = "another's token"
    task = asyncio.ensure_future(consume(delivered()))
    await until(lambda: redis.commands >= 6)
    message = read(delivered(), "c", ACCEPTED)
    assert await database.write(lambda transaction: inbox.close(transaction, message)) is Closing.NEW
    redis.keys[hint(delivered())] = message.digest
    await task
    assert handler.prepared == 0
    assert await rows(EFFECTS) == []


async def test_when_the_lease_outlives_its_life_the_event_is_applied_all_the_same(*, consume, delivered, redis, rows):
    redis.keys[f"lease:c:{first_id(delivered())}"] = "a dead holder's token"
    redis.held_seconds = 0.001
    await consume(delivered())
    assert len(await rows(EFFECTS)) == 1
    assert "a dead holder's token" in redis.keys.values()  # another's lease is never released


async def test_two_replicas_with_the_same_event_at_once_have_one_effect(*, replicas, delivered, redis, rows):
    """Redis is down, so nothing but the inbox stands between them."""
    redis.down = True
    handlers = [Handler(), Handler()]
    consumers = [
        idempotent_consumer(replica.idempotency, consumer="c", accepts=UPLOAD_OUTCOMES)(handler)
        for replica, handler in zip(await replicas("source", 2), handlers, strict=True)
    ]
    await asyncio.gather(*(consume(delivered()) for consume in consumers))
    assert [handler.prepared for handler in handlers] == [1, 1]
    assert len(await rows(EFFECTS)) == 1


async def test_a_long_payload_is_cut_so_that_the_letter_can_leave(consume, letters):
    await consume(Delivery("essays", 0, 0, None, b"x" * 2_000_000))
    (letter,) = await letters()
    assert len(letter["payload_base64"]) < 1_000_000
    assert "payload cut from 2000000" in letter["reason"]


@pytest.fixture
def counted(metrics):
    """A sample's value, or None; ``counted("deliveries_total", topic="essays")``."""
    return lambda name, **labels: metrics._registry.get_sample_value(name, labels)


async def test_what_happens_is_counted(*, consume, delivered, redis, counted, handler):
    await consume(delivered())
    await consume(delivered())
    redis.keys.clear()
    await consume(delivered())
    await consume(delivered(OTHER, identity=first_id(delivered())))
    await consume(Delivery("essays", 2, 7, None, b"junk"))
    assert counted("duplicates_total", seen_by="redis") == 1
    assert counted("duplicates_total", seen_by="inbox") == 1
    assert counted("conflicts_total") == 1
    assert counted("dead_letters_total", kind="malformed") == 1
    assert counted("handler_seconds_count") == handler.prepared == 3


async def test_a_letter_keeps_the_key_and_stays_below_the_limit_whatever_the_record_holds(consume, letters):
    key, headers = b"\xff" * 100_000, tuple((f"h{n}", b"x" * 30_000) for n in range(20))
    await consume(Delivery("essays", 0, 0, key, b"x" * 2_000_000, (*headers, ("\x01" * 500_000, b""))))
    await consume(Delivery("essays", 0, 1, b"\xfe", b"junk"))
    cut, whole = await letters()
    assert len(json.dumps(cut)) < 1_000_000
    assert cut["payload_bytes"] == 2_000_000
    for what in ("payload cut from 2000000", "key cut from 100000", "headers cut"):
        assert what in cut["reason"]
    assert base64.b64decode(whole["key_base64"]) == b"\xfe"


async def test_a_header_whose_name_is_no_utf8_makes_a_record_malformed(consume, delivered, letters, rows):
    await consume(replace(delivered(), headers=(("bad\udcff", b"v"),)))
    (letter,) = await letters()
    assert (letter["kind"], letter["headers"]) == ("malformed", {"bad\\udcff": "dg=="})
    assert await rows(EFFECTS) == []


async def test_a_hint_that_the_database_does_not_bear_out_says_nothing(consume, delivered, rows, redis, hint):
    redis.keys[hint(delivered())] = read(delivered(), "c", ACCEPTED).digest
    await consume(delivered())
    assert len(await rows(EFFECTS)) == 1


async def test_an_event_costs_one_transaction(consume, delivered, database, monkeypatch):
    asked, write, look = [], database.write, database.read

    def noted(what, real):
        async def call(work):
            asked.append(what)
            return await real(work)

        return call

    monkeypatch.setattr(database, "write", noted("write", write))
    monkeypatch.setattr(database, "read", noted("read", look))
    await consume(delivered())
    assert asked == ["write"]


async def test_what_a_dependency_ended_spends_no_attempt_however_often(*, consume, delivered, rows, letters, handler):
    """Also when the database itself is away: nothing is written down that would have to be taken back."""
    broken = OperationalError("COMMIT", {}, Exception("away"))
    handler.before = raising(*(error for _ in range(8) for error in (broken, ContentUnavailable("down"))))
    await consume(delivered())
    assert handler.prepared == 17
    assert len(await rows(EFFECTS)) == 1
    assert await letters() == []


async def test_a_version_not_known_here_is_set_aside_under_its_own_id(consume, delivered, letters, handler, redis):
    document = json.loads(delivered().value)
    newer = document | {"event_type": document["event_type"].replace(".v1", ".v2"), "data": {"anything": 1}}
    for offset in range(2):
        await consume(replace(delivered(offset=offset), value=json.dumps(newer).encode()))
    (letter,) = await letters()
    assert (letter["kind"], letter["event_id"], letter["attempts"]) == ("unknown_version", document["event_id"], 0)
    assert handler.prepared == 0
    assert redis.keys == {}


async def test_a_field_that_a_newer_producer_adds_is_passed_over(consume, delivered, rows, letters):
    document = json.loads(delivered().value)
    newer = document | {"added": 1, "data": document["data"] | {"added": {"also": "this"}}}
    await consume(replace(delivered(), value=json.dumps(newer).encode()))
    assert len(await rows(EFFECTS)) == 1
    assert await letters() == []


async def test_a_row_that_a_replay_deletes_at_the_same_moment_is_inserted_anew(consume, delivered, rows, monkeypatch):
    """On Postgres each statement sees what was committed before it: the first may see the row, and the second none."""
    refused = []

    def there_at_first(transaction, table, **values):
        if table is inboxes.INBOX and not refused:
            refused.append(values)
            return False
        return insert_if_absent(transaction, table, **values)

    monkeypatch.setattr("reference_impl.service_libs.inbox.insert_if_absent", there_at_first)
    await consume(delivered())
    assert refused
    assert len(await rows(EFFECTS)) == 1
    assert len(await rows("SELECT * FROM inbox")) == 1
