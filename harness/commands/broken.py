"""The broken run to shrink: what it was a run of, and which anomalies must occur again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import FileError, UsageError
from harness.scenario import Scenario

if TYPE_CHECKING:
    from harness.plan import Plan
    from harness.shrink.candidate import Candidate

_LONGEST: Final = 50
"""Characters of a scenario's name that its candidates' names begin with: a name has at most 63."""

_SMALLEST: Final = "-smallest"


@dataclass(frozen=True, slots=True)
class Broken:
    """A recorded run that is invalid, with all that its candidates' runs share with it."""

    directory: Path
    scenario: Scenario
    seed: int
    variant: str | None
    stack: str
    system: Path
    addresses: Path | None
    recorded: Any
    """The system as the plan recorded it then."""
    anomalies: frozenset[str]
    """Those that made it invalid: a candidate that has none of them shows another bug, or none."""

    @property
    def folder(self) -> Path:
        """Where the candidates and their runs are."""
        return self.directory / "shrink"

    @property
    def label(self) -> str:
        """``redelivery setnx_only``."""
        return f"{self.scenario.name} {self.variant}" if self.variant else self.scenario.name

    @property
    def smallest(self) -> str:
        """The name of the smallest scenario."""
        return self.scenario.name.removesuffix(_SMALLEST)[:_LONGEST] + _SMALLEST

    def plan(self, candidate: Candidate, number: int, seed: int) -> Plan:
        """Plan a run of a candidate, whose file is left in the folder; FileError or PlanRefused if there can be none."""
        from harness.plan import make_plan

        path = self.folder / f"{number:03}.yaml"
        name = f"{self.scenario.name[:_LONGEST]}-{number}"
        path.write_text(self.file(candidate, path.parent, name=name), encoding="utf-8")
        return make_plan(
            path,
            system_path=None,
            variant=self.variant,
            seed=seed,
            stack=self.stack if self.addresses is None else "auto",
            addresses=self.addresses,
        )

    def file(  # noqa: PLR0913 - the parts of a file
        self,
        candidate: Candidate,
        folder: Path,
        *,
        name: str,
        summary: str = "",
        find: Sequence[str] = (),
        note: str = "",
    ) -> str:
        """Return the text of a candidate's scenario file in ``folder``: what it leaves out is as in the broken run."""
        from harness.files.dump import dumped
        from harness.shrink import written

        whole = self.scenario
        broken = {"verdict": "invalid", **({"find": list(find)} if find else {})}
        differs = whole.model_dump(exclude_defaults=True)
        expected = whole.expect.model_dump() if whole.expect.find else whole.expect.verdict
        return (f"# {note}\n" if note else "") + dumped(
            {
                "oneffect": 1,
                "name": name,
                **({"summary": summary} if summary else {}),
                "system": os.path.relpath(self.system, folder),
                **candidate.document(),
                **({"drain": written.duration(whole.drain)} if "drain" in differs else {}),
                "expect": expected if self.variant is not None else broken,
                **({"variants": {self.variant: broken}} if self.variant is not None else {}),
            }
        )


def broken_run(directory: Path) -> Broken:
    """Read the run in a directory; UsageError if it is none that can be shrunk, FileError if it cannot be read."""
    from pydantic import ValidationError

    from harness.history.reader import read_header
    from harness.reports.document import read
    from harness.shrink.written import recorded

    path = directory / "history.jsonl"
    if not path.is_file():
        raise FileError("there is no history.jsonl here; name a run directory", path=str(directory))
    header = read_header(path)
    plan = header.get("plan") or {}
    if plan.get("scenario") is None:
        raise UsageError(f"{directory}: has no schedule of faults to shrink; name the directory of a run")
    if plan.get("users"):
        raise UsageError(
            f"{directory}: its load was Locust's users, which shrink cannot reduce; run it with the scenario's own "
            f"load: oneffect run {header.get('scenario_path')}"
        )
    verdict = read(directory)
    anomalies = invalidating() & {name for finding in verdict["findings"] for name in finding["anomalies"]}
    if verdict["verdict"] != "invalid" or not anomalies:
        raise UsageError(f"{directory}: is {verdict['verdict']}; only a run that is invalid can be shrunk")
    system, addresses = Path(header["system_path"]), header.get("addresses_path")
    if not system.is_file():
        raise FileError("is not there; shrink the run in the folder in which it was made", path=str(system))
    try:
        scenario = recorded(plan["scenario"])
    except ValidationError as error:
        raise FileError("another version of oneffect planned it; run it again", path=str(path), line=1) from error
    return Broken(
        directory,
        scenario,
        header["seed"],
        plan["variant"],
        plan["stack"],
        system,
        Path(addresses) if addresses else None,
        plan["system"],
        frozenset(anomalies),
    )


def invalidating() -> set[str]:
    """Name the anomalies that make a run invalid; others only accompany them."""
    from harness.checkers.judge import checkers
    from harness.verdict import Verdict

    named = [anomaly for checker in checkers() for anomaly in checker.anomalies]
    return {anomaly.name for anomaly in named if anomaly.verdict is Verdict.INVALID}
