"""Values that a program of the user's decodes: each answer is that of its value, or none counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness.clients.coders import Decoder, Encoder
from harness.coding import Decode, Encode
from harness.errors import StackError

REVERSES = """
import base64, json, sys
for line in sys.stdin:
    value = base64.b64decode(line)
    print(json.dumps({"read": value.decode()[::-1]}) if value != b"bad" else "null", flush=True)
"""
ONCE = """
import base64, sys
for line in sys.stdin:
    value = base64.b64decode(line)
"""


@pytest.fixture
async def made(tmp_path: Path):
    decoders: list[Decoder] = []

    def make(code: str, **described: str) -> Decoder:
        (tmp_path / "decoding.py").write_text(code)
        decoders.append(Decoder(Decode.model_validate(described or {"command": "python decoding.py"}), tmp_path))
        return decoders[-1]

    yield make
    for one in decoders:
        await one.program.close()


Made = Callable[..., Decoder]


async def test_a_program_answers_each_value_in_order(made: Made) -> None:
    reverses = made(REVERSES)
    assert await reverses.decode([]) == []
    assert await reverses.decode([b"ab", b"bad", b"cd"]) == [b'{"read": "ba"}', None, b'{"read": "dc"}']
    assert await reverses.decode([b"ef"]) == [b'{"read": "fe"}']


async def test_many_large_values_block_neither_side(made: Made) -> None:
    values = [bytes([65 + number % 26]) * 100_000 for number in range(60)]
    answers = await made(REVERSES).decode(values)
    assert [len(answer or b"") for answer in answers] == [len('{"read": ""}') + 100_000] * 60


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; sys.exit('no schema')", "decode: it ended with status 1; it said: no schema"),
        (ONCE + "    print('{}', flush=True)\n    sys.exit(3)", "decode: it ended with status 3"),
        (
            ONCE + "    print('reading', flush=True)",
            "decode: its answer is not JSON: reading; print one line of JSON",
        ),
        (ONCE + "    print('{', '}', sep=chr(10), flush=True)", "decode: its answer is not JSON: {; print"),
        (
            ONCE + "    print('NaN' if value else '1', *[2] * bool(value), sep=chr(10), flush=True)",
            "decode: it printed more",
        ),
        (ONCE + "    print('{}', end='', flush=True); break", "decode: it ended with status 0"),
    ],
    ids=["dies at once", "dies later", "talks", "several lines", "one more", "half a line"],
)
async def test_what_fails_says_why(made: Made, code: str, says: str) -> None:
    broken = made(code)

    async def decode() -> None:
        await broken.decode([])
        await broken.decode([b"a", b"b"])

    with pytest.raises(StackError, match="decode: ") as failure:
        await decode()
    assert str(failure.value).startswith(says)


async def test_one_that_hangs_is_ended(made: Made, tmp_path: Path) -> None:
    hangs = made("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(1000)")
    hangs.program.longest = 0.5
    while not (tmp_path / "pid").exists():
        with pytest.raises(StackError, match=r"no answer within 0\.5 s"):
            await hangs.decode([b"a"])
    pid = int((tmp_path / "pid").read_text())
    async with asyncio.timeout(30):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)


async def test_one_that_cannot_be_started_says_so(made: Made) -> None:
    with pytest.raises(StackError, match=r"decode: it cannot be started: .*no-such"):
        await made("", command="./no-such").decode([])


async def test_after_a_failure_it_is_started_again(made: Made, tmp_path: Path) -> None:
    dies = made("import os, sys; os.path.exists('mended') or sys.exit('not mended')\n" + REVERSES)
    for _ in range(2):
        with pytest.raises(StackError) as failure:
            await dies.decode([b"ab"])
        assert str(failure.value) == "decode: it ended with status 1; it said: not mended"
    (tmp_path / "mended").touch()
    assert await dies.decode([b"ab"]) == [b'{"read": "ba"}']


async def test_a_function_gets_bytes_and_may_print(made: Made) -> None:
    code = """
from datetime import date
from decimal import Decimal

def order(value):
    print("decoding", value)
    return {"id": value.decode(), "sum": Decimal("1.10"), "on": date(2026, 1, 2), "raw": b"\\x00"}
"""
    of_function = made(code, function="decoding:order")
    wanted = b'{"id":"a","sum":"1.10","on":"2026-01-02","raw":"AA=="}'
    assert await of_function.decode([b"a", b"\xff", b"a"]) == [wanted, None, wanted]


LATE = """
import base64, json, sys
for line in sys.stdin:
    value = base64.b64decode(line)
    print("null" if value in (b"", b"bad") else json.dumps(value.decode()), flush=True)
    if value == b"bad":
        print("null", flush=True)
"""


async def test_one_line_too_many_is_found_out_though_what_comes_last_cannot_be_decoded(made: Made) -> None:
    for batches in ([[b"good"], [b"bad", b"more", b"bad"]], [[b"bad", b"good", b"bad"]], [[b"good"], [b"bad"]]):
        late = made(LATE)
        assert await late.decode([]) == []

        async def all_of_them(late: Decoder = late, batches: list[list[bytes]] = batches) -> None:
            for values in batches:
                await late.decode(values)

        with pytest.raises(StackError, match="printed more lines"):
            await all_of_them()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("open('no-such-schema')", "no-such-schema"),
        ("raise MemoryError", "MemoryError"),
    ],
)
async def test_what_says_nothing_about_the_value_ends_the_program(made: Made, body: str, says: str) -> None:
    of_function = made(f"def order(value):\n    {body}\n", function="decoding:order")
    with pytest.raises(StackError, match=rf"(?s)decode: it ended with status 1; it said: .*{says}"):
        await of_function.decode([b"a"])


@pytest.mark.parametrize(
    ("made_of_it", "says"),
    [
        ("object()", "JSON has no form for object"),
        ("{1, 2}", "JSON has no form for set"),
        ("1 << 70", "Integer exceeds 64-bit range"),
        ("nested(300)", "Recursion limit reached"),
    ],
)
async def test_what_cannot_be_written_as_json_is_one_record_that_cannot_be_read(
    made: Made, made_of_it: str, says: str
) -> None:
    code = f"""
def nested(depth):
    return [nested(depth - 1)] if depth else "deep"

def order(value):
    return {made_of_it} if value == b"odd" else value.decode()
"""
    of_function = made(code, function="decoding:order")
    assert await of_function.decode([b"a", b"odd", b"b"]) == [b'"a"', None, b'"b"']
    assert says in of_function.program.said()


async def test_one_answer_nested_too_deeply_is_left_to_its_own_record(made: Made) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    program = """
import base64, sys
for line in sys.stdin:
    value = base64.b64decode(line)
    print("[" * 100_000 + "]" * 100_000 if value == b"deep" else "null" if not value else "1", flush=True)
"""
    assert await made(program).decode([b"a", b"deep", b"b"]) == [b"1", deep.encode(), b"1"]


async def test_numbers_may_be_keys(made: Made) -> None:
    of_function = made("def order(value):\n    return {7: 'seven'}\n", function="decoding:order")
    assert await of_function.decode([b"a"]) == [b'{"7":"seven"}']


async def test_one_that_has_no_more_to_read_ends_by_itself(made: Made, tmp_path: Path) -> None:
    last = made(REVERSES + "open('ended', 'w').write('in order')\n")
    await last.decode([b"ab"])
    await last.program.close()
    assert (tmp_path / "ended").read_text() == "in order"


async def test_a_function_that_is_not_there_says_so(made: Made) -> None:
    with pytest.raises(
        StackError, match=r"(?s)decode: it ended with status 1; it said: .*has no attribute 'missing'"
    ):
        await made("", function="decoding:missing").decode([])


@pytest.fixture
async def encodes(made: Made, tmp_path: Path):
    encoders: list[Encoder] = []

    def make(code: str, decoding: str = REVERSES, **described: str) -> Encoder:
        (tmp_path / "encoding.py").write_text(code)
        encode = Encode.model_validate(described or {"command": "python encoding.py"})
        encoders.append(Encoder(encode, made(decoding), tmp_path))
        return encoders[-1]

    yield make
    for one in encoders:
        await one.close()


async def test_what_is_encoded_is_decoded_again(encodes) -> None:
    once = encodes(
        "import base64, sys\nfor line in sys.stdin: print(base64.b64encode(line.strip()[::-1].encode()).decode(), flush=True)"
    )
    assert await once.encode(b"ab") == (b"ba", b'{"read": "ab"}')
    assert await once.encode(b"cd") == (b"dc", b'{"read": "cd"}')


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "import sys\nfor line in sys.stdin: print('no', 'base64', flush=True)",
            "encode: its answer is not base64: no bas",
        ),
        (
            "import sys\nfor line in sys.stdin: print('YmFk', flush=True)",
            "encode: events.decode cannot decode what it made",
        ),
        ("import sys; sys.exit('no schema')", "encode: it ended with status 1; it said: no schema"),
    ],
)
async def test_an_encoder_that_fails_says_why(encodes, code: str, says: str) -> None:
    with pytest.raises(StackError, match="encode: ") as failure:
        await encodes(code).encode(b"{}")
    assert str(failure.value).startswith(says)


async def test_a_function_encodes_what_the_json_holds(encodes, tmp_path: Path) -> None:
    code = "def order(event):\n    return event['id'].encode()\n"
    of_function = encodes(code, function="encoding:order")
    assert await of_function.encode(b'{"id": "ab"}') == (b"ab", b'{"read": "ba"}')
    with pytest.raises(StackError, match=r"(?s)encode: it ended with status 1; it said: .*KeyError"):
        await of_function.encode(b"{}")
