"""Systems that stay warm between runs, for use from Python."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import SystemRandom
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, Self

from harness.errors import UsageError
from harness.history import RUNS
from harness.session.thread import LoopThread
from harness.steps.adopt import NAME, Adoption, partitions
from harness.steps.aio import AsyncSystem, awaited, surely
from harness.steps.block import Block
from harness.steps.plan import Tapped, check_seed, plan_adopting, plan_steps
from harness.steps.system import System, waited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from harness.session.stacks import Progress

_LONGEST: Final = 80
"""Characters of a name in a directory's name."""


class Silent:
    """Reports no progress of a run."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a system is opened with unless its own call says otherwise."""

    here: Path
    """The folder from which files are looked for, upward."""
    seed: int
    stack: str = "auto"
    variant: str | None = None
    name: str = "steps"
    again: str | None = None
    """The line that repeats the run; None: the call of ``system``."""


class Session:
    """Stacks that stay up from run to run, one for each system file and stack; leaving it ends them.

    Runs of one session follow one another; a session of its own has stacks of its own.
    """

    def __init__(self, loop: LoopThread, defaults: Defaults, progress: Progress | None = None) -> None:
        self._loop, self._defaults, self._progress = loop, defaults, progress or Silent()
        self.blocks: list[Block] = []
        """The runs so far, in order."""

    def system(  # noqa: PLR0913 - what a system is brought up with
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        variant: str | None = None,
        seed: int | None = None,
        stack: str | None = None,
        addresses: str | os.PathLike[str] | None = None,
        taps: Tapped = None,
    ) -> Opening:
        """Return a system to open for one run: ``with session.system("system.yaml") as shop``, or ``async with``.

        ``path``: its system file, by default the nearest system.yaml upward. ``variant``: a deliberate flaw of it. ``seed``:
        from which documents and faults are drawn. ``stack``: ``native``, ``docker`` or, with ``addresses``, ``external``.
        ``taps``: ``"all"`` puts a tap on every link whose protocol it understands, for faults with a ``when``.
        """
        given = self._defaults
        chosen = given.seed if seed is None else seed
        words = [repr(str(path))] if path is not None else []
        plan = plan_steps(
            _found(path, given.here) if path is not None else None,
            given.here,
            variant=variant if variant is not None else given.variant,
            seed=chosen,
            stack=stack or ("auto" if addresses is not None else given.stack),
            addresses=_found(addresses, given.here) if addresses is not None else None,
            name=_plain(given.name),
            again=given.again or _call("system", *words, seed=chosen, taps=taps),
            taps=taps,
        )

        def made() -> Block:
            self.blocks.append(block := Block(plan, self._loop, self._progress))
            return block

        return Opening(made)

    def adopt(  # noqa: PLR0913 - what a test hands over
        self,
        *,
        kafka: object,
        redis: object = None,
        postgres: object = None,
        group: str | None,
        events: Mapping[str, object],
        publish: Mapping[str, object],
        applies: Sequence[str],
        effects: Callable[[], Iterable[Any]],
        by: object = None,
        outcomes: Sequence[Mapping[str, object]] = (),
        dead_letters: Mapping[str, object] | None = None,
        settle: str = "3s",
        seed: int | None = None,
        taps: Tapped = None,
    ) -> Opening:
        """Return code that a test starts itself, to open for one run: ``with session.adopt(kafka=container, …) as shop``.

        ``kafka``, ``redis``, ``postgres``: containers of testcontainers', or host:port; a proxy stands before each, at
        ``shop.address("redis")``, and the code must be started with these addresses. ``group``: its consumer group; None if
        it commits no offsets. ``applies``: the event types that must have exactly one effect each. ``effects``: a function
        that returns all effects as mappings with ``id`` (the event's), ``effect`` (its own name, such as a row's number) and,
        if it is to be compared, ``carries``; it is called often, in another thread, and must read what is committed by
        then. ``events``, ``publish``, ``by``, ``outcomes``, ``dead_letters``, ``settle``: as in a system file; ``taps``
        as in ``system``. The topics must exist. UsageError for what no such run can have.
        """
        given = self._defaults
        chosen = given.seed if seed is None else seed
        parts = {"kafka": kafka, "redis": redis, "postgres": postgres}
        adoption = Adoption(
            parts={name: part for name, part in parts.items() if part is not None},
            group=group,
            effects=effects,
            effect_fields={"applies": applies, "by": by},
            described={
                "events": events,
                "publish": publish,
                "outcomes": outcomes,
                "dead_letters": dead_letters,
                "settle": settle,
            },
        )
        check_seed(chosen)
        at, topics = adoption.addresses(), adoption.topics()
        adoption.system(dict.fromkeys(topics, 1))

        def made() -> Block:
            system = adoption.system(self._loop.run(lambda _: partitions(at.dependencies["kafka"], topics)))
            plan = plan_adopting(
                system,
                at,
                given.here / f"{NAME}-{token_hex(4)}",
                seed=chosen,
                name=_plain(given.name),
                again=given.again or _call("adopt", "…", seed=chosen, taps=taps),
                taps=taps,
            )
            self.blocks.append(block := Block(plan, self._loop, self._progress))
            return block

        return Opening(made)

    def end(self) -> None:
        """End the run under way, if any; the stacks stay warm. Blocks."""
        self._loop.end()

    def close(self) -> None:
        """End the run under way, if any, and every stack. Blocks."""
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await surely(self.close)


class Opening:
    """A system that ``with`` or ``async with`` brings up, for one run."""

    def __init__(self, make: Callable[[], Block]) -> None:
        self._make = make
        self._block: Block | None = None
        self.closes: Callable[[], None] = lambda: None
        """Called once the run has ended."""

    def _begun(self) -> Block:
        if self._block is not None:
            raise UsageError("this system was opened already; call system(…) again for another run")
        self._block = self._make()
        return self._block

    def __enter__(self) -> System:
        block = self._begun()
        try:
            waited(block.begin(), block)
        except BaseException as error:
            self._end(error)
            raise
        return System(block)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._end(error)

    async def __aenter__(self) -> AsyncSystem:
        block = self._begun()
        try:
            await awaited(block.begin(), block)
        except BaseException as error:
            await surely(partial(self._end, error))
            raise
        return AsyncSystem(block)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await surely(partial(self._end, error))

    def _end(self, error: BaseException | None) -> None:
        try:
            if self._block is not None:
                self._block.end(error)
        finally:
            self.closes()


def _found(path: str | os.PathLike[str], here: Path) -> Path:
    """Return the file in ``here`` or the nearest folder above that has it; its path in ``here`` if none has it."""
    return next((at / path for at in (here, *here.parents) if (at / path).exists()), here / path)


def _call(name: str, *words: str, seed: int, taps: Tapped) -> str:
    """Return a call of ``oneffect`` as it is written."""
    tapped = [f'taps="{taps}"'] if taps is not None else []
    return f"oneffect.{name}({', '.join([*words, f'seed={seed}', *tapped])})"


def _plain(name: str) -> str:
    """Return a name that is safe in a directory's name."""
    return re.sub(r"[^\w.-]+", "_", name)[:_LONGEST].strip("_") or "steps"


def session(
    *,
    out: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    stack: str = "auto",
    variant: str | None = None,
) -> Session:
    """Return a session: ``with oneffect.session() as session: with session.system("system.yaml") as shop: …``.

    ``out``: the folder for run directories, by default ``.oneffect/runs``. ``seed``: of every system that names none, by
    default random. ``stack``, ``variant``: of every system that names none.
    """
    drawn = SystemRandom().randrange(1, 1_000_000) if seed is None else seed
    defaults = Defaults(here=Path.cwd(), seed=drawn, stack=stack, variant=variant)
    return Session(LoopThread(Path(out) if out is not None else RUNS), defaults)


def system(  # noqa: PLR0913 - the options of a session and of a system
    path: str | os.PathLike[str] | None = None,
    *,
    variant: str | None = None,
    seed: int | None = None,
    stack: str = "auto",
    addresses: str | os.PathLike[str] | None = None,
    taps: Tapped = None,
    out: str | os.PathLike[str] | None = None,
) -> Opening:
    """Return a system to open for one run, on a stack of its own that ends with it: ``with oneffect.system() as shop``.

    ``path``: its system file, by default the nearest system.yaml upward. The options are those of a session and its system.
    """
    own = session(out=out, seed=seed, stack=stack)
    try:
        opening = own.system(path, variant=variant, addresses=addresses, taps=taps)
    except BaseException:
        own.close()
        raise
    opening.closes = own.close
    return opening


def adopt(  # noqa: PLR0913 - what a test hands over
    *,
    kafka: object,
    redis: object = None,
    postgres: object = None,
    group: str | None,
    events: Mapping[str, object],
    publish: Mapping[str, object],
    applies: Sequence[str],
    effects: Callable[[], Iterable[Any]],
    by: object = None,
    outcomes: Sequence[Mapping[str, object]] = (),
    dead_letters: Mapping[str, object] | None = None,
    settle: str = "3s",
    seed: int | None = None,
    taps: Tapped = None,
    out: str | os.PathLike[str] | None = None,
) -> Opening:
    """Return code that a test starts itself, with the broker and stores that its suite has, to open for one run.

    The options are those of ``Session.adopt``; ``out`` and ``seed`` are as in ``session``.
    """
    own = session(out=out, seed=seed)
    try:
        opening = own.adopt(
            kafka=kafka,
            redis=redis,
            postgres=postgres,
            group=group,
            events=events,
            publish=publish,
            applies=applies,
            effects=effects,
            by=by,
            outcomes=outcomes,
            dead_letters=dead_letters,
            settle=settle,
            taps=taps,
        )
    except BaseException:
        own.close()
        raise
    opening.closes = own.close
    return opening
