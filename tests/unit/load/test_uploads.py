"""Each upload is one operation, and its answer decides how it ends."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.clients.http import Answer
from harness.load.front_door import FrontDoor
from harness.load.uploads import Load
from harness.scenario import LoadShape
from harness.system_load import UploadLoad
from tests.standin import StandIn

HERE = Path(__file__).parent
DOOR = UploadLoad(to="front", post="/v1/files", blob="/raw")
BATCHES = UploadLoad(to="front", post="/v1/files", fields={"batch_id": "{batch}", "batch_size": "of {batch_size}"})


class Tape(StandIn):
    """A recorder that keeps how each operation ended."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, str]] = []
        self.batches: list[Any] = []
        self.begun: list[dict[str, Any]] = []

    @contextmanager
    def operation(self, op: str, actor: str, **fields: object) -> Iterator[SimpleNamespace]:
        upload = str(fields["upload_id"])
        self.begun.append(fields)
        self.batches.append(fields.get("batch"))

        def end(phase: str):
            return lambda **_: self.ends.append((upload, phase))

        yield SimpleNamespace(ok=end("ok"), fail=end("fail"), unknown=end("unknown"))


class Door(StandIn):
    """Answers with the next of a list, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.keys: list[str] = []
        self.sent: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.fields: list[dict[str, str]] = []

    async def send(self, method: str, url: str, content: bytes, headers: dict[str, str]) -> Answer:
        self.sent.append((method, url, content, headers))
        return self._next()

    async def upload(self, url: str, *, headers: dict[str, str], fields: dict[str, str], **_: object) -> Answer:
        self.keys.append(headers["Idempotency-Key"])
        self.fields.append(fields)
        return self._next()

    def _next(self) -> Answer:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def asked_of(load: Load) -> list[tuple[str, str]]:
    """What the load will have said must have its outcome."""
    asked: list[tuple[str, str]] = []
    load.answers.on_asked = lambda of, key, _acceptable: asked.append((of, key))
    return asked


async def drive(*answers: Answer, uploads: int = 1, retries: int = 0) -> tuple[Tape, Door, Load, list[str]]:
    shape = LoadShape.model_validate(
        {"uploads": uploads, "rate": "100/s", "retries": retries, "retry_after": "1ms", "rejected": "0%"}
    )
    tape, door, blobs = Tape(), Door(*answers), []
    load = Load(shape, DOOR, run="r1", seed=1, recorder=tape, folder=HERE)
    load.open(FrontDoor(DOOR, door, "http://front"))
    load.answers.on_acknowledged = lambda storage_id, _: blobs.append(storage_id)
    load.prepare()
    await load.run()
    return tape, door, load, blobs


async def test_an_acknowledged_upload_names_its_blob() -> None:
    tape, door, load, blobs = await drive(Answer(202, {"raw": "abc"}))
    assert tape.ends == [("r1-0000000", "ok")]
    assert load.answers.acknowledged == 1
    assert blobs == ["abc"]
    assert tape.batches == [None]
    assert door.fields == [{}]


@pytest.mark.parametrize(
    ("named", "blob"),
    [
        (17, "17"),
        (2**64 + 1, str(2**64 + 1)),
        ("abc", "abc"),
        ("", None),
        (None, None),
        (True, None),
        ({"id": 17}, None),
    ],
)
async def test_a_blob_that_is_named_by_a_number_is_spelled_as_in_an_event(named: object, blob: str | None) -> None:
    _, _, _, blobs = await drive(Answer(202, {"raw": named}))
    assert blobs == ([blob] if blob is not None else [])


@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_only_an_answer_that_says_no_is_a_failure(status: int) -> None:
    tape, _, load, _ = await drive(Answer(status), retries=3)
    assert tape.ends == [("r1-0000000", "fail")]
    assert not load.answers.acknowledged


@pytest.mark.parametrize("status", [None, 500, 503, 404, 200])
async def test_anything_else_is_unknown(status: int | None) -> None:
    tape, _, load, _ = await drive(Answer(status))
    assert tape.ends == [("r1-0000000", "unknown")]
    assert not load.answers.acknowledged


async def test_an_unknown_upload_is_sent_again_under_its_key() -> None:
    tape, door, load, _ = await drive(Answer(503), Answer(None), Answer(202, {"raw": "abc"}), retries=5)
    assert [phase for _, phase in tape.ends] == ["unknown", "unknown", "ok"]
    assert len(set(door.keys)) == 1
    assert load.answers.acknowledged == 1


async def test_a_share_of_the_load_is_reached_when_so_many_have_begun() -> None:
    shape = LoadShape.model_validate({"uploads": 10, "rate": "50/s", "rejected": "0%"})
    door = Door(Answer(202, {"raw": "abc"}))
    load = Load(shape, DOOR, run="r1", seed=1, recorder=Tape(), folder=HERE)
    load.open(FrontDoor(DOOR, door, "http://front"))
    load.prepare()
    running = asyncio.create_task(load.run())
    await load.reached("50%")
    assert 5 <= len(door.keys) + 1 <= 10
    await running


async def test_the_load_goes_on_while_there_is_to_be_more() -> None:
    shape = LoadShape.model_validate({"uploads": 3, "rate": "200/s", "rejected": "0%"})
    door = Door(Answer(202, {"raw": "abc"}))
    load = Load(shape, DOOR, run="r1", seed=1, recorder=Tape(), folder=HERE)
    load.open(FrontDoor(DOOR, door, "http://front"))
    load.prepare()
    await load.run(more=lambda: len(door.keys) < 7)
    assert 7 <= len(door.keys) <= 8
    assert len(set(door.keys)) == len(door.keys)


async def test_what_nobody_waits_for_any_more_is_not_under_way() -> None:
    """A kill of an idle front door would seem to hit uploads that a test gave up long ago."""

    class Silent(Door):
        async def upload(self, url: str, *, headers: dict[str, str], fields: dict[str, str], **_: object) -> Answer:
            await asyncio.Event().wait()
            return self._next()

    shape = LoadShape.model_validate({"uploads": 3, "rate": "300/s", "rejected": "0%"})
    load = Load(shape, DOOR, run="r1", seed=1, recorder=Tape(), folder=HERE)
    load.open(FrontDoor(DOOR, Silent(), "http://front"))
    load.prepare()
    running = asyncio.create_task(load.run())
    while load.answers.under_way < 3:
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.wait([running])
    assert (load.answers.begun, load.answers.under_way) == (3, 0)


def in_batches(uploads: int, *answers: Answer, rejected: str = "0%") -> tuple[Load, Tape, Door]:
    shape = LoadShape.model_validate({"batch": 3, "uploads": uploads, "rate": "300/s", "rejected": rejected})
    tape, door = Tape(), Door(*answers)
    load = Load(shape, BATCHES, run="r1", seed=1, recorder=tape, folder=HERE)
    load.open(FrontDoor(BATCHES, door, "http://front"))
    load.prepare()
    return load, tape, door


async def test_the_front_door_and_the_history_are_told_the_batch() -> None:
    load, tape, door = in_batches(6, Answer(202))
    asked = asked_of(load)
    await load.run()
    assert sorted(tape.batches) == ["r1-b000000"] * 3 + ["r1-b000001"] * 3
    assert [fields["batch_id"] for fields in door.fields] == tape.batches
    assert {fields["batch_size"] for fields in door.fields} == {"of 3"}
    assert sorted(key for of, key in asked if of == "batch") == ["r1-b000000", "r1-b000001"]


@pytest.mark.parametrize("uploads", [4, 5, 6])
async def test_no_batch_is_left_unfilled(uploads: int) -> None:
    load, tape, door = in_batches(uploads, Answer(202))
    asked = asked_of(load)
    await load.run(more=lambda: len(door.keys) < 7)
    assert len(tape.batches) in {9, 12}
    assert {key for of, key in asked if of == "batch"} == set(tape.batches)


async def test_a_batch_must_have_its_outcome_only_if_all_of_it_was_acknowledged() -> None:
    load, _, _ = in_batches(6, Answer(202), Answer(503), Answer(202))
    asked = asked_of(load)
    await load.run()
    assert len({key for of, key in asked if of == "upload"}) == 5
    assert [key for of, key in asked if of == "batch"] == ["r1-b000001"]


async def test_a_batch_without_an_acceptable_upload_needs_no_outcome() -> None:
    load, _, _ = in_batches(3, Answer(202), rejected="100%")
    asked = asked_of(load)
    await load.run()
    assert [of for of, _ in asked] == ["upload"] * 3


def test_a_field_that_is_not_filled_in_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fields\.batch: \{btach\} is not filled in here; known: \{id\}, \{batch\}"):
        UploadLoad(to="front", post="/v1/files", fields={"batch": "{btach}"})


def test_values_are_filled_in_once() -> None:
    door = UploadLoad(to="front", post="/v1/files", fields={"a": "{batch}/{batch_size}", "b": "plain"})
    assert door.filled("{batch_size}", 3) == {"a": "{batch_size}/3", "b": "plain"}


async def through(
    described: dict[str, Any], *answers: Answer, uploads: int = 1, **shape: object
) -> tuple[Tape, Door]:
    """Send uploads through a front door of another form."""
    given = {"uploads": uploads, "rate": "200/s", "rejected": "0%", "retry_after": "1ms", **shape}
    door, tape = Door(*answers), Tape()
    front = UploadLoad.model_validate({"to": "front", **described})
    load = Load(LoadShape.model_validate(given), front, run="r1", seed=1, recorder=tape, folder=HERE)
    load.open(FrontDoor(front, door, f"http://front{front.path}"))
    load.prepare()
    await load.run()
    return tape, door


JSON = {"put": "/orders/{id}", "body": "json", "id_header": None, "ok": [200, 201]}


async def test_json_holds_the_document_as_text_or_in_base64() -> None:
    template = {"key": "{id}", "file": {"name": "{file_name}", "text": "{text}"}, "n": "{n}"}
    tape, door = await through({**JSON, "template": template}, Answer(201), uploads=30, rejected="50%")
    assert {phase for _, phase in tape.ends} == {"ok"}
    for (method, url, content, headers), (upload, _), begun in zip(door.sent, tape.ends, tape.begun, strict=True):
        body = json.loads(content)
        assert (method, url, headers) == (
            "PUT",
            f"http://front/orders/{upload}",
            {"Content-Type": "application/json"},
        )
        assert body["key"] == upload
        assert body["file"]["name"] == begun["file_name"]
        assert hashlib.sha256(body["file"]["text"].encode()).hexdigest() == begun["sha256"]
    _, door = await through({**JSON, "template": {"data": "{base64}"}, "id_header": "Key"}, Answer(200), uploads=30)
    assert len({base64.b64decode(json.loads(content)["data"])[:4] for _, _, content, _ in door.sent}) > 3


async def test_a_template_without_a_document_is_the_document() -> None:
    tape, door = await through({**JSON, "template": {"amount": "{number:1..9}"}}, Answer(200), rejected="100%")
    ((_, _, content, _),) = door.sent
    assert tape.begun[0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert tape.begun[0]["acceptable"]
    assert tape.begun[0]["file_name"] is None


async def test_a_raw_body_is_the_document_alone() -> None:
    tape, door = await through({"post": "/orders", "body": "raw", "id_header": "X-Id", "ok": 201}, Answer(201))
    ((method, url, content, headers),) = door.sent
    assert (method, url) == ("POST", "http://front/orders")
    assert headers == {"X-Id": "r1-0000000", "Content-Type": "application/octet-stream"}
    assert hashlib.sha256(content).hexdigest() == tape.begun[0]["sha256"]


async def test_a_try_again_sends_the_same() -> None:
    template = {"key": "{id}", "who": "{word}", "text": "{text}"}
    tape, door = await through({**JSON, "template": template}, Answer(503), Answer(None), Answer(201), retries=5)
    assert [phase for _, phase in tape.ends] == ["unknown", "unknown", "ok"]
    assert len(set(map(str, door.sent))) == 1


async def test_a_request_that_names_no_upload_is_sent_once() -> None:
    described = {"post": "/orders", "body": "json", "id_header": None, "template": {"who": "{word}"}}
    tape, door = await through(described, Answer(503), retries=5)
    assert [phase for _, phase in tape.ends] == ["unknown"]
    assert len(door.sent) == 1


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({}, "one of post:, put: or patch:"),
        ({"post": "/a", "put": "/b"}, "one of post:, put: or patch:"),
        ({"post": "/a", "body": "json"}, "body: json and template: {…} go together"),
        ({"post": "/a", "template": {"a": 1}}, "body: json and template: {…} go together"),
        ({"post": "/a", "body": "raw", "fields": {"a": "b"}}, "fields: only a form (body: multipart) has fields"),
        ({"post": "/a/{n}"}, "post: {n} is not filled in here; known: {id}"),
        (
            {"post": "/a", "body": "json", "template": {"a": "{uuid}"}},
            "template.a: {uuid} is not filled in here; known: {id}",
        ),
        ({"post": "/a", "ok": []}, "at least 1 item"),
        ({"post": "a"}, "should match pattern"),
    ],
)
def test_a_front_door_that_cannot_be_is_refused(described: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="alidation error") as refused:
        UploadLoad.model_validate({"to": "front", **described})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "change", [{"put": "/a"}, {"body": "raw"}, {"id_header": None}, {"post": "/a/{id}"}, {"files": {"folder": "a"}}]
)
def test_only_a_form_with_the_id_in_a_header_is_for_locust(change: dict[str, Any]) -> None:
    described = {"to": "front", "post": "/a", **change}
    if "put" in change:
        del described["post"]
    assert UploadLoad(to="front", post="/a").plain
    assert not UploadLoad.model_validate(described).plain
