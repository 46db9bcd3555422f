"""One stack that is up for hands: started with its services, told of, broken on request, and ended."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Protocol

import rfc8785

from harness.addresses import described, written
from harness.errors import UsageError
from harness.files import load
from harness.history.recorder import HistoryRecorder
from harness.injections import Injections
from harness.live import LiveSystem
from harness.log import NAME, logged
from harness.plan import check_variant, choose_stack, nearest_system, where_it_runs
from harness.redaction import Redaction
from harness.standing import FOLDER, Post, Standing
from harness.system import System, checks

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from harness.history.recorder import Recorder
    from harness.stack import RunNames, Stack

LOOK_EVERY = 0.5
"""Seconds between looks at whether every service is still there."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What shall be up, resolved and checked. ``seed`` is what faults on topics draw from."""

    system: System
    path: Path
    variant: str | None
    stack: str
    seed: int
    addresses: Path | None

    def document(self) -> dict[str, Any]:
        """As the history's header carries it: a plan without a scenario."""
        made = {
            "format": 1,
            "stack": self.stack,
            "seed": self.seed,
            "variant": self.variant,
            "scenario": None,
            "system": self.system.model_dump(mode="json"),
            "faults": [],
            "checks": checks(self.system),
        }
        return Redaction(self.system).plan(made)


def want(  # noqa: PLR0913 - what a command's words are
    path: Path | None, here: Path, *, variant: str | None, stack: str, seed: int, addresses: Path | None
) -> Wanted:
    """What the words of ``oneffect up`` come to; UsageError, FileError or PlanRefused say what is off."""
    path = path or nearest_system(here)
    if path is None:
        raise UsageError("no system.yaml is here or above; name one: --system FILE")
    system = load(path, System)
    check_variant(system, path, variant)
    chosen = choose_stack(system, stack, addresses)
    return Wanted(where_it_runs(system, addresses, variant), path, variant, chosen, seed, addresses)


class Terminal(Protocol):
    """Where the one who waits is told; also a ``harness.run.Progress``, while it starts."""

    def step(self, text: str) -> None:
        """A new stage of the start."""
        ...

    def note(self, text: str) -> None:
        """Something that happened within it."""
        ...

    def up(self, standing: Standing, directory: Path) -> None:
        """All of it is up; its history and logs are in ``directory``."""
        ...

    def say(self, text: str) -> None:
        """Something that happened since it is up."""
        ...


async def up(wanted: Wanted, *, here: Path, out: Path, terminal: Terminal) -> None:
    """Start it all, tell of it in ``here``, and take faults until this is cancelled; then end everything.

    A run directory, for the history and the logs, is made under ``out``. StackError if another one is up in ``here``,
    or this one could not start.
    """
    run = f"r{token_hex(4)}"
    redaction = Redaction(wanted.system, os.environ)
    async with AsyncExitStack() as cleanup:
        post = cleanup.enter_context(Post(here))
        cleanup.enter_context(redaction.messages())
        directory = out / f"{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}-up-{run}"
        stack = _stack(wanted, directory)
        cleanup.enter_context(logged(directory / "logs" / NAME, redaction.text))
        for folder in (directory / "logs", here / FOLDER / "parts" / run):
            cleanup.push_async_callback(asyncio.to_thread, redaction.folder, folder)
        cleanup.push_async_callback(stack.stop)
        terminal.step("starting brokers, stores and proxies")
        await stack.start()
        names = stack.names(run)
        recorder = HistoryRecorder(
            directory / "history.jsonl", _header(wanted, stack, names), clock=time.monotonic_ns, hide=redaction.value
        )
        cleanup.callback(recorder.close)
        cleanup.push(partial(_ended, recorder))
        live = LiveSystem(wanted.system, stack, names)
        cleanup.push_async_callback(live.close)
        await live.connect()
        cleanup.push_async_callback(stack.stop_services)
        terminal.step("starting services")
        await live.start_services(directory, wanted.variant)
        injections = Injections(live, recorder, seed=wanted.seed, say=terminal.say, hide=redaction.text)
        cleanup.push_async_callback(injections.close)
        await injections.open(post.listening())
        standing = _standing(live, wanted, post)
        post.tell(standing, written(described(wanted.system, stack, names)) if wanted.addresses is None else None)
        terminal.up(standing, directory)
        await _watch(stack, recorder, terminal.say)


def _stack(wanted: Wanted, directory: Path) -> Stack:
    """The stack, not started; the run directory is made if it can be had."""
    from harness.stacks import make_stack

    logs = directory / "logs" / "stack"
    made = make_stack(
        wanted.stack, wanted.system, logs, working_directory=wanted.path.parent, addresses=wanted.addresses
    )
    directory.mkdir(parents=True)
    return made


def _ended(
    recorder: HistoryRecorder, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
) -> None:
    """To be cancelled is how it ends; anything else broke it off."""
    if kind is None or issubclass(kind, asyncio.CancelledError):
        recorder.record("run", "finished", "run")
    else:
        recorder.record("run", "interrupted", "run", error=f"{kind.__name__}: {error}")


def _standing(live: LiveSystem, wanted: Wanted, post: Post) -> Standing:
    stack = live.stack
    return Standing(
        run=live.names.run,
        pid=os.getpid(),
        stack=stack.name,
        system=str(wanted.path.absolute()),
        front_door=live.front_door(),
        upload=wanted.system.load.upload,
        services={name: stack.direct(name) for name in stack.services},
        dependencies={name: stack.direct(name) for name in stack.dependencies},
        links={name: link.address for name, link in stack.links.items()},
        socket=post.address,
    )


async def _watch(stack: Stack, recorder: Recorder, say: Callable[[str], None]) -> None:
    """Say, until cancelled, what has ended by itself."""
    # What runs elsewhere has no process here.
    handles = {name: one for name, one in {**stack.dependencies, **stack.services}.items() if one.pid is not None}
    gone: set[str] = set()
    while True:
        ended = {name for name, handle in handles.items() if handle.pid is None and not handle.ended_on_purpose}
        for name in sorted(ended - gone):
            recorder.record("service", "exited", "run", name=name)
            say(f"{name} has ended by itself\n{handles[name].log_tail()}".rstrip())
        gone = ended
        await asyncio.sleep(LOOK_EVERY)


def _header(wanted: Wanted, stack: Stack, names: RunNames) -> dict[str, object]:
    document = wanted.document()
    return {
        "run": names.run,
        "plan": document,
        "plan_digest": hashlib.sha256(rfc8785.dumps(document)).hexdigest(),
        "seed": wanted.seed,
        "label": "up",
        "system_path": os.path.relpath(wanted.path),
        **({"addresses_path": os.path.relpath(wanted.addresses)} if wanted.addresses is not None else {}),
        "versions": {"oneffect": version("oneffect"), "python": platform.python_version(), **stack.versions()},
        "started": datetime.now(UTC).isoformat(),
    }
