"""A load that begins each operation when it is due, and reports its progress."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from harness.load.answers import Answers
from harness.load.documents import GENERATED, Kinds
from harness.load.schedule import Planned, schedule

if TYPE_CHECKING:
    from harness.scenario import LoadShape

MOST = 5
"""A load kept up by faults ends after this many times its operations at the latest."""

M = TypeVar("M")


class Paced(ABC, Generic[M]):
    """One run's load: ``run`` begins everything, ``answers`` holds the answers, ``reached`` waits for a moment.

    A subclass says what an operation is: ``_made`` prepares what it sends, ``_operate`` sends it. Ids of operations and
    batches begin with the run's id, so that no two runs share a key.
    """

    what: ClassVar[str]
    """What its operations are, in words."""
    _kinds: Kinds = GENERATED
    """The kinds of documents to choose from."""

    def __init__(self, shape: LoadShape, *, run: str, seed: int) -> None:
        self._shape, self._run, self._seed = shape, run, seed
        self.answers = Answers(shape.batch)
        self._begun = 0
        self._moved = asyncio.Condition()
        self._started = asyncio.Event()
        self._at = 0.0

    @property
    def scale(self) -> str:
        """The load's size, in words."""
        return f"{self._shape.uploads} {self.what}"

    @property
    def duration(self) -> float:
        """The load's planned duration in seconds."""
        return self._shape.uploads / self._shape.rate

    @abstractmethod
    def prepare(self) -> None:
        """Make in advance what would delay the load. Blocks: use a thread."""

    @abstractmethod
    async def _made(self, planned: Planned) -> M: ...

    @abstractmethod
    async def _operate(self, planned: Planned, made: M) -> None: ...

    async def run(self, more: Callable[[], bool] = lambda: False) -> None:
        """Begin every operation at its time; while ``more`` is true, go on at the same rate, in whole batches."""
        loop = asyncio.get_running_loop()
        start = self._at = loop.time()
        self._started.set()
        async with asyncio.TaskGroup() as tasks:
            for planned in islice(schedule(self._shape, self._seed, self._kinds), MOST * self._shape.uploads):
                between = planned.index >= self._shape.uploads and planned.index % self._shape.batch == 0
                if between and not more():
                    break
                made = await self._made(planned)
                await asyncio.sleep(max(0.0, start + planned.at - loop.time()))
                tasks.create_task(self._operate(planned, made))
                self._begun += 1
                async with self._moved:
                    self._moved.notify_all()

    def position(self, moment: float | str) -> float:
        """How far the load is, in the unit of ``moment``: seconds since its start, or per cent of its operations begun."""
        if isinstance(moment, float):
            return asyncio.get_running_loop().time() - self._at if self._started.is_set() else 0.0
        return 100 * self._begun / self._shape.uploads

    async def reached(self, moment: float | str) -> None:
        """Wait until ``moment``: seconds after the load's start, or the share of operations begun ("25%")."""
        await self._started.wait()
        if isinstance(moment, float):
            await asyncio.sleep(moment)
            return
        count = math.ceil(float(moment.rstrip("%")) / 100 * self._shape.uploads)
        async with self._moved:
            await self._moved.wait_for(lambda: self._begun >= count)

    def _id(self, planned: Planned) -> str:
        return f"{self._run}-{planned.index:07d}"

    def _batch(self, planned: Planned) -> str:
        return f"{self._run}-b{planned.index // self._shape.batch:06d}"
