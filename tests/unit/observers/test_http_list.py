"""Effects that a service answers with: a part of the list is no list."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest

from harness.clients.http import HttpClient
from harness.effects import Effects as Described
from harness.effects import HttpList as Said
from harness.errors import StackError
from harness.observers.http_list import HttpList

URL = "http://shop/bills"


async def read(answer: httpx.Response | Exception, sums: bool = False, **said: Any) -> list[Any]:
    def answers(request: httpx.Request) -> httpx.Response:
        assert (request.method, str(request.url)) == ("GET", URL)
        if isinstance(answer, Exception):
            raise answer
        return answer

    http = HttpClient()
    await http._client.aclose()
    http._client = httpx.AsyncClient(transport=httpx.MockTransport(answers))
    rows: list[Any] = []
    try:
        source = HttpList(http, Said.model_validate({"url": URL, "id": "/id", **said}), URL, sums=sums)
        await source.each(rows.extend, everything=True)
    finally:
        await http.close()
    return rows


def body(text: str, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, text=text, headers=headers)


async def test_each_element_is_an_effect() -> None:
    answer = body('{"all": {"bills": [{"id": 17, "n": 1, "d": "x"}, {"id": ["a", 1], "n": null}]}, "count": 2}')
    assert await read(answer, list="/all/bills", effect="/n", carries="/d", count="/count") == [
        {"id": "17", "effect": "1", "carries": "x"},
        {"id": ["a", 1], "effect": None, "carries": None},
    ]
    assert await read(body("[]")) == []


async def test_several_pointers_name_it_together() -> None:
    assert await read(body('[{"order": "A", "line": 2}]'), id=["/order", "/line"]) == [{"id": ["A", 2]}]
    with pytest.raises(StackError, match="element 0 has nothing at /order, /line"):
        await read(body('[{"order": "A"}]'), id=["/order", "/line"])


async def test_sums_are_read_digit_by_digit() -> None:
    rows = await read(body('[{"id": 5, "cents": 0.10}, {"id": [1.50, "a"], "cents": 3}]'), sums=True, total="/cents")
    assert rows == [{"id": "5", "total": Decimal("0.10")}, {"id": [1.5, "a"], "total": 3}]
    assert [type(row["total"]) for row in rows] == [Decimal, int]


@pytest.mark.parametrize(
    ("answer", "said", "says"),
    [
        (httpx.ConnectError("refused"), {}, "http: no answer: ConnectError: refused"),
        (body("[]", 206), {}, "http: HTTP 206"),
        (body("[]", 302, Location="/x"), {}, "http: HTTP 302"),
        (body("gone", 404), {}, "http: HTTP 404: gone"),
        (body("[]", Link='</bills?page=2>; rel="next"'), {}, "one page of several"),
        (body("[{"), {}, "http: the answer is not JSON"),
        (body("{}"), {}, r"the answer has no list \(say where"),
        (body('{"bills": {}}'), {"list": "/bills"}, "no list at /bills"),
        (body('{"bills": [{"id": 1}], "n": 2}'), {"list": "/bills", "count": "/n"}, "has 1 elements, and 2 at /n"),
        (body('[{"id": 1}, {"no": 1}]'), {}, r"element 1 has nothing at /id: \{'no': 1\}"),
        (body("[5]"), {}, "element 0 has nothing at /id: 5"),
    ],
)
async def test_what_cannot_be_read_whole_is_no_empty_read(answer: Any, said: Any, says: str) -> None:
    with pytest.raises(StackError, match=says):
        await read(answer, **said)


def test_an_addresses_file_may_say_where_a_list_is() -> None:
    here = Described.model_validate({"applies": ["placed"], "http": {"url": "http://{shop}/bills", "id": "/id"}})
    assert here.read_at("http://there:80/bills").urls == ["http://there:80/bills"]
    assert here.read_at("postgresql://there/x").urls == ["http://{shop}/bills"]
