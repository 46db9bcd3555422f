"""How fast a long history is judged, and in how much memory.

An operation is an upload with all that a run records of it: invoke and answer, its event, the effect as first seen and
as read at the end, and three reads of its blob. The history is judged twice: from the lines, which makes the typed
copy, and from that copy. Each judging is a process of its own, so its peak memory counts nothing else.
"""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import orjson

OPERATIONS = 1_000_000
AIM = 1_000_000
"""Operations a second."""

MEMORY_AIM = 1024
"""MiB."""

TOGETHER = 20_000
"""Operations between two rounds of observers."""

PARTITIONS = 4
SECOND = 1_000_000_000

CHECKS = {
    "consumers": {"essay_lifecycle": ["essay.provisioned", "essay.rejected"]},
    "topics": ["essays"],
    "outcomes": [
        {
            "of": "upload",
            "then": ["essay.provisioned", "essay.rejected"],
            "accepted": ["essay.provisioned"],
            "rejected": ["essay.rejected"],
        }
    ],
    "blobs": True,
    "dead_letters": True,
    "settle_ns": 3 * SECOND,
}


class Tape:
    """Writes the lines of a good run, numbering ``i`` and ``t``."""

    def __init__(self, file: BinaryIO, operations: int) -> None:
        self._file = file
        self._operations = operations
        self._i = 0
        self._t = 0

    def run(self) -> int:
        """Write everything; return the number of records."""
        header = {"oneffect_history": 1, "plan": {"checks": CHECKS}, "plan_digest": "", "seed": 1, "versions": {}}
        self._file.write(orjson.dumps({**header, "started": "", "run": "bench"}) + b"\n")
        self._add('"op":"health","phase":"good","actor":"run","when":"start","name":"kafka"')
        for first in range(0, self._operations, TOGETHER):
            self._round(range(first, min(first + TOGETHER, self._operations)))
        self._add('"op":"health","phase":"good","actor":"run","when":"end","name":"kafka"')
        every = range(self._operations)
        self._look("offsets", self._offsets(self._operations), final=True)
        self._t += 4 * SECOND
        self._look("effects", map(effect, every), final=True)
        self._look("dead_letters", [], final=True)
        self._look("topics", [], final=True)
        self._look("blobs", (blob(n, "final") for n in every), final=True)
        return self._add('"op":"run","phase":"finished","actor":"run"')

    def _round(self, numbers: range) -> None:
        for n in numbers:
            upload = f'"op":"upload","actor":"client","upload_id":"r1-{n:07d}","size":2000,"sha256":"{sha(n)}"'
            acceptable = "false" if n % 5 == 0 else "true"
            invoke = self._add(f'{upload},"phase":"invoke","acceptable":{acceptable},"file_name":"essay-{n}.txt"')
            self._add(
                f'{upload},"phase":"ok","acceptable":{acceptable},"of":{invoke},"status":202,'
                f'"raw_file_storage_id":"{sha(n)}"'
            )
        self._look("blobs", (blob(n, "answer") for n in numbers))
        self._look("topics", map(event, numbers))
        self._look("blobs", (blob(n, "event") for n in numbers))
        self._look("offsets", self._offsets(numbers.start))
        self._look("effects", map(effect, numbers))

    def _offsets(self, passed: int) -> Iterable[str]:
        for partition in range(PARTITIONS):
            end = -(-(passed - partition) // PARTITIONS)
            yield (
                '"op":"offset","phase":"seen","consumer":"essay_lifecycle","topic":"essays",'
                f'"partition":{partition},"committed":{end},"visible_end":{end}'
            )

    def _look(self, what: str, rows: Iterable[str], *, final: bool = False) -> None:
        named = f'"op":"read","actor":"observer:{what}","what":"{what}","final":{str(final).lower()}'
        read = self._add(f'{named},"phase":"invoke"')
        begun = self._t
        for row in rows:
            self._add(f'"actor":"observer:{what}","read":{read},"t_begin":{begun},{row}')
        self._add(f'{named},"phase":"ok","of":{read}')

    def _add(self, fields: str) -> int:
        self._i += 1
        self._t += 1000
        self._file.write(f'{{"i":{self._i},"t":{self._t},{fields}}}\n'.encode())
        return self._i


def sha(n: int) -> str:
    """The hash of the n-th document."""
    return hashlib.sha256(n.to_bytes(8, "big")).hexdigest()


def event_id(n: int) -> str:
    """An id as long and as random as a UUID."""
    digest = sha(-n % 2**32)
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def event(n: int) -> str:
    """The outcome of the n-th upload."""
    return (
        f'"op":"event","phase":"seen","topic":"essays","partition":{n % PARTITIONS},"offset":{n // PARTITIONS},'
        f'"event_id":"{event_id(n)}","event_type":"essay.{"rejected" if n % 5 == 0 else "provisioned"}",'
        f'"digest":"{sha(n + 1)}","raw_file_storage_id":"{sha(n)}","upload_id":"r1-{n:07d}",'
        f'"joins":{{"0":"r1-{n:07d}"}}'
    )


def effect(n: int) -> str:
    """The consumer's effect of the n-th event."""
    return (
        f'"op":"effect","phase":"seen","consumer":"essay_lifecycle","event_id":"{event_id(n)}","effect":"{n}",'
        f'"digest":"{sha(n + 1)}"'
    )


def blob(n: int, why: str) -> str:
    """A read of the n-th document's blob."""
    return f'"op":"blob","phase":"present","raw_file_storage_id":"{sha(n)}","size":2000,"sha256":"{sha(n)}","why":"{why}"'


def judge_here(path: Path) -> None:
    """Judge in this process; print the seconds to open, the seconds to judge, peak memory in MiB and the verdict."""
    from harness.checkers.judge import judge, overall
    from harness.history.reader import History

    begun = time.perf_counter()
    with History(path) as history:
        opened = time.perf_counter()
        findings = judge(history)
        ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    anomalies = {name: len(rows) for finding in findings for name, rows in finding.anomalies.items()}
    errors = [finding.error for finding in findings if finding.error]
    print(opened - begun, ended - opened, peak, overall(findings).word, anomalies or "", errors or "")


def main() -> None:
    """Print the figures; a number among the arguments sets how many operations."""
    if "--judge" in sys.argv:
        judge_here(Path(sys.argv[-1]))
        return
    operations = next((int(word) for word in sys.argv[1:] if word.isdigit()), OPERATIONS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        with path.open("wb") as file:
            records = Tape(file, operations).run()
        print(f"{operations:,} operations in {records:,} records, {path.stat().st_size / 2**20:,.0f} MiB of lines")
        for what in ("from the lines", "from the typed copy"):
            words = [sys.executable, "-m", "benchmarks.checkers", "--judge", str(path)]
            answer = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split(maxsplit=3)
            opened, judged, peak = map(float, answer[:3])
            print(
                f"operations checked {what}: {operations / (opened + judged):,.0f} a second (aim {AIM:,}): "
                f"opened in {opened:.2f} s, judged in {judged:.2f} s; peak {peak:,.0f} MiB (aim {MEMORY_AIM:,}); "
                f"{answer[3].strip()}"
            )


if __name__ == "__main__":
    main()
