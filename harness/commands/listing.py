"""``oneffect list``: lists scenarios, faults, checkers or variants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from harness.commands.options import AsJson, SystemFile
from harness.commands.places import scenario_folder
from harness.errors import UsageError

Rows = Sequence[Mapping[str, Any]]


class What(StrEnum):
    """What can be listed."""

    SCENARIOS = "scenarios"
    FAULTS = "faults"
    CHECKERS = "checkers"
    VARIANTS = "variants"


def listing(
    what: Annotated[What, typer.Argument(help="What to list.")], *, system: SystemFile = None, as_json: AsJson = False
) -> None:
    """List scenarios, faults, checkers or variants.

    Scenarios come from the nearest scenarios/ folder upward, variants from the systems that these name.

    For example:

      oneffect list faults

      oneffect list scenarios --json
    """
    from harness.reports.terminal import console, table

    rows = _LISTS[what](system)
    printer = console()
    if as_json:
        printer.print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    columns = list(rows[0]) if rows else []
    printer.print(table("", columns, [[_cell(row[column]) for column in columns] for row in rows]))


def _cell(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    return "" if value is None else value


def _scenarios(_: Path | None) -> Rows:
    from harness.files import load
    from harness.scenario import Scenario

    rows = []
    for path in _scenario_files():
        scenario = load(path, Scenario)
        rows.append(
            {
                "scenario": path.stem,
                "faults": sorted({line.fault for line in scenario.faults}),
                "expects": scenario.expect.verdict,
                "variants": {name: expected.verdict for name, expected in scenario.variants.items()},
                "summary": scenario.summary,
            }
        )
    return rows


def _faults(_: Path | None) -> Rows:
    from harness.faults import TABLE, fault_type

    rows = []
    for name in TABLE:
        kind = fault_type(name)
        fields = {field.alias or key: field for key, field in kind.model_fields.items()}
        parameters = [key if field.is_required() else f"{key}={field.default}" for key, field in fields.items()]
        rows.append(
            {
                "fault": name,
                "on": kind.target,
                "heals": kind.heals,
                "parameters": parameters,
                "summary": kind.summary,
            }
        )
    return rows


def _checkers(_: Path | None) -> Rows:
    from harness.checkers.judge import checkers

    return [
        {
            "checker": checker.name,
            "anomaly": anomaly.name,
            "verdict": anomaly.verdict.word if anomaly.verdict is not None else "warning",
            "says": anomaly.explain,
        }
        for checker in checkers()
        for anomaly in checker.anomalies
    ]


def _variants(given: Path | None) -> Rows:
    from harness.files import load
    from harness.plan import find_system
    from harness.scenario import Scenario
    from harness.system import System

    if given is not None:
        paths = [given]
    else:
        paths = sorted({find_system(load(path, Scenario), path).resolve() for path in _scenario_files()})
    rows = []
    for path in paths:
        system = load(path, System)
        for name, anomalies in (system.variants.find if system.variants is not None else {}).items():
            rows.append({"variant": name, "system": system.name, "must be found": anomalies})
    return rows


def _scenario_files() -> Sequence[Path]:
    folder = scenario_folder(Path.cwd())
    if folder is None:
        raise UsageError("there is no scenarios/ folder here or above; go to a project that has one")
    return sorted(folder.glob("*.yaml"))


_LISTS: Final[Mapping[What, Callable[[Path | None], Rows]]] = {
    What.SCENARIOS: _scenarios,
    What.FAULTS: _faults,
    What.CHECKERS: _checkers,
    What.VARIANTS: _variants,
}
