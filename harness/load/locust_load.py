"""A run's load whose uploads come from Locust's processes.

They write parts of the history; this module reads the parts as they grow and joins them to the run's history.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from harness.errors import FileError, StackError
from harness.history.merge import Joint
from harness.history.part import PATTERN, Clock, Part
from harness.load.answers import Answers
from harness.load.target import VARIABLE, Target, machine

if TYPE_CHECKING:
    from harness.history.recorder import HistoryRecorder
    from harness.scenario import LoadShape
    from harness.system_load import UploadLoad

MOST: Final = 5
"""A load kept up by faults ends after this many times its duration at the latest."""

STOP_WITHIN: Final = 20.0
"""Seconds for requests under way to end: longer than a user waits for an answer."""

_BEGINS_WITHIN: Final = 60.0
_LOOK: Final = 0.05
_MOST_CHARACTERS: Final = 2000
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Users:
    """How many users there are, how many start a second, for how long (seconds), and what they do."""

    count: int
    spawn_rate: float
    duration: float
    file: Path
    web: int | None = None
    """Port of Locust's web page on loopback; None for no page."""
    options: tuple[str, ...] = ()
    """Further options for Locust itself."""

    def document(self) -> dict[str, Any]:
        """The form that the plan's document holds."""
        return {
            "users": self.count,
            "spawn_rate": self.spawn_rate,
            "duration": self.duration,
            "locustfile": os.path.relpath(self.file),
            "options": list(self.options),
        }


class LocustLoad:
    """One run's load, with the interface of ``harness.load.uploads.Load``; Locust writes to ``folder``.

    Percentages of the load are shares of its duration.
    """

    def __init__(  # noqa: PLR0913 - the parts of a load
        self,
        users: Users,
        shape: LoadShape,
        door: UploadLoad,
        *,
        run: str,
        seed: int,
        recorder: HistoryRecorder,
        folder: Path,
    ) -> None:
        self._users, self._door, self._run, self._seed = users, door, run, seed
        self._batch = shape.batch
        self._recorder = recorder
        self._folder = folder
        self._url = ""
        self.answers = Answers(shape.batch)
        self._started = asyncio.Event()
        self._at = 0.0
        self._busy = False
        """Whether any request was answered, according to an operation or a master."""
        self._parts: dict[Path, Part] = {}
        self._begun: dict[str, Path] = {}
        """Worker -> its part."""
        self._ended: set[str] = set()
        self._joint = Joint(self, Clock.now(), 0)

    @property
    def scale(self) -> str:
        """The load's size, in words."""
        return f"{self._users.count} users for {self._users.duration:g} s"

    @property
    def duration(self) -> float:
        """The load's planned duration in seconds."""
        return self._users.duration

    def open(self, url: str) -> None:
        """Name the front door."""
        self._url = url

    def prepare(self) -> None:
        """Make the folder."""
        (self._folder / "parts").mkdir(parents=True)

    def record_at(self, t: int, op: str, phase: str, actor: str, **fields: Any) -> int:  # noqa: ANN401 - JSON
        """Record what a part says in the history; ``t`` and ``intended`` are readings of the clock that both share."""
        if fields.get("intended") is not None:
            fields["intended"] = self._recorder.since_start(fields["intended"])
        return self._recorder.record_at(self._recorder.since_start(t), op, phase, actor, **fields)

    async def run(self, more: Callable[[], bool] = lambda: False) -> None:
        """Run the users until the duration is over and ``more`` is false, and join what they did."""
        locust = await self._start()
        try:
            await self._whole_time(locust, more)
            early = locust.returncode is not None
            if not early:
                locust.send_signal(signal.SIGTERM)
            await self._out(locust)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(locust.pid, signal.SIGKILL)
            await locust.wait()
        self._take()
        self._tell(locust.returncode, early=early)

    def position(self, moment: float | str) -> float:
        """How far the load is, in the unit of ``moment``: seconds since its start, or per cent of its duration."""
        seconds = asyncio.get_running_loop().time() - self._at if self._started.is_set() else 0.0
        return seconds if isinstance(moment, float) else 100 * seconds / self._users.duration

    async def reached(self, moment: float | str) -> None:
        """Wait until ``moment``: seconds after the load's start, or a share of its duration ("25%")."""
        await self._started.wait()
        seconds = moment if isinstance(moment, float) else float(moment.rstrip("%")) / 100 * self._users.duration
        await asyncio.sleep(seconds)

    async def _start(self) -> asyncio.subprocess.Process:
        target = Target(
            run=self._run,
            front_door=self._url,
            upload=self._door,
            parts=Path("parts"),
            seed=self._seed,
            batch=self._batch,
            owner=os.getpid(),
            machine=machine(),
        )
        path = self._folder.absolute() / "target.json"
        path.write_text(target.model_dump_json(indent=2))
        with (self._folder / "locust.log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *command(self._users, self._folder.absolute(), self._url),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env={**environment(), VARIABLE: str(path)},
                start_new_session=True,
            )

    async def _whole_time(self, locust: asyncio.subprocess.Process, more: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        while locust.returncode is None:
            self._take()
            now = loop.time()
            if not self._started.is_set():
                if self._busy:
                    self._at = asyncio.get_running_loop().time()
                    self._started.set()
                    start = now
                elif now > start + _BEGINS_WITHIN:
                    raise StackError(f"no user of Locust uploaded anything within {_BEGINS_WITHIN:g} s{self._why()}")
            elif now >= start + self._users.duration and (not more() or now >= start + MOST * self._users.duration):
                return
            await asyncio.sleep(_LOOK)
        if not self._started.is_set():
            raise StackError(
                f"Locust ended with status {locust.returncode} before a user uploaded anything{self._why()}"
            )

    async def _out(self, locust: asyncio.subprocess.Process) -> None:
        """Wait until the users have left, joining their last answers meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * STOP_WITHIN):
                while locust.returncode is None or self._is_finishing(locust.pid):
                    self._take()
                    await asyncio.sleep(_LOOK)

    def _is_finishing(self, group: int) -> bool:
        """Whether a worker here is still finishing: a worker that a master started outlives the master."""
        if self._begun.keys() <= self._ended:
            return False
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        return True

    def _take(self) -> None:
        """Join what the parts have gained since the last time."""
        for path in sorted((self._folder / "parts").glob(PATTERN)):
            part = self._parts.setdefault(path, Part(path))
            for record in part.take():
                if part.run != self._run:
                    raise FileError(f"belongs to run {part.run}, but this is run {self._run}", path=str(path))
                if self._begun.get(part.worker, path) != path:
                    raise FileError(f"is a second part of worker {part.worker}; remove it", path=str(path))
                self._joint.add(part, record)
                if record["op"] == "upload" and record["phase"] != "invoke":
                    self._busy = True
                    self._note(record)
                self._busy |= record["phase"] == "busy"
            if part.begun and part.worker not in self._begun:
                self._begun[part.worker] = path
                self._recorder.record("load", "began", "load", worker=part.worker, pid=part.pid)
            if part.ended and part.worker not in self._ended:
                self._ended.add(part.worker)
                self._recorder.record("load", "ended", "load", worker=part.worker)

    def _note(self, record: Mapping[str, Any]) -> None:
        self.answers.note(
            record["phase"],
            record["upload_id"],
            batch=record.get("batch"),
            acceptable=record["acceptable"],
            raw=record.get("raw_file_storage_id"),
            sha256=record["sha256"],
        )

    def _tell(self, status: int | None, *, early: bool) -> None:
        if status or early:
            ended = f"Locust ended with status {status}" if status else "Locust ended before its time was over"
            error = f"{ended}{self._why()}"
            self._recorder.record("load", "lost", "load", worker="locust", error=error[:_MOST_CHARACTERS])
        if figures := read_figures(self._folder):
            self._recorder.record("load", "figures", "load", evidence=figures)

    def _why(self) -> str:
        log = self._folder / "locust.log"
        tail = log.read_text(errors="replace").strip().splitlines()[-12:] if log.is_file() else []
        return f"; the end of {log}:\n" + "\n".join(tail) if tail else ""


def command(users: Users, folder: Path, front_door: str) -> list[str]:
    """The command line that starts Locust for a run; all its files go to ``folder``."""
    host = urlsplit(front_door)._replace(path="", query="", fragment="").geturl()
    page = (
        ["--headless"]
        if users.web is None
        else ["--web-host", "127.0.0.1", "--web-port", str(users.web), "--autostart"]
    )
    return [
        *[sys.executable, "-m", "locust", "--locustfile", str(users.file), *page, "--only-summary"],
        *["--users", str(users.count), "--spawn-rate", f"{users.spawn_rate:g}"],
        *[
            "--stop-timeout",
            f"{STOP_WITHIN:g}",
            "--csv",
            str(folder / "locust"),
            "--json-file",
            str(folder / "locust"),
            "--exit-code-on-error",
            "0",
            # The user's own locust.conf may name another host.
            "--host",
            host,
            # Only the user admits workers from other machines, by naming another address.
            "--master-bind-host",
            "127.0.0.1",
        ],
        *users.options,
    ]


def environment() -> dict[str, str]:
    """The part of the harness's environment that Locust needs; the rest may hold secrets."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def read_figures(folder: Path) -> dict[str, float] | None:
    """Locust's own figures: requests, failures, requests a second, and percentiles in ms since each was due.

    None if Locust wrote none. It rounds response times: to 10 ms from 100 ms on, to 100 ms from a second on.
    """
    path = folder / "locust.json"
    if not path.is_file():
        return None
    entries = orjson.loads(path.read_bytes())
    times: Counter[float] = Counter()
    for entry in entries:
        times.update({float(time): count for time, count in entry["response_times"].items()})
    total = sum(entry["num_requests"] for entry in entries)
    if not total:
        return {"requests": 0, "failures": 0}
    lasted = max(e["last_request_timestamp"] for e in entries) - min(e["start_time"] for e in entries)
    return {
        "requests": total,
        "failures": sum(entry["num_failures"] for entry in entries),
        "per_second": round(total / max(lasted, 1.0), 1),
        **{f"p{share}_ms": _percentile(times, share / 100) for share in (50, 95, 99)},
        "max_ms": round(max(entry["max_response_time"] for entry in entries), 1),
    }


def _percentile(times: Mapping[float, int], share: float) -> float:
    """The shortest time that at least ``share`` of the responses do not exceed."""
    target = share * sum(times.values())
    count = 0
    for time in sorted(times):
        count += times[time]
        if count >= target:
            return time
    return 0.0
