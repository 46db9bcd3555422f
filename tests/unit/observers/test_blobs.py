"""A blob is read when it is named, and compared with what the client knows."""

import asyncio
import hashlib
from dataclasses import replace
from urllib.parse import quote

import httpx
import pytest

from harness.clients.http import Blob
from harness.errors import StackError
from harness.observers.blobs import Blobs


class Store:
    def __init__(self, **blobs: bytes) -> None:
        self.blobs = blobs

    async def blob(self, url: str) -> Blob:
        content = self.blobs.get(url)
        if content is None:
            return Blob("missing")
        return Blob("present", len(content), hashlib.sha256(content).hexdigest())


async def phases(blobs: Blobs, *, final: bool = False) -> list[tuple[object, object]]:
    return [(row["phase"], row["why"]) async for row in blobs.read(final=final)]


def observer(store: Store) -> Blobs:
    ticks = iter(range(10_000))
    return Blobs(store, lambda storage_id: storage_id, lambda: next(ticks))


async def test_a_blob_is_read_once_for_each_reason_and_again_at_the_end() -> None:
    blobs = observer(Store(b1=b"x"))
    blobs.ask("b1", "answer", hashlib.sha256(b"x").hexdigest())
    blobs.ask("b1", "event")
    assert await phases(blobs) == [("present", "answer"), ("present", "event")]
    assert await phases(blobs) == []
    assert await phases(blobs, final=True) == [("present", "final")]


async def test_what_is_not_found_under_an_id_with_a_slash_may_have_been_refused() -> None:
    store = Store()
    blobs = observer(store)
    blobs.ask("a/1", "answer")
    assert await phases(blobs) == [("unreachable", "answer")]
    blobs.ask("a/2", "answer")
    store.blobs["a/2"] = b"x"
    assert await phases(blobs) == [("present", "answer")]
    assert sorted(await phases(blobs, final=True)) == [("missing", "final"), ("present", "final")]


async def test_other_bytes_are_different() -> None:
    blobs = observer(Store(b1=b"y"))
    blobs.ask("b1", "answer", hashlib.sha256(b"x").hexdigest())
    assert await phases(blobs) == [("different", "answer")]


async def test_no_bytes_are_missing() -> None:
    blobs = observer(Store())
    blobs.ask("b1", "event")
    assert await phases(blobs) == [("missing", "event")]


async def test_the_hash_that_one_named_is_known_to_every_later_read() -> None:
    blobs = observer(Store(b1=b"y", b2=b"z"))
    blobs.ask("b1", "event")
    blobs.ask("b1", "answer", hashlib.sha256(b"x").hexdigest())
    blobs.ask("b2", "event")
    blobs.ask("b1", "event")
    assert [phase for phase, _ in await phases(blobs)] == ["different", "different", "present", "different"]
    assert sorted(await phases(blobs, final=True)) == [("different", "final"), ("present", "final")]
    blobs.close()


async def test_what_could_not_be_reached_at_the_end_is_read_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Store):
        async def blob(self, url: str) -> Blob:
            silent.append(url)
            return Blob("unreachable", error="ReadTimeout") if silent.count(url) < 3 else await super().blob(url)

    silent: list[str] = []
    monkeypatch.setattr("harness.observers.blobs._AGAIN", 0.0)
    blobs = observer(Slow(b1=b"x"))
    blobs.ask("b1", "answer")
    assert await phases(blobs) == [("unreachable", "answer")]
    assert await phases(blobs, final=True) == [("unreachable", "final"), ("present", "final")]


async def test_an_id_that_makes_no_url_keeps_no_other_blob_from_being_read() -> None:
    ticks = iter(range(10_000))
    blobs = Blobs(Store(b1=b"x"), quote, lambda: next(ticks))
    blobs.ask("\udcff", "event")
    blobs.ask("b1", "event")
    assert await phases(blobs) == [("unreachable", "event"), ("present", "event")]


async def test_a_store_that_never_answers_is_not_asked_for_everything_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(Store):
        async def blob(self, url: str) -> Blob:
            return Blob("unreachable", error="ReadTimeout")

    monkeypatch.setattr("harness.observers.blobs._AGAIN", 3600.0)
    blobs = observer(Away())
    for n in range(9):
        blobs.ask(f"b{n}", "event")
    assert len(await asyncio.wait_for(phases(blobs, final=True), 60)) == 9


async def test_a_store_that_keeps_every_read_waiting_is_given_up_after_a_minute() -> None:
    class Hung(Store):
        seconds = reads = 0

        async def blob(self, url: str) -> Blob:
            self.reads += 1
            if self.reads % 8 == 0:
                self.seconds += 15  # for all that were read together
            return Blob("unreachable", error="ReadTimeout")

    store = Hung()
    blobs = Blobs(store, lambda storage_id: storage_id, lambda: store.seconds * 1_000_000_000)
    for n in range(400):
        blobs.ask(f"b{n}", "event")
    assert len(await phases(blobs)) == 400
    store.reads = 0
    with pytest.raises(StackError, match="does not answer: ReadTimeout"):
        await phases(blobs, final=True)
    assert (store.reads, store.seconds) == (32, 50 * 15 + 60)


@pytest.mark.parametrize(
    ("storage_id", "address"),
    [
        ("17", "/bucket/17?signature=abc"),
        ("17", "/bucket/raw-17.pdf"),
        ("17", "/blobs?id=17"),
        ("2024/a b", "/bucket/2024%2Fa%20b"),
        ("2024/a b", "/bucket/2024/a%20b"),
        ("AB-1", "/bucket/ab-1"),
    ],
)
async def test_a_redirect_to_an_address_with_the_id_leads_to_the_blob(storage_id: str, address: str) -> None:
    assert await led_to(address, storage_id, b"other") == "different"
    assert await led_to(address, storage_id, None) == "missing"


@pytest.mark.parametrize("address", ["/login", "/v17/login?next=%2Fblobs%2F17", "/login/177", "/"])
async def test_what_a_redirect_elsewhere_leads_to_proves_nothing_unless_it_is_the_upload(address: str) -> None:
    assert await led_to(address, "17", b"other") == "unreachable"
    assert await led_to(address, "17", None) == "unreachable"
    assert await led_to(address, "17", b"x") == "present"


@pytest.mark.parametrize(
    ("answers", "phase"),
    [
        ([b"whole"], "present"),
        ([b"wh", b"whole"], "unreachable"),
        ([b"wh", None], "unreachable"),
        ([b"other", b"other"], "different"),
    ],
)
async def test_what_ends_with_its_connection_counts_if_it_comes_twice(
    answers: list[bytes | None], phase: str
) -> None:
    class Cut(Store):
        async def blob(self, url: str) -> Blob:
            self.blobs = {} if (content := answers.pop(0)) is None else {url: content}
            return replace(await super().blob(url), measured=False)

    blobs = observer(Cut())
    blobs.ask("b1", "answer", hashlib.sha256(b"whole").hexdigest())
    assert await phases(blobs) == [(phase, "answer")]
    assert not answers


async def test_either_form_of_what_came_with_an_encoding_is_the_upload() -> None:
    class Packed(Store):
        async def blob(self, url: str) -> Blob:
            return replace(await super().blob(url), sent=hashlib.sha256(b"packed").hexdigest())

    for uploaded, phase in ((b"packed", "present"), (b"plain", "present"), (b"other", "different")):
        blobs = observer(Packed(b1=b"plain"))
        blobs.ask("b1", "answer", sha256 := hashlib.sha256(uploaded).hexdigest())
        (row,) = [row async for row in blobs.read(final=False)]
        assert (row["phase"], row["sha256"] == sha256) == (phase, phase == "present")


async def led_to(address: str, storage_id: str, content: bytes | None) -> object:
    """The phase of a blob whose redirect led to what is in ``content``; the client uploaded ``x``."""

    class Elsewhere(Store):
        async def blob(self, url: str) -> Blob:
            return replace(await super().blob(url), led=httpx.URL(f"http://store{address}"))

    blobs = observer(Elsewhere(**{storage_id: content} if content is not None else {}))
    blobs.ask(storage_id, "answer", hashlib.sha256(b"x").hexdigest())
    ((phase, _),) = await phases(blobs)
    return phase
