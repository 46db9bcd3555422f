"""A program of the user's is the client: each line that it prints ends one upload, whatever the order."""

import asyncio
import hashlib
import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness.clients.line_program import LineProgram
from harness.errors import StackError, first_on_purpose
from harness.load import client_program
from harness.load.client_program import ClientProgram
from harness.load.documents import Document
from harness.load.sending import Sent, Upload
from harness.load.uploads import Load
from harness.scenario import LoadShape
from harness.system_load import CommandLoad
from tests.standin import StandIn

READS = "import hashlib, json, sys, time\nlines = (json.loads(line) for line in sys.stdin)\n"
SAYS = "def say(**answer):\n    print(json.dumps(answer), flush=True)\n"


class Tape(StandIn):
    """A recorder that keeps how each operation began and ended."""

    def __init__(self) -> None:
        self.begun: dict[str, dict[str, Any]] = {}
        self.ended: dict[str, dict[str, Any]] = {}

    @contextmanager
    def operation(self, op: str, actor: str, **fields: object) -> Iterator[SimpleNamespace]:
        upload = str(fields["upload_id"])
        assert upload not in self.begun
        self.begun[upload] = fields

        def end(phase: str):
            return lambda **more: self.ended.update({upload: {"phase": phase, **more}})

        yield SimpleNamespace(ok=end("ok"), fail=end("fail"), unknown=end("unknown"))

    def phases(self) -> list[str]:
        return [end["phase"] for _, end in sorted(self.ended.items())]


async def drive(
    body: str, folder: Path, uploads: int = 3, template: dict[str, Any] | None = None, silent: float = 60.0
) -> tuple[Tape, Load]:
    """Send uploads by a program that runs ``body``, which has ``lines`` and ``say``."""
    described = CommandLoad(run="client", template=template or {"id": "{id}", "n": "{n}"})
    shape = LoadShape.model_validate({"uploads": uploads, "rate": "500/s", "rejected": "0%", "retries": 3})
    tape = Tape()
    load = Load(shape, described, run="r1", seed=1, recorder=tape, folder=folder)
    program = LineProgram("load.command", [sys.executable, "-c", READS + SAYS + body], folder)
    sender = ClientProgram(program, documents=described.carries != "nothing")
    sender.silent = silent
    load.open(sender)
    load.prepare()
    with first_on_purpose():
        await load.run()
    return tape, load


def upload(name: str) -> Upload:
    return Upload(name, "batch", 1, Document("", b"", acceptable=True), json.dumps({"id": name}).encode())


async def test_an_answer_ends_its_upload(tmp_path: Path) -> None:
    body = "for line in lines: say(id=line['id'], ok=[True, False, None][line['n']], error='so')"
    tape, load = await drive(body, tmp_path)
    assert tape.phases() == ["ok", "fail", "unknown"]
    assert tape.ended["r1-0000002"]["error"] == "so"
    assert load.answers.acknowledged == 1
    assert all(begun["sha256"] is None and begun["file_name"] is None for begun in tape.begun.values())


async def test_answers_may_come_in_any_order(tmp_path: Path) -> None:
    body = "for line in reversed([next(lines) for _ in range(5)]): say(id=line['id'], ok=line['n'] % 2 == 0)"
    tape, _ = await drive(body, tmp_path, uploads=5)
    assert tape.phases() == ["ok", "fail", "ok", "fail", "ok"]


async def test_a_document_goes_with_it_and_its_digest_is_known(tmp_path: Path) -> None:
    body = (
        "import base64\n"
        "for line in lines:\n"
        "    raw = base64.b64decode(line['file'])\n"
        "    say(id=line['key'], ok=True, blob=hashlib.sha256(raw).hexdigest())"
    )
    kept: dict[str, str] = {}
    template = {"key": "{id}", "file": "{base64}", "called": "{file_name}"}
    tape, _ = await drive(body, tmp_path, 20, template)
    for upload, begun in tape.begun.items():
        kept[upload] = tape.ended[upload]["raw_file_storage_id"]
        assert begun["sha256"] is None
        assert kept[upload] == tape.ended[upload]["sha256"]
        assert begun["file_name"]
    assert len(set(kept.values())) > 5


async def test_a_blob_that_only_the_program_knows_needs_its_digest(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    tape, _ = await drive(f"for line in lines: say(id=line['id'], ok=True, blob='b', sha256='{digest}')", tmp_path)
    assert {(end["raw_file_storage_id"], end["sha256"]) for end in tape.ended.values()} == {("b", digest)}
    with pytest.raises(StackError, match="names a blob, but not the sha256 of its bytes"):
        await drive("for line in lines: say(id=line['id'], ok=True, blob='b')", tmp_path)


def client(body: str, folder: Path, silent: float = 60.0) -> ClientProgram:
    program = LineProgram("load.command", [sys.executable, "-c", READS + SAYS + body], folder)
    made = ClientProgram(program, documents=False)
    made.silent = silent
    return made


async def send(one: ClientProgram, name: str) -> Sent:
    return await one.send(upload(name), lambda: None)


async def test_one_that_falls_silent_leaves_its_uploads_unknown(tmp_path: Path) -> None:
    tape, load = await drive("next(lines); time.sleep(60)", tmp_path, uploads=3, silent=0.5)
    assert tape.phases() == ["unknown"] * 3
    assert "no line went into the program or came out of it for 0.5 s" in tape.ended["r1-0000000"]["error"]
    assert not load.answers.acknowledged


async def test_a_slow_one_is_not_silent(tmp_path: Path) -> None:
    """The last waits for three answers, which take longer in all than silence is."""
    one = client(
        "for line in lines:\n    time.sleep(1.5 if line['id'] != 'a' else 0)\n    say(id=line['id'], ok=True)",
        tmp_path,
    )
    assert (await send(one, "a")).phase == "ok"
    one.silent = 4.0
    assert {sent.phase for sent in await asyncio.gather(*(send(one, name) for name in "bcd"))} == {"ok"}
    await one.close()


@pytest.mark.parametrize("ok", ["None", "False"])
async def test_an_answer_after_a_silence_is_passed_over(tmp_path: Path, ok: str) -> None:
    one = client(
        f"a, b = next(lines), next(lines)\nsay(id=a['id'], ok={ok}); say(id=b['id'], ok=True)", tmp_path, 0.3
    )
    assert (await send(one, "a")).phase == "unknown"
    one.silent = 60.0
    assert (await send(one, "b")).phase == "ok"
    await one.close()


async def test_but_not_a_yes_for_the_system_owes_that_upload(tmp_path: Path) -> None:
    one = client("a, b = next(lines), next(lines)\nsay(id=a['id'], ok=True); time.sleep(60)", tmp_path, 0.3)
    assert (await send(one, "a")).phase == "unknown"
    one.silent = 60.0
    with pytest.raises(StackError, match=r"said ok for a only after"):
        await send(one, "b")
    await one.end()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "a = next(lines)\nsay(id=a['id'], ok=True)\nlist(lines)\nsay(id=a['id'], ok=False)",
            "has answered for before",
        ),
        ("say(id=next(lines)['id'], ok=True)\nlist(lines)\nprint('bye')", "its answer cannot be understood"),
        (
            "say(id=next(lines)['id'], ok=True)\nlist(lines)\nsys.exit('not sent: 3')",
            "status 1; it said: not sent: 3",
        ),
    ],
)
async def test_what_goes_wrong_once_all_is_answered_counts_too(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(StackError) as failed:
        await drive(body, tmp_path, uploads=1)
    assert said in str(failed.value)


async def test_one_that_does_not_end_by_itself_is_ended_and_said_to_be_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_program, "_ENDS_WITHIN", 1.0)
    with pytest.raises(StackError, match=r"did not end within 1 s of its input's end"):
        await drive("say(id=next(lines)['id'], ok=True)\ntime.sleep(600)", tmp_path, uploads=1)


async def test_it_may_have_had_nothing_to_do_for_longer_than_silence_is(tmp_path: Path) -> None:
    one = client("for line in lines: say(id=line['id'], ok=True)", tmp_path)
    assert (await send(one, "a")).phase == "ok"
    one._moved -= 1000
    assert (await send(one, "b")).phase == "ok"
    await one.close()


async def test_where_the_harness_stood_still_an_answer_that_is_there_counts(tmp_path: Path) -> None:
    one = client("for line in lines: say(id=line['id'], ok=True)", tmp_path)
    assert (await send(one, "a")).phase == "ok"
    given = asyncio.Event()
    sending = asyncio.create_task(one.send(upload("b"), given.set))
    await given.wait()
    child = one._program._child
    assert child is not None
    # Nothing of the loop's runs while this waits, so the answer is there and has not been read.
    select.select([child._transport.get_pipe_transport(1).get_extra_info("pipe")], [], [], 60)  # type: ignore[attr-defined]
    one._moved -= 1000
    assert (await sending).phase == "ok"
    await one.close()


async def test_a_process_that_it_leaves_behind_keeps_nobody_waiting(tmp_path: Path) -> None:
    body = (
        "import subprocess\n"
        "left = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "print(left.pid, file=sys.stderr, flush=True)\n"
        "for line in lines: say(id=line['id'], ok=True)"
    )
    one = client(body, tmp_path)
    assert (await send(one, "a")).phase == "ok"
    left = int(one._program.said())
    try:
        async with asyncio.timeout(30):
            await one.close()
    finally:
        os.kill(left, signal.SIGKILL)


async def test_what_it_says_of_an_error_is_cut(tmp_path: Path) -> None:
    tape, _ = await drive("for line in lines: say(id=line['id'], ok=None, error='x' * 10000)", tmp_path, uploads=1)
    assert len(tape.ended["r1-0000000"]["error"]) == 2000


async def test_python_prints_at_once_whether_or_not_it_flushes(tmp_path: Path) -> None:
    tape, _ = await drive("for line in lines: print(json.dumps({'id': line['id'], 'ok': True}))", tmp_path)
    assert tape.phases() == ["ok"] * 3


async def test_the_bytes_are_what_the_program_says_whatever_became_of_the_upload(tmp_path: Path) -> None:
    digest = "AB" * 32
    template = {"id": "{id}", "file": "{text}"}
    body = f"for line in lines: say(id=line['id'], ok=None, sha256='{digest}')"
    tape, _ = await drive(body, tmp_path, 2, template)
    assert {end["sha256"] for end in tape.ended.values()} == {digest.lower()}
    tape, _ = await drive("for line in lines: say(id=line['id'], ok=None)", tmp_path, 2, template)
    assert {end["sha256"] for end in tape.ended.values()} == {None}
    tape, _ = await drive("for line in lines: say(id=line['id'], ok=True, blob='b')", tmp_path, 2, template)
    assert all(len(end["sha256"]) == 64 for end in tape.ended.values())


async def test_an_empty_text_names_no_blob(tmp_path: Path) -> None:
    body = "for line in lines: say(id=line['id'], ok=True, blob='', sha256='', error=None)"
    tape, _ = await drive(body, tmp_path)
    assert {(end["raw_file_storage_id"], end["sha256"]) for end in tape.ended.values()} == {(None, None)}


async def test_what_is_in_its_queue_has_begun_and_is_not_under_way(tmp_path: Path) -> None:
    shape = LoadShape.model_validate({"uploads": 3, "rate": "500/s", "rejected": "0%"})
    load = Load(shape, CommandLoad(run="client"), run="r1", seed=1, recorder=Tape(), folder=tmp_path)
    waits = "first = [next(lines) for _ in '123']; open('go').read()\nfor line in first: say(id=line['id'], ok=True)"
    load.open(client(waits, tmp_path))
    os.mkfifo(tmp_path / "go")
    load.prepare()
    running = asyncio.create_task(load.run())
    async with asyncio.timeout(30):
        while load.answers.begun < 3:
            await asyncio.sleep(0.01)
    assert (load.answers.ended, load.answers.under_way) == (0, 0)
    await asyncio.to_thread((tmp_path / "go").write_text, "")
    await running
    assert (load.answers.begun, load.answers.ended) == (3, 3)


async def test_it_does_not_outlive_the_harness(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from harness.clients.line_program import LineProgram\n"
        "async def main():\n"
        "    program = LineProgram('load.command', ['sh', '-c', 'sleep 600 & echo $!; wait; echo'], Path('.'))\n"
        "    await program.give(b'{}')\n"
        "    print((await program.line() or b'').decode(), flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    harness = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert harness.stdout is not None
    pid = int(await harness.stdout.readline())
    harness.kill()
    await harness.wait()
    async with asyncio.timeout(30):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise SystemExit('no such host')", "it ended with status 1; it said: no such host"),
        ("next(lines); sys.exit(3)", "it ended with status 3"),
        ("next(lines); print('hello', flush=True); time.sleep(60)", "its answer cannot be understood"),
        ("say(id=next(lines)['id'], ok='yes'); time.sleep(60)", "ok: Input should be a valid boolean"),
        ("say(id=next(lines)['id']); time.sleep(60)", "ok: Field required"),
        ("say(id=next(lines)['id'] + 'x', ok=True); time.sleep(60)", "which it was not given"),
        ("a = next(lines)\nfor _ in '12': say(id=a['id'], ok=True)\ntime.sleep(60)", "or has answered for before"),
        ("say(id=next(lines)['id'], ok=True, blob='b', sha256='AB'); time.sleep(60)", "sha256: String should match"),
        ("import os; next(lines); os.close(1); time.sleep(60)", "it closed its standard output"),
    ],
)
async def test_a_program_that_fails_ends_the_run_and_says_why(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(StackError) as failed:
        await drive(body, tmp_path, uploads=30)
    assert said in str(failed.value)
    assert str(failed.value).startswith("load.command: ")


async def test_once_it_has_failed_nobody_waits_for_it(tmp_path: Path) -> None:
    program = LineProgram("load.command", [sys.executable, "-c", "raise SystemExit(1)"], tmp_path)
    client = ClientProgram(program, documents=False)
    for name in ("a", "b"):
        async with asyncio.timeout(30):
            with pytest.raises(StackError):
                await send(client, name)
    await client.end()


async def test_one_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    client = ClientProgram(LineProgram("load.command", ["./no-such"], tmp_path), documents=False)
    with pytest.raises(StackError, match=r"load\.command: it cannot be started"):
        await send(client, "a")
    await client.close()


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({"run": "'"}, "close every quote"),
        ({"run": "a", "template": {"n": "{n}"}}, 'template: write "{id}" in it'),
        ({"run": "a", "template": {"id": "{uuid}"}}, "{uuid} is not filled in here"),
        ({"run": "a", "files": {"folder": "b"}}, "files: the template holds no document"),
    ],
)
def test_one_that_cannot_be_is_refused(described: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="alidation error") as refused:
        CommandLoad.model_validate(described)
    assert said in str(refused.value)
