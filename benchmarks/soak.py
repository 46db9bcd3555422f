"""A long load under a storm of faults: the verdict, and whether memory, files and sockets grow.

``python -m benchmarks.soak --minutes 30 --rate 30 --scenario soak``. Ends with 1 unless the verdict is
valid and nothing is left open.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

EVERY = 5.0
"""Seconds between two samples."""

SETTLING = 60.0
"""Seconds of a process's life that are left out of its slope: it loads what it needs then."""

MARKS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the whole time at which the table tells the memory: what levels off does not leak."""

THINK = 2.0
"""Seconds that a user of scenarios/locustfile.py thinks, in the mean."""

HARNESS = "the harness"
LOCUST = "locust"


@dataclass
class Samples:
    """(seconds, MiB) of one process, and its open files and sockets at the first and the last look."""

    name: str
    memory: list[tuple[float, float]] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)


def name_of(process: psutil.Process) -> str:
    """A service's or part's name is its log's."""
    if "locust" in process.cmdline():
        return LOCUST
    try:
        log = Path(f"/proc/{process.pid}/fd/1").readlink()
    except OSError:
        return ""
    return log.stem if log.suffix == ".log" else ""


def look(harness: psutil.Process, seen: dict[int, Samples], at: float) -> None:
    """One sample of the harness and of each process below it."""
    for process in [harness, *harness.children(recursive=True)]:
        try:
            if process.pid not in seen:
                name = HARNESS if process.pid == harness.pid else name_of(process)
                if not name:
                    continue
                seen[process.pid] = Samples(name)
            seen[process.pid].memory.append((at, process.memory_info().rss / 2**20))
            seen[process.pid].opened.append(process.num_fds())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def slope(lives: list[Samples], since: float) -> float | None:
    """MiB an hour over all lives of one name, each with a level of its own; None if none lived long enough."""
    times, sizes = [], []
    for life in lives:
        kept = [(t, size) for t, size in life.memory if t >= max(since, life.memory[0][0] + SETTLING)]
        if len(kept) > 1:
            moments, levels = np.array(kept).T
            times.append(moments - moments.mean())
            sizes.append(levels - levels.mean())
    if not times:
        return None
    x, y = np.concatenate(times), np.concatenate(sizes)
    return float(x @ y / (x @ x) * 3600)


def table(seen: dict[int, Samples]) -> None:
    """Print a row a name: memory at its marks, its slope over all and over the latter half, open files and sockets."""
    lives: defaultdict[str, list[Samples]] = defaultdict(list)
    for one in seen.values():
        lives[one.name].append(one)
    end = max(at for one in seen.values() for at, _ in one.memory)
    marks = "".join(f"{f'at {mark:.0%}':>9}" for mark in MARKS) + f"{'MiB/hour':>10}{'2nd half':>10}"
    print(f"{'process (memory in MiB)':28}{'lives':>6}{marks}{'open first':>12}{'last':>6}{'most':>6}")
    for name, those in sorted(lives.items()):
        samples = sorted(sample for one in those for sample in one.memory)
        sizes = [next((size for at, size in reversed(samples) if at <= mark * end), 0) for mark in MARKS]
        rates = [slope(those, since) for since in (0, end / 2)]
        told = "".join(f"{size:>9.0f}" for size in sizes)
        told += "".join(f"{f'{rate:.1f}' if rate is not None else '-':>10}" for rate in rates)
        first, last = those[0], those[-1]
        most = max(max(one.opened) for one in those)
        print(
            f"{name:28}{len(those):>6}{told}{first.opened[min(12, len(first.opened) - 1)]:>12}{last.opened[-1]:>6}{most:>6}"
        )


def sockets() -> int:
    """Listening sockets and established connections on loopback that are anybody's."""
    return sum(one.status in {"LISTEN", "ESTABLISHED"} for one in psutil.net_connections("tcp4"))


def main() -> None:
    """Run it, print the figures, and end with 1 if it is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=30, help="uploads a second")
    parser.add_argument("--scenario", default="soak", help="soak, or soak-pipeline: one of the files beside this one")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    users = round(wanted.rate * THINK)
    scenario = Path(__file__).with_name(f"{wanted.scenario}.yaml")
    locustfile = Path(__file__).parents[1] / "scenarios" / "locustfile.py"
    before = sockets()
    words = ["load", str(scenario), "--users", str(users), "--duration", f"{wanted.minutes:g}m"]
    words += ["--locustfile", str(locustfile), "--seed", str(wanted.seed)]
    run = subprocess.Popen([sys.executable, "-m", "harness.cli", *words])
    harness, begun = psutil.Process(run.pid), time.monotonic()
    seen: dict[int, Samples] = {}
    while run.poll() is None:
        look(harness, seen, time.monotonic() - begun)
        try:
            run.wait(EVERY)
        except subprocess.TimeoutExpired:
            continue
    table(seen)
    left = [pid for pid in seen if psutil.pid_exists(pid)]
    after = sockets()
    print(
        f"sockets on this machine: {before} before, {after} after; processes left: {len(left)}; exit status {run.returncode}"
    )
    sys.exit(1 if run.returncode or left or after > before else 0)


if __name__ == "__main__":
    main()
