"""Effects that a program prints: only what a program that ended well printed counts."""

from __future__ import annotations

import os
import shlex
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from harness.effects import Effects as Described
from harness.effects import Total
from harness.errors import StackError
from harness.observers.command_lines import CommandLines
from harness.observers.effects import Effects
from harness.observers.totals import Totals


def printing(folder: Path, code: str, environment: dict[str, str] | None = None) -> CommandLines:
    (folder / "list.py").write_text(code)
    return CommandLines(
        "python list.py '{group}'", lambda word: word.replace("{group}", "g1"), environment or {}, folder
    )


async def read(source: CommandLines) -> list[Any]:
    rows: list[Any] = []
    await source.each(rows.extend, everything=True)
    return rows


async def test_each_line_is_an_effect(tmp_path: Path) -> None:
    code = """
import os, sys
print('{"id": "e1", "effect": 1, "carries": "d1", "more": {}}\\n\\n{"id": 17, "effect": 2}')
print('{"id": ["e1", 3], "effect": null}')
print(f'{{"id": "{sys.argv[1]}", "effect": "{os.environ["SHOP"]}"}}')
print("never an effect", file=sys.stderr)
"""
    assert await read(printing(tmp_path, code, {"SHOP": "s"})) == [
        {"id": "e1", "effect": "1", "carries": "d1"},
        {"id": "17", "effect": "2"},
        {"id": ["e1", 3], "effect": None},
        {"id": "g1", "effect": "s"},
    ]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "print('{\"id\": 1}'); import sys; sys.exit('no store')",
            r"command: it ended with status 1; it said: no store",
        ),
        (
            "print('{\"id\": 1}'); print('{\"id\": 2')",
            r'line 2 of its output is no JSON object: \{"id": 2; print one a line',
        ),
        ("print([1])", r"line 1 of its output is no JSON object: \[1\]"),
        ("print('{\"effect\": 1}')", r'line 1 of its output: \{"effect": 1\}: it has no `id`'),
        ("print('{\"id\": null}')", "it has no `id`"),
    ],
)
async def test_what_cannot_be_read_is_no_empty_read(tmp_path: Path, code: str, says: str) -> None:
    described = Described.model_validate({"applies": ["placed"], "command": "python list.py"})
    effects = Effects({"shop": described}, {"shop": printing(tmp_path, code)})
    with pytest.raises(StackError, match=says) as failed:
        _ = [row async for row in effects.read(final=True)]
    assert str(failed.value).startswith("effects.shop: command: ")
    assert effects.counts == {"shop": 0}


async def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    code = "import os, sys, time\nprint(os.getpid(), file=sys.stderr, flush=True)\nprint('{}', flush=True)\ntime.sleep(600)"
    source = printing(tmp_path, code)
    source.longest = 3.0
    with pytest.raises(
        StackError, match=r"command: it did not end within 3 s and was killed; it said: \d+"
    ) as failed:
        await read(source)
    with pytest.raises(ProcessLookupError):
        os.kill(int(str(failed.value).rpartition(" ")[2]), 0)


async def test_one_that_cannot_be_started_is_said(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="command: it cannot be started"):
        await read(CommandLines(shlex.quote(str(tmp_path / "gone")), str, {}, tmp_path))


async def test_a_total_is_read_digit_by_digit(tmp_path: Path) -> None:
    source = printing(tmp_path, 'print(\'{"id": "a", "total": 0.10}\\n{"id": "b", "total": "7.50"}\')')
    assert [row["total"] for row in await read(source)] == [Decimal("0.10"), "7.50"]
    total = Total.model_validate({"command": "python list.py", "adds": "/n", "by": "/account"})
    observer = Totals({"purse": total}, {"purse": source})
    rows = [(row["key"], row["total"]) async for row in observer.read(final=True)]
    assert rows == [("a", "0.1"), ("b", "7.5")]


def test_it_runs_with_the_harnesss_python() -> None:
    assert CommandLines("python3 x", str, {}, Path())._words[0] == sys.executable
