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
from harness.errors import FileError, PlanRefused, UsageError

Rows = Sequence[Mapping[str, Any]]

_ONLY_AS_JSON: Final = frozenset({"faults", "from"})
"""Columns that make a table too wide to read."""

_OF_ANY_SYSTEM: Final = frozenset({"system", "variants"})
"""Columns that say little where a system is given."""


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

    Scenarios are those of the nearest scenarios/ folder upward, of the folder of --system, and oneffect's own, of which the
    standard ones are for any system; with --system also whether each fits it. Their faults are listed with --json. Variants
    come from the systems that the nearest scenarios name.

    For example:

      oneffect list faults

      oneffect list scenarios --system ./system.yaml

      oneffect list scenarios --json
    """
    from harness.reports.terminal import console, table

    rows = _LISTS[what](system)
    printer = console()
    if as_json:
        printer.print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    hidden = _ONLY_AS_JSON | (_OF_ANY_SYSTEM if what is What.SCENARIOS and system is not None else frozenset())
    columns = [column for column in (rows[0] if rows else ()) if column not in hidden]
    printer.print(table("", columns, [[_cell(row[column]) for column in columns] for row in rows]))


def _cell(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    return "" if value is None else value


def _scenarios(system: Path | None) -> Rows:
    from harness.commands.places import own_scenarios, scenario_files, shown
    from harness.commands.standard import TAG
    from harness.files import load
    from harness.scenario import Scenario
    from harness.system import System

    if system is not None:
        load(system, System)  # what is wrong with it is no scenario's fault
    rows = []
    for name, path in scenario_files(Path.cwd(), system).items():
        scenario = load(path, Scenario)
        own, standard = path.parent.resolve() == own_scenarios().resolve(), TAG in scenario.tags
        rows.append(
            {
                "scenario": name,
                "from": "oneffect" if own else str(shown(path.parent.absolute())),
                **(
                    {"fits": _fits(shown(path), system, scenario.system, standard=standard)}
                    if system is not None
                    else {}
                ),
                "system": "any" if standard else scenario.system,
                "faults": sorted({line.fault for line in scenario.faults}),
                "expects": scenario.expect.verdict,
                "variants": {name: expected.verdict for name, expected in scenario.variants.items()},
                "summary": scenario.summary,
            }
        )
    return rows


def _fits(path: Path, system: Path, made_for: str | None, *, standard: bool) -> str:
    """Say whether a scenario fits a system: ``yes``, ``without …``, or ``no: …``."""
    from harness.plan import make_plan

    try:
        plan = make_plan(path, system_path=system, variant=None, seed=0, stack="auto")
    except (FileError, PlanRefused) as refused:
        # What a scenario made for another system asks of this one is nothing to be mended here.
        if not standard and made_for and (path.parent / made_for).resolve() != system.resolve():
            return f"no: it was written for {made_for}"
        reason = str(refused).removeprefix(f"{path}: ")
        return f"no: {reason.partition(f' does not fit {system}: ')[2] or reason}"
    without = ", ".join(f"{one.what} {one.on}".strip() for one in plan.left_out)
    return f"without {without}" if without else "yes"


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
