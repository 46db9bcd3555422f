"""Finds scenarios by name, and run directories."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from harness.errors import UsageError, nearest
from harness.history import RUNS
from harness.session.directory import LATEST

SCENARIOS: Final = ("scenarios", "oneffect_scenarios")
"""Names of folders that hold scenarios only."""


def scenario_folder(start: Path) -> Path | None:
    """Return the nearest ``scenarios/`` upward from ``start`` that holds a scenario; None if there is none."""
    for folder in (start.absolute(), *start.absolute().parents):
        if any((folder / "scenarios").glob("*.yaml")):
            return folder / "scenarios"
    return None


def own_scenarios() -> Path:
    """Return the folder of the harness's own scenarios: the installed one, or the checkout's."""
    beside = Path(__file__).parents[2]
    installed = beside / "oneffect_scenarios"
    return installed if installed.is_dir() else beside / "scenarios"


def scenario_folders(start: Path, system: Path | None = None) -> list[Path]:
    """Return the folders in which scenarios go by name, the first wins.

    They are the nearest ``scenarios/`` upward from ``start``, that of ``system``'s folder, that folder itself, and the
    harness's own.
    """
    beside = [system.absolute().parent / "scenarios", system.absolute().parent] if system is not None else []
    near = scenario_folder(start)
    folders = [*([near] if near is not None else []), *beside, own_scenarios()]
    return [*{folder.resolve(): folder for folder in folders if folder.is_dir()}.values()]


def scenario_files(start: Path, system: Path | None = None) -> dict[str, Path]:
    """Return the scenarios that go by name, in the order of their folders: name to file."""
    files: dict[str, Path] = {}
    for folder in scenario_folders(start, system):
        for path in sorted(folder.glob("*.yaml")):
            if folder.name in SCENARIOS or looks_like_a_scenario(path):
                files.setdefault(path.stem, path)
    return files


def looks_like_a_scenario(path: Path) -> bool:
    """Whether a file among others is a scenario, judging by its top-level keys alone."""
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return all(re.search(rb"^%s:" % key, text, re.MULTILINE) for key in (b"oneffect", b"name", b"load")) and not (
        re.search(rb"^services:", text, re.MULTILINE)
    )


def looks_like_a_system(path: Path) -> bool:
    """Whether a file among scenarios is a system file, judging by top-level keys that no scenario has."""
    try:
        return re.search(rb"^(dependencies|services|extends):", path.read_bytes(), re.MULTILINE) is not None
    except OSError:
        return False


def scenario(name: str, start: Path, system: Path | None = None) -> Path:
    """Return the file of a scenario given by path or name; UsageError, with the nearest name, if there is none."""
    path = Path(name)
    if path.suffix == ".yaml" or "/" in name or there(path):
        return path
    folders = scenario_folders(start, system)
    for folder in folders:
        if there(folder / f"{name}.yaml"):
            return shown(folder / f"{name}.yaml")
    names = scenario_files(start, system)
    at = "; ".join(
        f"{shown(folder)} has {', '.join(path.stem for path in names.values() if path.parent == folder)}"
        for folder in folders
        if any(path.parent == folder for path in names.values())
    )
    raise UsageError(f"no scenario {name!r}{nearest(name, names)}; {at}")


def run_directory(given: str | None, start: Path) -> Path:
    """Return a run directory by path, by name or id under ``.oneffect/runs``, or the latest; UsageError if none is there."""
    runs = next(
        (folder / RUNS for folder in (start.absolute(), *start.absolute().parents) if (folder / RUNS).is_dir()), None
    )
    if given is not None:
        below = [runs / given, *_with_id(runs, given)] if runs is not None else []
        for path in (Path(given), *below):
            if there(path) and path.is_dir():
                return path
        raise UsageError(f"no run directory {given!r}; name one, or leave it out for the latest")
    if runs is None or not (runs / LATEST).exists():
        raise UsageError("there is no run here or above; make one: oneffect run SCENARIO")
    return shown((runs / LATEST).resolve())


def _with_id(runs: Path, run: str) -> list[Path]:
    """Return the run directory whose name ends with a run's id."""
    return [path for path in runs.iterdir() if path.name.endswith(f"-{run}")] if run.isalnum() else []


def there(path: Path) -> bool:
    """Whether the file or folder exists; False for an impossible name."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def shown(path: Path) -> Path:
    """Return ``path`` relative to the current folder if it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
