"""Ids and keys that are integers beyond 64 bits: one is one and two are two, wherever they are read."""

import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.clients.http import HttpClient
from harness.effects import Files, HttpList, OutputTopic, RedisKeys
from harness.observers.command_lines import CommandLines
from harness.observers.folder_files import FolderFiles
from harness.observers.http_list import HttpList as HttpSource
from harness.observers.located import named_key
from harness.observers.redis_keys import RedisKeys as RedisSource
from harness.observers.sources import Output
from harness.observers.topics import event_fields
from harness.stack import Record
from tests.standin import StandIn
from tests.unit.observers.test_topics import SYSTEM, event

IDS = [2**64 + 1, 2**64 + 2, -(2**63) - 1]


def fields(**changes: object) -> dict[str, Any]:
    return dict(event_fields(Record("orders", 1, 7, None, json.dumps(event(**changes)).encode()), SYSTEM))


def test_two_events_that_differ_only_there_are_two() -> None:
    assert [fields(event_id=n)["event_id"] for n in IDS] == [str(n) for n in IDS]
    assert fields(causation_id=IDS[0])["causation_id"] == str(IDS[0])
    assert fields(data={"upload_id": IDS[0]})["joins"] == {"0": str(IDS[0])}
    data = {"upload_id": IDS[0], "place": [IDS[1]]}
    assert fields(event_type="shipped", data=data)["joins"] == {"1": f'["{IDS[0]}",[{IDS[1]}]]'}
    assert len({fields(data={"n": n})["digest"] for n in IDS}) == len(IDS)


BODY = json.dumps({"id": IDS[0], "carries": "d"})


class Topic:
    async def pass_to_end(self) -> list[Record]:
        return [Record("billed", 0, 0, None, BODY.encode())]

    async def close(self) -> None: ...


class Store(StandIn):
    async def contents(self, glob: bytes) -> dict[bytes, tuple[str, Any]]:
        return {b"bill": ("string", BODY.encode())}


def by_command(folder: Path) -> CommandLines:
    (folder / "list.py").write_text(f"print({BODY!r})")
    return CommandLines(f"{sys.executable} list.py", str, {}, folder)


def by_http(folder: Path) -> HttpSource:
    http = HttpClient()
    http._client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, text=f"[{BODY}]")))
    return HttpSource(http, HttpList(url="http://shop/bills", id="/id"), "http://shop/bills")


def in_files(folder: Path) -> FolderFiles:
    (folder / "bill.json").write_text(BODY)
    return FolderFiles(Files(folder="x", names="*.json", id="/id"), folder)


def on_topic(folder: Path) -> Output:
    async def opened() -> Topic:
        return Topic()

    return Output(OutputTopic(name="billed", id="/id"), opened)


def in_redis(folder: Path) -> RedisSource:
    return RedisSource(Store(), RedisKeys(keys="bill*", id="/id"), str)


@pytest.mark.parametrize("made", [by_command, by_http, in_files, on_topic, in_redis])
async def test_an_effect_names_its_event_with_every_digit(made: Any, tmp_path: Path) -> None:
    rows: list[Any] = []
    await made(tmp_path).each(rows.extend, everything=True)
    assert [named_key("/event_id", row["id"]) for row in rows] == [fields(event_id=IDS[0])["event_id"]]


@pytest.mark.parametrize("named", [f"[{IDS[0]},2]", [IDS[0], 2], [str(IDS[0]), "2"]])
def test_a_key_of_several_parts_keeps_every_digit_too(named: object) -> None:
    assert named_key(["/a", "/b"], named) == f'["{IDS[0]}","2"]'
    assert named_key("/a", [IDS[0], 2]) == f"[{IDS[0]},2]"
