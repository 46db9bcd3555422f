"""What anomalies cost ``oneffect check``: a run with sixty duplicates against a valid run of the same size.

Both are judged in turn within one benchmark run, so a busy machine slows both alike. Each recorded run has the
uploads' events, their claims, the group's offsets and two reads of the effects, while services are killed and links
are reset; in the bad run each of the first events has a second effect. The times are of whole commands, each in its
own process; beside them are the seconds spent on judging and on the reports.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.histories.builder import Record, Tape

EVENTS = 240
ANOMALIES = 60
TIMES = 5
"""How often each history is judged; the median counts."""

AIM = 2.0
"""Allowed duration, as a multiple of a valid run's."""

REPORT_AIM = 1.0
"""Allowed duration of the reports, as a multiple of judging the same run, from opening its history."""

PARTITIONS = 4
REPLICAS = 2
FAULTS = 8


def tape(anomalies: int) -> Tape:
    """Make a run in which ``anomalies`` events were applied twice."""
    made = Tape()
    made.header["label"] = "duplicates" if anomalies else "good"
    made.checks.update(
        {"consumers": {"shop": ["placed"]}, "topics": ["orders"], "outcomes": made.checks["outcomes"][:1]}
    )
    names = [f"shop#{n}" for n in range(1, REPLICAS + 1)]
    for name in ("kafka", *names):
        made.add(1, "health", "good", name=name, when="start")
    for n in range(EVENTS):
        made.upload(10 + 40 * n, n)
    span = 40.0 * EVENTS
    for n in range(FAULTS):
        _fault(made, n, span * (n + 0.5) / FAULTS, names[n % REPLICAS])
    for n in range(0, EVENTS, 8):
        _looked(made, 200 + 40 * (n + 8), range(n, n + 8), anomalies)
    made.add(span + 1000, "run", "loaded")
    for name in ("kafka", *names):
        made.add(span + 2000, "health", "good", name=name, when="end")
    _offsets(made, made.look(span + 2100, "offsets", final=True), EVENTS)
    last = made.look(span + 6000, "effects", final=True)
    for n in range(EVENTS):
        _effects(made, last, n, anomalies)
    made.look(span + 6100, "dead_letters", final=True)
    made.look(span + 6200, "topics", final=True)
    blobs = made.look(span + 6300, "blobs", final=True)
    for n in range(EVENTS):
        made.blob(blobs, n)
    made.add(span + 6400, "run", "finished")
    return made


def _looked(made: Tape, ms: float, numbers: range, anomalies: int) -> None:
    """Add one round of the observers."""
    topics, blobs = made.look(ms, "topics"), made.look(ms + 5, "blobs")
    offsets, effects = made.look(ms + 10, "offsets"), made.look(ms + 15, "effects")
    for n in numbers:
        event = made.event(topics, n, "placed", n % PARTITIONS, n // PARTITIONS)
        made.blob(blobs, n, why="event")
        for again in range(3 if n < anomalies else 1):
            key = f"claim:shop:{event['event_id']}"
            made.add(ms + 12 + again, "claim", "seen", command="SET NX", key=key, t_begin=0)
        _effects(made, effects, n, anomalies)
    _offsets(made, offsets, numbers.stop)


def _effects(made: Tape, read: Record, n: int, anomalies: int) -> None:
    for again in range(2 if n < anomalies else 1):
        made.effect(read, "shop", "placed", n, effect=f"entry-{n}-{again}")


def _offsets(made: Tape, read: Record, passed: int) -> None:
    for partition in range(PARTITIONS):
        end = -(-(passed - partition) // PARTITIONS)
        made.offset(read, "shop", ("orders", partition), committed=end, end=end)


def _fault(made: Tape, n: int, ms: float, replica: str) -> None:
    kill = n % 2 == 0
    name, target = ("service.kill", replica) if kill else ("net.reset", f"{replica}->redis")
    fields = {"fault": f"f{n + 1}", "name": name, "target": target, "heals": True}
    made.header["plan"]["faults"].append({"id": fields["fault"], "fault": name, "target": target, "heals": True})
    for after, phase in ((0, "injected"), (2, "armed"), (20, "bit"), (500, "healed")):
        made.add(ms + after, "fault", phase, **fields)
    for after, phase in ((10, "killed"), (480, "started"), (490, "ready")) if kill else ():
        made.add(ms + after, "service", phase, name=replica, pid=100 + n)


def judge_here(directory: Path) -> None:
    """Judge in this process; print the seconds for opening and judging, those for the reports, and the findings."""
    from harness.checkers.judge import explained, judge, overall
    from harness.history.reader import History
    from harness.reports import document, html

    begun = time.perf_counter()
    with History(directory / "history.jsonl") as history:
        findings = judge(history)
        judged = time.perf_counter()
        templates = explained(findings)
        document.write(directory / "verdict.json", history, findings, overall(findings), templates)
        html.write(directory / "report.html", history, document.read(directory), templates)
        ended = time.perf_counter()
    counts = {name: len(rows) for finding in findings for name, rows in finding.anomalies.items()}
    print(judged - begun, ended - judged, overall(findings).word, counts or "")


def command(directory: Path) -> float:
    """Time a whole ``oneffect check``, in seconds."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "harness.cli", "check", str(directory)], check=False, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    """Print the figures."""
    if "--judge" in sys.argv:
        judge_here(Path(sys.argv[-1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: Path(folder) / name for name in ("good", "bad")}
        for name, directory in runs.items():
            directory.mkdir()
            tape(ANOMALIES if name == "bad" else 0).write(directory / "history.jsonl")
        whole: dict[str, list[float]] = {name: [] for name in runs}
        parts: dict[str, list[list[float]]] = {name: [] for name in runs}
        findings = {}
        for _ in range(TIMES):
            for name, directory in runs.items():
                whole[name].append(command(directory))
                words = [sys.executable, "-m", "benchmarks.report", "--judge", str(directory)]
                answer = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split(maxsplit=2)
                parts[name].append([float(answer[0]), float(answer[1])])
                findings[name] = answer[2].strip()
    for name in runs:
        judging, reports = (statistics.median(times) for times in zip(*parts[name], strict=True))
        print(
            f"check of {findings[name]}: {statistics.median(whole[name]):.2f} s; judged in {judging:.2f} s, reports in "
            f"{reports:.2f} s, {reports / judging:.2f} times as long (aim {REPORT_AIM:g})"
        )
    ratio = statistics.median(bad / good for good, bad in zip(whole["good"], whole["bad"], strict=True))
    print(f"check of {ANOMALIES} anomalies: {ratio:.2f} times as long as of none (aim {AIM:g})")


if __name__ == "__main__":
    main()
