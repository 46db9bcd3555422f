"""From upload to ranking, accepted and rejected, under redelivery and SIGKILL: everything counted to the end."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

from harness.load.documents import make

ESSAYS = 30
COMPLETED = "huleedu.batch.assessment.completed.v1"
CORRECTED = "huleedu.essay.spellcheck.completed.v1"
CONSUMERS = ("essay_lifecycle", "batch_orchestrator", "spell_checker", "cj_assessment")


async def test_thirty_essays_make_thirty_effects_thirty_texts_and_one_ranking(pipeline) -> None:
    documents = {f"essay-{n:02d}": make("txt_utf8", Random(n)) for n in range(ESSAYS)}

    async def upload_all() -> list[object]:
        answers = await asyncio.gather(
            *(pipeline.upload(key, document, "batch", ESSAYS) for key, document in documents.items())
        )
        assert {answer.status_code for answer in answers} == {202}
        return [answer.json() for answer in answers]

    first = await upload_all()

    async def corrected() -> list[Any]:
        return await pipeline.told(CORRECTED)

    async def begun() -> list[str]:
        return await pipeline.effects("essay_lifecycle")

    await pipeline.until(begun)
    await pipeline.kill("essay_lifecycle#1")
    assert await upload_all() == first
    await pipeline.until(corrected)
    await pipeline.kill("spell_checker#1")
    await pipeline.kill("cj_assessment#2")

    async def ranked() -> list[Any]:
        return await pipeline.told(COMPLETED)

    await pipeline.until(ranked)
    for service in CONSUMERS:
        await pipeline.deliver_again(service)

    assert sorted(await pipeline.effects("essay_lifecycle")) == sorted(documents)
    assert len(await corrected()) == ESSAYS
    assert len({event["data"]["essay_id"] for event in await corrected()}) == ESSAYS
    assert len(await pipeline.effects("spell_checker")) == ESSAYS
    assert len(await pipeline.effects("batch_orchestrator")) == 2, "essays ready, and assessed"
    assert len(await pipeline.effects("cj_assessment")) == ESSAYS + 1, "each admitted, and ranked once"
    (ranking,) = await ranked()
    places = ranking["data"]["ranking"]
    assert [place["rank"] for place in places] == list(range(1, ESSAYS + 1))
    assert {place["essay_id"] for place in places} == set(documents)
    assert not list(await pipeline.kafka.tail("dead-letters", 1))


async def test_a_rejected_essay_is_left_out_of_the_ranking_and_kept(pipeline) -> None:
    good, bad = make("txt_utf8", Random(1)), make("txt_blank", Random(2))
    kept = {}
    for key, document in {"good": good, "bad": bad}.items():
        answer = await pipeline.upload(key, document, "mixed", 2)
        assert answer.status_code == 202
        kept[key] = answer.json()["raw_file_storage_id"]

    async def ranked() -> list[Any]:
        return await pipeline.told(COMPLETED)

    await pipeline.until(ranked)
    (ranking,) = await ranked()
    assert [place["essay_id"] for place in ranking["data"]["ranking"]] == ["good"]
    content = f"http://{pipeline.stack.direct('content_service')}/v1/content"
    for key, document in {"good": good, "bad": bad}.items():
        assert (await pipeline.http.get(f"{content}/{kept[key]}")).content == document.content
    result = json.loads((await pipeline.http.get(f"{content}/{ranking['data']['result_storage_id']}")).content)
    assert result["essays"] == ranking["data"]["ranking"]
