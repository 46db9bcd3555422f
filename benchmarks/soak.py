"""A long load under a storm of faults: its verdict, and whether memory, files and sockets grow.

``python -m benchmarks.soak --minutes 30 --rate 30 --scenario soak`` exits with 1 unless the verdict is valid and
nothing is left open.
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
"""First seconds of a process's life, which its slope leaves out: it is still loading."""

MARKS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the whole time at which the table shows the memory: what levels off does not leak."""

THINK = 2.0
"""Mean thinking time, in seconds, of a user of scenarios/locustfile.py."""

HARNESS = "the harness"
LOCUST = "locust"


@dataclass
class Samples:
    """Memory of one process as (seconds, MiB), and its open files and sockets at each sample."""

    name: str
    memory: list[tuple[float, float]] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)


def name_of(process: psutil.Process) -> str:
    """Name a service or part after its log; "" if it has none."""
    if "locust" in process.cmdline():
        return LOCUST
    try:
        log = Path(f"/proc/{process.pid}/fd/1").readlink()
    except OSError:
        return ""
    return log.stem if log.suffix == ".log" else ""


def look(harness: psutil.Process, processes: dict[int, Samples], at: float) -> None:
    """Sample the harness and every process below it."""
    for process in [harness, *harness.children(recursive=True)]:
        try:
            if process.pid not in processes:
                name = HARNESS if process.pid == harness.pid else name_of(process)
                if not name:
                    continue
                processes[process.pid] = Samples(name)
            processes[process.pid].memory.append((at, process.memory_info().rss / 2**20))
            processes[process.pid].opened.append(process.num_fds())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def slope(lives: list[Samples], since: float) -> float | None:
    """MiB an hour over all lives of one name, each with its own level; None if none lived long enough."""
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


def table(processes: dict[int, Samples]) -> None:
    """Print a row per name: memory at its marks, its slope overall and over the second half, open files and sockets."""
    lives: defaultdict[str, list[Samples]] = defaultdict(list)
    for samples in processes.values():
        lives[samples.name].append(samples)
    end = max(at for samples in processes.values() for at, _ in samples.memory)
    marks = "".join(f"{f'at {mark:.0%}':>9}" for mark in MARKS) + f"{'MiB/hour':>10}{'2nd half':>10}"
    print(f"{'process (memory in MiB)':28}{'lives':>6}{marks}{'open first':>12}{'last':>6}{'most':>6}")
    for name, those in sorted(lives.items()):
        memory = sorted(sample for life in those for sample in life.memory)
        sizes = [next((size for at, size in reversed(memory) if at <= mark * end), 0) for mark in MARKS]
        rates = [slope(those, since) for since in (0, end / 2)]
        cells = "".join(f"{size:>9.0f}" for size in sizes)
        cells += "".join(f"{f'{rate:.1f}' if rate is not None else '-':>10}" for rate in rates)
        first, last = those[0], those[-1]
        most = max(max(life.opened) for life in those)
        print(
            f"{name:28}{len(those):>6}{cells}{first.opened[min(12, len(first.opened) - 1)]:>12}{last.opened[-1]:>6}{most:>6}"
        )


def sockets() -> int:
    """Count all listening sockets and established connections on this machine."""
    return sum(connection.status in {"LISTEN", "ESTABLISHED"} for connection in psutil.net_connections("tcp4"))


def main() -> None:
    """Run the load, print the figures, and exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=30, help="uploads a second")
    parser.add_argument("--scenario", default="soak", help="soak, or soak-pipeline: one of the files beside this one")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    users = round(options.rate * THINK)
    scenario = Path(__file__).with_name(f"{options.scenario}.yaml")
    locustfile = Path(__file__).parents[1] / "scenarios" / "locustfile.py"
    before = sockets()
    words = ["load", str(scenario), "--users", str(users), "--duration", f"{options.minutes:g}m"]
    words += ["--locustfile", str(locustfile), "--seed", str(options.seed)]
    run = subprocess.Popen([sys.executable, "-m", "harness.cli", *words])
    harness, begun = psutil.Process(run.pid), time.monotonic()
    processes: dict[int, Samples] = {}
    while run.poll() is None:
        look(harness, processes, time.monotonic() - begun)
        try:
            run.wait(EVERY)
        except subprocess.TimeoutExpired:
            continue
    table(processes)
    left = [pid for pid in processes if psutil.pid_exists(pid)]
    after = sockets()
    print(
        f"sockets on this machine: {before} before, {after} after; processes left: {len(left)}; exit status {run.returncode}"
    )
    sys.exit(1 if run.returncode or left or after > before else 0)


if __name__ == "__main__":
    main()
