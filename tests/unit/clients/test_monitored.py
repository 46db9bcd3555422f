"""What MONITOR tells is read in bounded memory, whatever is told, and however it arrives."""

import asyncio
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from harness.clients.monitored import LONGEST, MOST, commands


def line(*words: bytes) -> bytes:
    """As a server writes it (sdscatrepr)."""
    told = b" ".join(b'"' + word.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"' for word in words)
    return b"1700000000.123456 [0 127.0.0.1:1] " + told + b"\r\n"


async def read(*chunks: bytes) -> list[list[str]]:
    reader = asyncio.StreamReader()
    found: list[list[str]] = []

    async def take() -> None:
        async for words in commands(reader):
            found.append(words)  # noqa: PERF401 - what was found is kept when it ends

    taking = asyncio.create_task(take())
    for chunk in chunks:
        reader.feed_data(chunk)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    reader.feed_eof()
    await taking
    return found


WORDS = st.lists(st.lists(st.sampled_from([b"a", b'"', b"\\", b" "])).map(b"".join), min_size=1, max_size=4)


@given(st.lists(WORDS, max_size=4), st.integers(1, 40))
async def test_words_are_the_same_however_they_arrive(lines: list[list[bytes]], size: int) -> None:
    text = b"+OK\r\n" + b"".join(line(*words) for words in lines)
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    escaped = [[word.replace(b"\\", b"\\\\").replace(b'"', b'\\"').decode() for word in words] for words in lines]
    assert await read(*chunks) == escaped


async def test_a_long_word_is_cut_off_and_what_follows_it_is_read() -> None:
    told = line(b"SET", b"key", b"x" * 700_000, b"NX") + line(b"DEL", b"key")
    assert await read(told) == [["SET", "key", "x" * LONGEST, "NX"], ["DEL", "key"]]


async def test_a_command_of_many_words_is_cut_off() -> None:
    (words,) = await read(line(b"MSET", *[b"word"] * 1000))
    assert words == ["MSET", *["word"] * (MOST - 1)]


async def test_a_word_that_does_not_end_is_not_held() -> None:
    reader = asyncio.StreamReader()
    reading = asyncio.ensure_future(anext(commands(reader)))
    reader.feed_data(b'1.1 [0 a:1] "SET" "key" "')
    tracemalloc.start()
    try:
        for _ in range(400):
            reader.feed_data(b"x" * 65_536)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2_000_000, "26 MB were told"
    reader.feed_data(b'"\r\n')
    assert await reading == ["SET", "key", "x" * LONGEST]
