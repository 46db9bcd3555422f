"""Effects in real stores, in forms of which no whole run needs every kind."""

from __future__ import annotations

from typing import Any

from harness.clients.redis import RedisClient


async def test_keys_of_every_type_are_read_whole(rig: Any) -> None:
    """Also of more keys than one step of SCAN gives, and not those of another database."""
    first = RedisClient(rig.stack.direct("redis"))
    other = first.of(3)
    writer = other._client
    try:
        await writer.mset({f"kept[1]:{n}": f"{n}" for n in range(3000)})
        await writer.set("kept1:0", "not what the pattern says")
        await writer.hset("kept[1]:h", mapping={"event": "e1"})
        await writer.rpush("kept[1]:l", "e1", "e1")
        await writer.sadd("kept[1]:s", "e1")
        await writer.zadd("kept[1]:z", {"e1": 5})
        await writer.xadd("kept[1]:x", {"event": "e1"}, id="5-0")
        found = await other.contents(rb"kept\[1\]:*")
        assert len(found) == 3005
        assert all(found[b"kept[1]:%d" % n] == ("string", b"%d" % n) for n in range(3000))
        assert found[b"kept[1]:h"] == ("hash", {b"event": b"e1"})
        assert found[b"kept[1]:l"] == ("list", [b"e1", b"e1"])
        assert found[b"kept[1]:s"] == ("set", {b"e1"})
        assert found[b"kept[1]:z"] == ("zset", [b"e1"])
        assert found[b"kept[1]:x"] == ("stream", [(b"5-0", {b"event": b"e1"})])
        assert await first.contents(rb"kept\[1\]:*") == {}
    finally:
        await writer.flushdb()
        await other.close()
        await first.close()
