"""An upload that a busy machine answers with 503 is tried again, and is the same upload."""

from __future__ import annotations

from random import Random

import httpx
import pytest

from harness.load.documents import make
from tests.pipeline.door import hand_in


@pytest.mark.parametrize("decided", [202, 422])
async def test_a_503_is_tried_again_under_the_same_key(decided: int) -> None:
    statuses = iter([503, 503, decided])
    keys: list[str] = []

    def door(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(next(statuses), headers={"Retry-After": "0"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(door)) as http:
        answer = await hand_in(http, "http://door/v1/files", "one", make("txt_utf8", Random(1)), "batch", 1)
    assert (answer.status_code, keys) == (decided, ["one"] * 3)
