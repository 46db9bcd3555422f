"""How fast a run writes its history to a file, in records a second."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from harness.history.recorder import HistoryRecorder

RECORDS = 1_000_000
AIM = 300_000
"""Records a second."""

HEADER = {"plan": {}, "plan_digest": "", "seed": 1, "versions": {}, "started": "", "run": "bench"}


def written(folder: Path, records: int) -> tuple[float, int]:
    """Return the seconds from the first record to a closed file, and the file's bytes."""
    path = folder / "history.jsonl"
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    begun = time.perf_counter()
    with HistoryRecorder(path, HEADER, clock=time.monotonic_ns) as recorder:
        for n in range(records):
            recorder.record(
                "effect",
                "seen",
                "observer:effects",
                read=7,
                t_begin=recorder.now(),
                consumer="essay_lifecycle",
                event_id=f"4c6f1f9e-0000-5000-8000-{n:012d}",
                effect=f"entry-{n}",
                digest=digest,
            )
    return time.perf_counter() - begun, path.stat().st_size


def main() -> None:
    """Print the figures; a number among the arguments sets how many records."""
    records = next((int(word) for word in sys.argv[1:] if word.isdigit()), RECORDS)
    with tempfile.TemporaryDirectory() as folder:
        seconds, size = written(Path(folder), records)
    print(f"records written: {records / seconds:,.0f} a second (aim {AIM:,}), {size / records:.0f} bytes each")


if __name__ == "__main__":
    main()
