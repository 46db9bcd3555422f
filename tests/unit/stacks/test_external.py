"""A stack that runs elsewhere: the user's own commands, and what cannot be had without them."""

import asyncio
import os
import shlex
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from harness.addresses import Commands
from harness.clients.commands import execute
from harness.clients.probes import Prober
from harness.errors import FaultError, PlanRefused, StackError
from harness.stack import Forgetful, Killable, Link, Pausable, Probe, Rerouting, ServiceHandle, Stoppable, Tapping
from harness.stacks.broker_proxy import left_behind
from harness.stacks.external import handle as handles
from harness.stacks.external.handle import ExternalHandle
from harness.stacks.external.led import Led
from harness.stacks.external.link import ExternalLink
from harness.stacks.external.stack import ATTEMPTS, ExternalStack
from harness.stacks.toxics import Toxics
from harness.system import Prints
from tests.unit.test_addresses import GOOD, SYSTEM

PATIENCE = 20.0


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


async def run(text: str, tmp_path: Path, longest: float = PATIENCE) -> None:
    await execute(
        text, "commands.x.kill", cwd=tmp_path, hide=lambda said: said.replace("hush", "***"), longest=longest
    )


async def test_a_command_runs_in_its_folder_and_without_a_shell(tmp_path: Path) -> None:
    await run(python("import sys; open('made', 'w').write(sys.argv[1])") + " '$HOME;a b'", tmp_path)
    assert (tmp_path / "made").read_text() == "$HOME;a b"


async def test_a_command_that_fails_says_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match=r"commands\.x\.kill: the command ended with status 3: no such pod \*\*\*$"):
        await run(python("print('no such pod hush', flush=True); exit(3)"), tmp_path)


@pytest.mark.parametrize("text", ["no-such-program-anywhere", "a 'b"])
async def test_a_command_that_cannot_be_started(tmp_path: Path, text: str) -> None:
    with pytest.raises(FaultError, match="cannot be started"):
        await run(text, tmp_path)


async def test_a_command_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('pid', 'w').write(str(child.pid)); time.sleep(600)"
    )
    with pytest.raises(FaultError, match="did not end within 2 s"):
        await run(python(code), tmp_path, longest=2)
    pid = int((tmp_path / "pid").read_text())
    async with asyncio.timeout(PATIENCE):
        while _runs(pid):
            await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


class Elsewhere:
    """Something that answers until a command ends it."""

    def __init__(self, *deaf: str) -> None:
        self.answers = True
        self.done: list[str] = []
        self._deaf = deaf

    async def look(self, timeout: float) -> Probe:
        return Probe(self.answers, 0.0, "" if self.answers else "refused")

    async def execute(self, text: str, what: str) -> None:
        self.done.append(text)
        if text not in self._deaf:
            self.answers = text in {"start", "resume"}


def handle(elsewhere: Elsewhere, *commands: str) -> ExternalHandle:
    made = Commands.model_validate({name: name for name in commands})
    return ExternalHandle("ledger#1", made, elsewhere.look, elsewhere.execute)


async def test_what_is_killed_is_down_until_it_is_started() -> None:
    elsewhere = Elsewhere()
    one = handle(elsewhere, "kill", "start")
    await one.start()  # it was never ended
    assert not one.ended_on_purpose
    assert (await one.kill(), await one.state(), one.ended_on_purpose) == (-signal.SIGKILL, "exited", True)
    with pytest.raises(StackError, match="ledger#1 does not answer: refused"):
        await one.ready(0.1)
    await one.start()
    assert not one.ended_on_purpose
    await one.ready(PATIENCE)
    assert elsewhere.done == ["kill", "start"]


async def test_what_is_paused_is_resumed_once() -> None:
    elsewhere = Elsewhere()
    one = handle(elsewhere, "pause", "resume")
    await one.pause()
    assert await one.state() == "paused"
    await one.resume()
    await one.resume()
    assert (elsewhere.done, await one.state()) == (["pause", "resume"], "ready")


async def test_a_command_that_did_nothing_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "SILENT_WITHIN", 0.1)
    with pytest.raises(FaultError, match="still answers"):
        await handle(Elsewhere("kill"), "kill").kill()


class Slow(Elsewhere):
    """A busy machine: no answer comes within ``seconds``."""

    def __init__(self, seconds: float, *deaf: str) -> None:
        super().__init__(*deaf)
        self._seconds = seconds

    async def look(self, timeout: float) -> Probe:
        taken = min(timeout, self._seconds)
        return Probe(self.answers and timeout >= self._seconds, taken, "no answer")


async def test_one_that_is_slow_to_answer_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "SILENT_WITHIN", 0.1)
    with pytest.raises(FaultError, match="still answers"):
        await handle(Slow(3.0, "pause"), "pause", "resume").pause()


async def test_an_answer_that_takes_longer_than_the_first_look_is_waited_for() -> None:
    await handle(Slow(3.0)).ready(PATIENCE)


async def test_without_a_command_nothing_is_done() -> None:
    elsewhere = Elsewhere()
    with pytest.raises(FaultError, match=r"commands\.ledger#1\.stop"):
        await handle(elsewhere, "kill").stop()
    assert (elsewhere.done, await handle(elsewhere).state()) == ([], "ready")


def test_what_is_lacking_depends_on_the_target(tmp_path: Path) -> None:
    path = tmp_path / "there.yaml"
    path.write_text(GOOD + "commands: {ledger#1: {kill: k, pause: p}, redis: {kill: k, stop: s, forget: f}}\n")
    stack = ExternalStack(SYSTEM, path)
    had = [(Killable, "ledger#1"), (Killable, "redis"), (Stoppable, "redis"), (Forgetful, "redis"), (Link, "x")]
    assert not [stack.lacks(need, on) for need, on in [*had, (ServiceHandle, "shop#1")] if stack.lacks(need, on)]
    lacking = [(Killable, "ledger#2", "kill"), (Killable, "ledger", "kill"), (Pausable, "ledger#1", "resume")]
    for need, on, missing in lacking:
        assert f"{missing}: …" in (stack.lacks(need, on) or ""), on
    assert "dict" in (stack.lacks(dict, "redis") or "")


async def test_its_links_have_taps_where_there_is_a_place_for_them(tmp_path: Path) -> None:
    path = tmp_path / "there.yaml"
    path.write_text(GOOD)
    stack = ExternalStack(SYSTEM, path)
    assert "write taps: HOST" in (stack.lacks(Tapping) or "")
    assert (list(stack.rerouted), isinstance(stack, Rerouting), isinstance(stack, Tapping)) == ([], True, True)
    path.write_text(GOOD + "taps: 127.0.0.1\ncommands: {shop#1: {stop: s}}\n")
    stack = ExternalStack(SYSTEM, path)
    assert stack.lacks(Tapping) is None
    assert list(stack.rerouted) == ["shop#1->kafka"]
    stack._brokers["kafka"] = {1: "broker:9092"}
    detour = stack.detour("shop#1->kafka")
    assert (detour.upstream, detour.routes) == ("127.0.0.1:9092", {"broker:9092": "127.0.0.1:9101"})
    assert detour == stack.detour("shop#1->kafka")
    assert stack.detour("ledger#2->redis").routes is None
    await stack.stop()


def test_what_a_service_prints_elsewhere_is_not_seen(tmp_path: Path) -> None:
    path = tmp_path / "there.yaml"
    path.write_text(GOOD)
    services = {
        **SYSTEM.services,
        "ledger": SYSTEM.services["ledger"].model_copy(update={"ready": Prints(prints="up")}),
    }
    with pytest.raises(PlanRefused, match=r"services\.ledger\.ready: what it prints is not seen"):
        ExternalStack(SYSTEM.model_copy(update={"services": services}), path)


class Toxiproxies:
    """A Toxiproxy's API on which some ports are taken."""

    def __init__(self, taken: int) -> None:
        self.taken = taken
        self.there = {"shop_kafka": {"listen": "[::]:9101", "upstream": "one:9092"}}

    def __call__(self, address: str) -> Self:
        return self

    async def proxies(self) -> dict[str, dict[str, str]]:
        return self.there

    async def create(self, proxy: str, listen: str, upstream: str) -> None:
        self.taken -= 1
        if self.taken >= 0:
            message = "listen tcp: address already in use"
            raise FaultError(message)
        self.there[proxy] = {"listen": listen, "upstream": upstream}

    async def delete(self, proxy: str) -> None:
        del self.there[proxy]


@pytest.mark.parametrize("taken", [0, 3, 1000])
async def test_a_link_to_a_cluster_has_a_proxy_for_each_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    """One proxy leads to one of them: the clients of a link would go past it to the others."""

    async def several(address: str) -> dict[int, str]:
        return {1: "one:9092", 2: "two:9092"}

    api = Toxiproxies(taken)
    monkeypatch.setattr("harness.stacks.external.stack.brokers", several)
    monkeypatch.setattr("harness.stacks.external.stack.ToxiproxyClient", api)
    path = tmp_path / "there.yaml"
    path.write_text(GOOD + "taps: 10.0.0.2\ncommands: {shop#1: {stop: s}}\n")
    stack = ExternalStack(SYSTEM, path)
    link = stack.links["shop#1->kafka"]
    if taken > ATTEMPTS:
        with pytest.raises(StackError, match=r"links\.shop#1->kafka: the Toxiproxy at .* no proxy .* already in use"):
            await stack._open(link)
    else:
        await stack._open(link)
        made = {name: at for name, at in api.there.items() if name != link.proxy}
        assert list(made) == [f"oneffect-{link.proxy}-1", f"oneffect-{link.proxy}-2"]
        detour = stack.detour(link.name)
        assert detour.others == {
            one["upstream"]: to for one, to in zip(made.values(), ["one:9092", "two:9092"], strict=True)
        }
        for (broker, address), one in zip(detour.routes.items(), made.values(), strict=True):
            assert (detour.others[one["upstream"]], one["listen"].rpartition(":")[0]) == (broker, "[::]")
            assert address == f"127.0.0.1:{one['listen'].rpartition(':')[2]}"
        assert list(link.proxies) == [link.proxy, *made]
    await stack.stop()
    assert list(api.there) == [link.proxy] == list(link.proxies)


def test_only_what_the_harness_made_for_a_link_is_deleted() -> None:
    names = ["a", "oneffect-a-1", "oneffect-a-12", "oneffect-a-1-2", "oneffect-a-", "oneffect-b-1", "xoneffect-a-1"]
    assert left_behind("a", names) == ["oneffect-a-1", "oneffect-a-12"]
    assert left_behind("a-1", names) == ["oneffect-a-1-2"]


def test_where_a_proxy_led_is_known_after_a_harness_was_killed(tmp_path: Path) -> None:
    led = Led(tmp_path / "there.yaml")
    assert led.before() == {}
    led.keep("a", "broker:9092")
    led.keep("a", "127.0.0.1:20001")
    led.keep("b", "other:9092")
    again = Led(tmp_path / "there.yaml")
    assert again.before() == {"a": "broker:9092", "b": "other:9092"}
    again.over("a")
    again.over("b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("commands", "done"), [(("kill", "stop"), "stop"), (("kill",), "kill")])
async def test_what_is_started_again_is_down_between(commands: tuple[str, ...], done: str) -> None:
    elsewhere = Elsewhere()
    one = handle(elsewhere, *commands, "start")
    await one.restart()
    assert (elsewhere.done, one.ended_on_purpose) == ([done, "start"], False)


async def test_an_address_where_nothing_answers_is_said(tmp_path: Path) -> None:
    path = tmp_path / "there.yaml"
    path.write_text(GOOD.replace("127.0.0.1:", "127.0.0.1:1"))
    stack = ExternalStack(SYSTEM, path)
    with pytest.raises(StackError, match=r"Toxiproxy at 127\.0\.0\.1:1847[45] does not answer.*there\.yaml"):
        await stack.start()
    # It let go: the file is free for the next run.
    with pytest.raises(StackError, match="does not answer"):
        await stack.start()


async def test_one_run_at_a_time_has_it(tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "there.yaml"
    path.write_text(GOOD)
    other = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StackError, match="wait until it ends"):
            await ExternalStack(SYSTEM, path).start()
    finally:
        os.close(other)


@pytest.mark.parametrize(
    ("listens", "seen"),
    [
        ("127.0.0.1:{port}", 1),  # its own alone: another proxy has the same port at another address
        ("127.0.0.2:{port}", 1),
        ("127.0.0.3:{port}", 0),
        ("[::]:{port}", 2),
        ("0.0.0.0:{port}", 2),
        ("10.0.0.1:1", 2),  # in a network of its own: the port here leads there
    ],
)
async def test_traffic_is_that_of_the_address_where_the_proxy_listens(listens: str, seen: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
        with socket.create_server(("127.0.0.2", port)) as other:
            address = f"127.0.0.1:{port}"
            link = ExternalLink(
                "shop#1",
                "redis",
                toxics=Toxics("127.0.0.1:1", pytest.fail),
                proxy="p",
                address=address,
                api="127.0.0.1:1",
                prober=Prober(address, "redis", ""),
            )
            link.listens(listens.format(port=port))
            with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.2", port)):
                accepted = [one.accept()[0], other.accept()[0]]
                assert len((await link.traffic()).connections) == seen
                for each in accepted:
                    each.close()


async def test_a_store_with_a_password_answers_who_logs_in(tmp_path: Path) -> None:
    """Past every proxy, and through one: here the one address serves for both."""

    ended = asyncio.Queue[None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        known = False
        with suppress(ConnectionError):  # it is hung up on
            while head := await reader.readline():
                words = []
                for _ in range(int(head[1:])):
                    await reader.readline()
                    words.append((await reader.readline()).strip())
                if words[0] == b"AUTH":
                    known = words[1:] == [b"harness", b"sesame"]
                    writer.write(b"+OK\r\n" if known else b"-WRONGPASS of somebody else\r\n")
                elif known:
                    writer.write(b"$%d\r\n%b\r\n" % (len(words[1]), words[1]))
                else:
                    writer.write(b"-NOAUTH Authentication required.\r\n")
        writer.close()
        ended.put_nowait(None)

    server = await asyncio.start_server(serve, "127.0.0.1")
    async with server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        text = GOOD.replace("127.0.0.1:6379", address).replace("127.0.0.1:9102", address)
        path = tmp_path / "there.yaml"
        path.write_text(f"{text}logins: {{redis: {{user: harness, password: sesame}}}}\n")
        stack = ExternalStack(SYSTEM, path)
        assert await stack.dependencies["redis"].state() == "ready"
        assert (await stack.links["ledger#1->redis"].probe(PATIENCE)).answered
        path.write_text(text)
        refused = await ExternalStack(SYSTEM, path).links["ledger#1->redis"].probe(PATIENCE)
        assert not refused.answered
        assert "NOAUTH" in refused.error
        assert "logins in the addresses file" in refused.error
        for _ in range(3):
            await asyncio.wait_for(ended.get(), PATIENCE)
