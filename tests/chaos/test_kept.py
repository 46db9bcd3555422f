"""``run --keep`` on the real stack: databases, Redis' files and blobs can be opened afterwards."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.clients import sql
from harness.stack import RunNames
from harness.stacks.native.parts import Postgres, require
from harness.stacks.native.ports import Ports
from harness.stacks.native.postgres import USER, PostgresServer
from harness.stacks.process import Launch

ROOT = Path(__file__).parents[2]
ONEFFECT = str(Path(sys.executable).with_name("oneffect"))
PATIENCE = 600.0
UPLOADS = 20


@pytest.mark.wide
def test_what_a_run_kept_can_be_opened(tmp_path: Path) -> None:
    scenario = tmp_path / "one.yaml"
    system = ROOT / "reference_impl" / "system.postgres.yaml"
    load = f"{{uploads: {UPLOADS}, rate: 20/s, retries: 20}}"
    scenario.write_text(f"oneffect: 1\nname: one\nsystem: {system}\nload: {load}\nexpect: valid\n")
    words = [ONEFFECT, "run", str(scenario), "--keep", "--out", str(tmp_path / "runs"), "--seed", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = tmp_path.glob("runs/*-one-*")
    assert (
        f"data: {run / 'data'}\n  not kept: kafka: the history holds what was read from its topics\n" in done.stdout
    )
    stores, services = run / "data" / "stores", run / "data" / "services"
    assert any(file.stat().st_size for file in (stores / "redis").rglob("*.aof"))
    assert sum(file.is_file() for file in (services / "content_service").rglob("*")) >= UPLOADS
    header = json.loads((run / "history.jsonl").read_text().partition("\n")[0])
    database = RunNames(header["run"]).database("essay_lifecycle")
    assert asyncio.run(effects(stores / "postgres", database, tmp_path)) == UPLOADS


async def effects(kept: Path, database: str, folder: Path) -> int:
    """How many a server that begins with a copy of the kept files has in a database."""
    ports = Ports()
    try:
        address = f"127.0.0.1:{ports.take()}"
        parts = Postgres(require().postgres.binaries, kept)
        launch = Launch((), {"LANG": "C.UTF-8"}, Path("/"), folder / "postgres.log")
        server = PostgresServer("again", parts, address, folder=folder / "files", config={}, launch=launch)
        await server.start()
        try:
            await server.ready(PATIENCE)
            url = f"postgresql://{USER}@{address}/{database}"
            (row,) = await sql.rows(url, "SELECT count(*) AS effects FROM effect_ledger")
        finally:
            await server.stop()
    finally:
        ports.close()
    return int(str(row["effects"]))
