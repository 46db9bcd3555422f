"""The base: what the runs of a good gate found and which faults bit, for later gates to compare with.

A run on the unchanged system must find no anomaly that is not in the base. Every run, also on a variant, must happen
again, be invalid again if it was, and have each fault bite at least as often. Which of a variant's anomalies turn up is
luck, so they are not compared: the scenario says which must.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import FileError
from harness.reports.case import Case

FORMAT: Final = 1


class Run(BaseModel):
    """One run as the base keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Literal["valid", "unknown", "invalid"]
    anomalies: list[str]
    bitten: dict[str, Annotated[int, Field(ge=1)]]
    """Fault name -> how many such faults bit."""
    folder: str | None = None
    """The scenario's folder, relative to where the base was made; None in a base that does not say."""


class Base(BaseModel):
    """A whole base file; ``runs`` by label, ``redis-outage setnx_only``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    oneffect_base: Literal[1]
    runs: dict[str, Run]


def read(path: Path) -> Base:
    """Read the base at ``path``; FileError if it is missing or not a base."""
    try:
        return Base.model_validate(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise FileError(
            f"cannot be read: {error.strerror}; make a base: oneffect gate --write-base FILE", path=str(path)
        ) from error
    except orjson.JSONDecodeError:
        message = "is not JSON, so it is not a base"
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg'].lower()}"
    raise FileError(f"{message}; make it again: oneffect gate --write-base FILE", path=str(path))


def written(cases: Sequence[Case]) -> bytes:
    """Return the content of a base file of these runs."""
    runs = {
        case.label: {
            "verdict": case.verdict,
            "anomalies": sorted(case.anomalies),
            "bitten": dict(sorted(case.bitten.items())),
            "folder": os.path.relpath(case.file.parent),
        }
        for case in cases
    }
    return orjson.dumps({"oneffect_base": FORMAT, "runs": runs}, option=orjson.OPT_INDENT_2) + b"\n"


def compared(base: Base, cases: Sequence[Case], path: Path, *, folders: Sequence[Path]) -> list[Case]:
    """Return the cases, each with how it is worse than the base at ``path``.

    A run of the base that did not happen becomes a case too, if its scenario was run, or may lie in one of ``folders``,
    whose scenarios were all to be run; the other runs were left out on purpose.
    """
    made = [
        replace(case, regressions=_regressions(base.runs[case.label], case)) if case.label in base.runs else case
        for case in cases
    ]
    scenarios = {case.scenario for case in cases}
    for label in sorted(base.runs.keys() - {case.label for case in cases}):
        scenario, _, variant = label.partition(" ")
        if scenario not in scenarios and not _may_lie(base.runs[label].folder, folders):
            continue
        worse = "no longer bites: it is in the base, but nothing runs it now"
        made.append(Case(scenario, variant or None, path, 0.0, error=worse, regressions=(worse,)))
    return made


def _may_lie(folder: str | None, folders: Sequence[Path]) -> bool:
    """Whether ``folder`` is one of ``folders``, or may have been, because it is unknown or gone."""
    if folder is None or not os.path.isdir(folder):  # noqa: PTH112 - it never raises, whatever a base says
        return bool(folders)
    return Path(folder).resolve() in [each.resolve() for each in folders]


def _regressions(before: Run, case: Case) -> list[str]:
    """Say how a run is worse than before, a sentence each; nothing for a run that could not be made."""
    if case.document is None:
        return []
    new = [] if case.variant else [name for name in case.anomalies if name not in before.anomalies]
    sentences = [f"new since the base: {name} {case.anomalies[name]}" for name in new]
    if before.verdict == "invalid" and case.verdict != "invalid":
        anomalies = ", ".join(before.anomalies)
        sentences.append(f"no longer bites: found {anomalies} in the base, but is {case.verdict} now")
    return sentences + _tamer(before.bitten, case.bitten)


def _tamer(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    return [
        f"no longer bites: {name} bit {now.get(name, 0)} times, {count} in the base"
        for name, count in before.items()
        if now.get(name, 0) < count
    ]
