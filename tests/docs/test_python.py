"""The Python on the pages does what they say; the tests and the program of the page on pytest run on the real stack."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import fastavro
import pytest

from harness.clients.coders import Decoder
from harness.coding import Decode
from harness.errors import StackError
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "use-it-in-pytest.md"
FOREIGN = ROOT / "tests" / "chaos" / "foreign"
LONGEST = 1500.0
"""Seconds: a machine is busy at times."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    command = shlex.join(["python", str(FOREIGN / "shop.py")])
    system = {
        "extends": os.path.relpath(FOREIGN / "system.yaml", tmp_path),
        "services": {"shop": {"command": command, "env": {"FLAW": ""}}},
    }
    (tmp_path / "system.yaml").write_text(json.dumps(system))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (tmp_path / "tests").mkdir()
    for number, block in enumerate(one for one in blocks(PAGE) if one.language == "python"):
        name = f"test_{number}.py" if block.words == "test" else f"{block.words}.py"
        (tmp_path / "tests" / name).write_text(block.text)
    return tmp_path


@pytest.mark.wide
def test_the_page_does_what_it_says(project: Path) -> None:
    script = (
        "import runpy, sys, pytest\n"
        "status = pytest.main(['-p', 'no:locust', '-p', 'no:cacheprovider', '--oneffect-seed', '41', 'tests'])\n"
        "runpy.run_path('tests/program.py') if status == 0 else sys.exit(status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=False, timeout=LONGEST
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    assert "\nvalid {} .oneffect/runs/" in done.stdout


async def test_the_decoder_reads_what_serializers_with_a_registry_write(tmp_path: Path) -> None:
    (code,) = (one.text for one in blocks(PAGE.with_name("describe-your-system.md")) if one.language == "python")
    (tmp_path / "decoding.py").write_text(code)
    fields = [{"name": name, "type": "string"} for name in ("id", "type", "customer")]
    order = {"id": "e1", "type": "placed", "customer": "c"}
    written = io.BytesIO()
    fastavro.schemaless_writer(written, {"type": "record", "name": "Order", "fields": fields}, order)
    read = Decoder(Decode(function="decoding:order"), tmp_path)
    try:
        answers = await read.decode([b"\0\0\0\0\7" + written.getvalue(), b"{}", b"\1\0\0\0\7"])
        with pytest.raises(StackError, match=r"(?s)it said: .*schema 6 is not known here"):
            await read.decode([b"\0\0\0\0\6" + written.getvalue()])
    finally:
        await read.program.close()
    assert [json.loads(answer or b"null") for answer in answers] == [order, None, None]
