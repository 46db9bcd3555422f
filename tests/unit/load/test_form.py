"""An upload is one multipart form: the file, and the fields that the front door asks for."""

import httpx

from harness.clients.http import HttpClient


async def sent(fields: dict[str, str]) -> tuple[httpx.Request, bytes]:
    got: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        got.append(request)
        return httpx.Response(202, json={"raw": "abc"})

    client = HttpClient()
    await client.close()
    client._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    await client.upload(
        "http://front/v1",
        field="file",
        name="a.txt",
        content=b"text",
        headers={"Idempotency-Key": "u1"},
        fields=fields,
    )
    await client.close()
    (request,) = got
    return request, request.content


async def test_the_form_has_the_file_and_the_fields() -> None:
    request, body = await sent({"batch_id": "b1", "batch_size": "3"})
    assert request.headers["Content-Type"].startswith("multipart/form-data")
    assert request.headers["Idempotency-Key"] == "u1"
    assert body.count(b"Content-Disposition: form-data") == 3
    assert b'name="batch_id"\r\n\r\nb1\r\n' in body
    assert b'name="batch_size"\r\n\r\n3\r\n' in body
    assert b'name="file"; filename="a.txt"' in body


async def test_another_try_is_the_same_request() -> None:
    (one, body), (other, again) = [await sent({"batch_id": "b1"}) for _ in range(2)]
    assert body == again
    assert one.headers == other.headers


async def test_without_fields_the_form_is_the_file_alone() -> None:
    _, body = await sent({})
    assert body.count(b"Content-Disposition: form-data") == 1
