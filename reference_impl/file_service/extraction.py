"""Extraction in killable processes: a document's time and memory are bounded, and cost the next document nothing.

Time is the process's CPU time, so a busy machine changes no outcome. Memory is what the process may map.
"""

import asyncio
import contextlib
import json
import logging
import os
import pickle
import resource
import select
import signal
import sys
import threading
from asyncio.subprocess import PIPE, Process
from dataclasses import asdict, dataclass

from reference_impl.common_core.enums import ValidationFailure
from reference_impl.file_service.document import Extraction

_WALL_FACTOR = 30
"""A process whose wall time exceeds its CPU limit by this factor is stuck and is killed; the file is not to blame."""

_MOST_DOCUMENTS = 200
"""Documents after which a process is replaced: parsers retain some of what they read."""

_OUT_OF_MEMORY = 77
_CRASHES = dict.fromkeys(
    (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL, -signal.SIGFPE), "ends its parser's process"
)


@dataclass(frozen=True)
class Limits:
    """Limits on a document's text and size, and on the CPU time and memory that it takes."""

    max_characters: int
    max_unpacked_bytes: int
    cpu_seconds: float
    memory_bytes: int


class ExtractionInterrupted(Exception):
    """The process ended, hung or failed through no fault of the file: a retry may help."""


@dataclass(eq=False)
class _Child:
    process: Process
    asked: int = 0

    async def ask(self, content: bytes, file_name: str, version: int) -> bytes:
        """Return the line of the answer; an incomplete line means that the process has ended."""
        assert self.process.stdin and self.process.stdout  # noqa: PT018, S101 - both are pipes
        self.asked += 1
        with contextlib.suppress(ConnectionError):
            self.process.stdin.write(pickle.dumps((content, file_name, version)))
            await self.process.stdin.drain()
        return await self.process.stdout.readline()

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()


class IsolatedExtractor:
    """An ``Extractor`` in other processes: as many as are needed at once, reused for further documents."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._idle: list[_Child] = []
        self._outcomes = {
            **_CRASHES,
            _OUT_OF_MEMORY: f"takes more than {limits.memory_bytes} bytes of memory",
            -signal.SIGPROF: f"takes more than {limits.cpu_seconds} s of CPU time",
        }

    async def extract(self, content: bytes, file_name: str, version: int) -> Extraction:
        """Extract like ``Extractor.extract``, or fail as too complex; a cancellation kills the process.

        Raises ``ExtractionInterrupted``.
        """
        while True:
            child = await self._take()
            try:
                async with asyncio.timeout(self._limits.cpu_seconds * _WALL_FACTOR):
                    line = await child.ask(content, file_name, version)
                    if line.endswith(b"\n"):
                        return self._answer(child, json.loads(line))
                    status = await child.process.wait()
            except TimeoutError:
                raise ExtractionInterrupted("its process hangs") from None
            finally:
                if child not in self._idle:
                    await child.end()
            if status not in self._outcomes:
                raise ExtractionInterrupted(f"its process ended with {status}")
            # Memory and crashes may be due to earlier documents of the process, so a fresh process decides.
            if child.asked == 1 or status == -signal.SIGPROF:
                return Extraction(failure=ValidationFailure.TOO_COMPLEX, detail=self._outcomes[status])

    async def stop(self) -> None:
        """End the idle processes; busy ones end when their ``extract`` is cancelled."""
        while self._idle:
            await self._idle.pop().end()

    async def _take(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.process.returncode is None:
                return child
            await child.end()
        words = (sys.executable, "-m", __name__, json.dumps(asdict(self._limits)))
        longest = 16 * self._limits.max_characters + 4096  # a character may take two escapes of six bytes
        return _Child(await asyncio.create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE, limit=longest))

    def _answer(self, child: _Child, answer: dict[str, str]) -> Extraction:
        if child.asked < _MOST_DOCUMENTS:
            self._idle.append(child)
        if "error" in answer:
            raise ExtractionInterrupted(answer["error"])
        failure = ValidationFailure(answer["failure"]) if answer["failure"] else None
        return Extraction(answer["text"], failure, answer["detail"])


def _serve(limits: Limits) -> None:
    """Run the other side: read documents from stdin, write answers to the original stdout."""
    from reference_impl.file_service.extractor import Extractor  # here, as only this process uses the parsers

    threading.Thread(target=_end_with_the_service, daemon=True).start()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keeps a printing parser out of the answers
    logging.disable()  # a damaged file is an outcome
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the service ends this process
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    extractor = Extractor(max_characters=limits.max_characters, max_unpacked_bytes=limits.max_unpacked_bytes)
    while True:
        document = pickle.load(sys.stdin.buffer)  # noqa: S301 - only the service writes
        signal.setitimer(signal.ITIMER_PROF, limits.cpu_seconds)  # SIGPROF's default action ends the process
        try:
            line = json.dumps(asdict(extractor.extract(*document)))
        except MemoryError:
            os._exit(_OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 - the service decides; the file is not to blame
            line = json.dumps({"error": repr(error)})
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(f"{line}\n")
        answers.flush()


def _end_with_the_service() -> None:
    """Exit when stdin closes: the service was killed, and another one takes over its documents."""
    closed = select.poll()
    closed.register(0, 0)
    closed.poll()
    os._exit(0)


if __name__ == "__main__":
    _serve(Limits(**json.loads(sys.argv[1])))
