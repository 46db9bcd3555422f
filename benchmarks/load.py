"""Uploads a second that one Locust process sends, with and without recording, to a front door that does nothing."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson

from harness.load.locust_load import Users, command, environment, read_figures
from harness.load.target import VARIABLE, Target
from harness.system_load import UploadLoad

ROUNDS = 3
SECONDS = 10
USERS = 20

DOOR = """
import asyncio, sys
ANSWER = b'HTTP/1.1 202 Accepted\\r\\nContent-Length: 16\\r\\n\\r\\n{"raw":"b-12345"}'

async def serve(reader, writer):
    while True:
        try:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = next(int(l.split(b":")[1]) for l in head.split(b"\\r\\n") if l.lower().startswith(b"content-length"))
            await reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        writer.write(ANSWER)

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

USER = """
from harness.load.locust_user import Uploader
from locust import constant, task

class Recording(Uploader):
    think = constant(0)

    @task
    def hand_in(self):
        self.upload("accepted")
"""

SILENT = (
    USER.replace("class Recording(Uploader):", "class Silent(Uploader):\n    abstract = False")
    + """
    def __init__(self, environment):
        super().__init__(environment)
        from types import SimpleNamespace
        self.site = SimpleNamespace(
            target=self.site.target, worker=self.site.worker, users=self.site.users, part=Nothing()
        )

class Nothing:
    def now(self):
        import time
        return time.monotonic_ns()

    def operation(self, *_, **__):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ok(self, **_):
        pass

    fail = unknown = ok
"""
)


def drive(folder: Path, text: str, url: str) -> float:
    """Return the uploads a second of one Locust process whose users never think."""
    folder.mkdir()
    file = folder / "locustfile.py"
    file.write_text(text)
    target = Target(
        run="bench",
        front_door=url,
        upload=UploadLoad(to="front", post="/v1/files", blob="/raw"),
        parts=folder / "parts",
        owner=os.getpid(),
    )
    (folder / "target.json").write_text(target.model_dump_json())
    users = Users(USERS, USERS, SECONDS, file, options=("--run-time", f"{SECONDS}s"))
    env = {**environment(), VARIABLE: str(folder / "target.json")}
    subprocess.run(command(users, folder, url), env=env, check=True, capture_output=True, timeout=60 + SECONDS)
    written = sum(len(path.read_bytes().splitlines()) - 2 for path in (folder / "parts").glob("*"))
    figures = read_figures(folder)
    if figures is None:
        raise SystemExit("Locust wrote no figures")
    if bool(written) == (text is SILENT):
        raise SystemExit(f"{written} records were written, which is not what was to be measured")
    return figures["per_second"]


def main() -> None:
    """Print both rates of each round, and their ratio."""
    door = subprocess.Popen([sys.executable, "-c", DOOR], stdout=subprocess.PIPE)
    try:
        url = f"http://127.0.0.1:{orjson.loads(door.stdout.readline())}/v1/files"  # type: ignore[union-attr]
        with tempfile.TemporaryDirectory() as place:
            ratios = []
            for number in range(ROUNDS):
                recording = drive(Path(place, f"on{number}"), USER, url)
                silent = drive(Path(place, f"off{number}"), SILENT, url)
                ratios.append(recording / silent)
                print(
                    f"recording {recording:.0f} uploads/s, not recording {silent:.0f}: {ratios[-1]:.2f}", flush=True
                )
        print(
            f"recording against not recording: {statistics.median(ratios):.2f} (median of {ROUNDS} rounds; aim 0.9)"
        )
    finally:
        door.kill()
        door.wait()
