"""Each published event is one operation, made from the seed, and the broker's word decides how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from harness.clients.producer import Appended
from harness.errors import StackError
from harness.load.publishing import Publishing
from harness.scenario import LoadShape
from harness.stack import Record
from harness.system_load import PublishLoad
from tests.standin import StandIn

TEMPLATE: dict[str, Any] = {
    "topic": "orders",
    "key": "{word:customer}",
    "headers": {"ce_id": "{id}"},
    "value": {
        "id": "{uuid}",
        "type": "placed",
        "data": {"who": "{word:customer}", "amount": "{number:1..100}", "n": "{n}", "size": "{choice:s|l}"},
    },
}


class Tape(StandIn):
    """A recorder that keeps the fields of each operation's invoke and end."""

    def __init__(self) -> None:
        self.begun: list[Mapping[str, Any]] = []
        self.ends: list[tuple[str, Mapping[str, Any]]] = []

    @contextmanager
    def operation(self, op: str, actor: str, **fields: object) -> Iterator[SimpleNamespace]:
        assert op == "publish"
        self.begun.append(fields)

        def end(phase: str):
            return lambda **more: self.ends.append((phase, more))

        yield SimpleNamespace(ok=end("ok"), fail=end("fail"), unknown=end("unknown"))


class Broker:
    """Takes records, and answers each time the same."""

    def __init__(self, answer: Appended) -> None:
        self.answer, self.taken, self.open = answer, [], False

    async def append(self, record: Record) -> Appended:
        assert self.open
        self.taken.append(record)
        return self.answer

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Broker]:
        self.open = True
        yield self
        self.open = False


OK = Appended("ok", 1, 5)


def loaded(
    tape: Tape,
    broker: Broker,
    *,
    run: str = "r1",
    seed: int = 1,
    template: Mapping[str, Any] = TEMPLATE,
    encoder: Any = None,
    **shape: object,
) -> Publishing:
    given = LoadShape.model_validate({"uploads": 4, "rate": "200/s", "retries": 3, **shape})
    load = Publishing(
        given,
        PublishLoad.model_validate(template),
        run=run,
        seed=seed,
        recorder=tape,
        partitions=4,
        read=lambda record: {"event_id": json.loads(record.value or b"")["id"]},
        connect=broker.connect,
        encoder=encoder,
    )
    load.prepare()
    return load


async def drive(answer: Appended = OK, **described: Any) -> tuple[Tape, Broker, Publishing]:
    tape, broker = Tape(), Broker(answer)
    load = loaded(tape, broker, **described)
    asked: list[tuple[str, str]] = []
    load.answers.on_asked = lambda of, key, _acceptable: asked.append((of, key))
    tape.asked = asked
    await load.run()
    assert not broker.open
    return tape, broker, load


async def test_an_acknowledged_event_is_where_the_broker_says() -> None:
    tape, broker, load = await drive()
    assert [phase for phase, _ in tape.ends] == ["ok"] * 4
    assert tape.ends[0][1] == {"partition": 1, "offset": 5}
    assert load.answers.acknowledged == 4
    ids = [json.loads(record.value)["id"] for record in broker.taken]
    assert [fields["event_id"] for fields in tape.begun] == ids
    assert len(set(ids)) == 4


async def test_what_nobody_waits_for_any_more_is_not_under_way() -> None:
    class Silent(Broker):
        async def append(self, record: Record) -> Appended:
            await asyncio.Event().wait()
            return self.answer

    load = loaded(Tape(), Silent(OK))
    running = asyncio.create_task(load.run())
    while load.answers.under_way < 4:
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.wait([running])
    assert (load.answers.begun, load.answers.under_way) == (4, 0)


async def test_the_same_value_stands_wherever_one_event_names_it() -> None:
    _, broker, _ = await drive()
    for n, record in enumerate(broker.taken):
        value = json.loads(record.value)
        assert record.key.decode() == value["data"]["who"]
        assert record.headers == (("ce_id", f"r1-{n:07d}".encode()),)
        assert value["data"]["n"] == n
        assert 1 <= value["data"]["amount"] <= 100
        assert value["data"]["size"] in {"s", "l"}
        assert record.partition == -1


async def test_the_seed_decides_all_but_the_ids() -> None:
    def data(broker: Broker) -> list[Any]:
        return [json.loads(record.value)["data"] for record in broker.taken]

    (_, one, _), (_, again, _), (_, other, _) = await drive(), await drive(run="r2"), await drive(seed=2)
    assert data(one) == data(again)
    assert data(one) != data(other)
    assert {record.value for record in one.taken}.isdisjoint(record.value for record in again.taken)


async def test_without_a_key_the_seed_draws_the_partition() -> None:
    template = {**TEMPLATE, "key": None}
    (_, one, _), (_, again, _) = (
        await drive(template=template, uploads=20),
        await drive(template=template, uploads=20),
    )
    assert [record.partition for record in one.taken] == [record.partition for record in again.taken]
    assert {record.partition for record in one.taken} == {0, 1, 2, 3}


@pytest.mark.parametrize("phase", ["fail", "unknown"])
async def test_an_event_that_the_broker_did_not_take_is_not_sent_again(phase: Any) -> None:
    tape, broker, load = await drive(Appended(phase, error="KafkaTimeoutError"))
    assert [one for one, _ in tape.ends] == [phase] * 4
    assert len(broker.taken) == 4
    assert not load.answers.acknowledged


async def test_a_batch_must_have_its_outcome_once_all_its_events_are_acknowledged() -> None:
    template = {**TEMPLATE, "value": {**TEMPLATE["value"], "batch": "{batch} of {batch_size}"}}
    tape, broker, _ = await drive(template=template, batch=2)
    assert {json.loads(record.value)["batch"] for record in broker.taken} == {"r1-b000000 of 2", "r1-b000001 of 2"}
    assert [one for one in tape.asked if one[0] == "batch"] == [("batch", "r1-b000000"), ("batch", "r1-b000001")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": {"id": "{upload_id}"}}, "value.id: {upload_id} is not filled in here; known: {id}, {uuid}"),
        ({"key": "{ID"}, ""),
        ({"headers": {"x": "{number:x}"}}, "headers.x: {number:x} needs a range"),
        ({"value": {"id": float("nan")}}, "value: it cannot be sent as JSON"),
        ({"value": {"id": "\ud800"}}, "value: it cannot be sent as JSON"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_refused(change: Mapping[str, Any], said: str) -> None:
    if not said:
        PublishLoad.model_validate({**TEMPLATE, **change})
        return
    with pytest.raises(ValueError, match="alue") as refused:
        PublishLoad.model_validate({**TEMPLATE, **change})
    assert said in str(refused.value)


class Coder:
    """Encodes by reversing; it decodes what it made as it was, or, if ``late``, as what it made before."""

    def __init__(self, *, late: bool = False) -> None:
        self._late, self._before, self.closed = late, b"", False

    async def encode(self, text: bytes) -> tuple[bytes, bytes]:
        before, self._before = self._before or text, text
        return text[::-1], before if self._late else text

    async def close(self) -> None:
        self.closed = True


async def test_what_is_sent_is_what_the_encoder_makes() -> None:
    coder = Coder()
    tape, broker, _ = await drive(encoder=coder)
    assert [json.loads(record.value[::-1])["id"] for record in broker.taken] == [
        one["event_id"] for one in tape.begun
    ]
    assert coder.closed


async def test_one_event_that_is_encoded_as_another_ends_the_load() -> None:
    coder = Coder(late=True)
    with pytest.RaisesGroup(
        pytest.RaisesExc(StackError, match="is decoded as another event: event_id is"), flatten_subgroups=True
    ):
        await drive(encoder=coder)
    assert coder.closed
