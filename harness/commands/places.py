"""Finds scenarios by name, and run directories."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError, nearest
from harness.history import RUNS
from harness.session.directory import LATEST


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


def scenario(name: str, start: Path) -> Path:
    """Return the file of a scenario given by path or name; UsageError, with the nearest name, if there is none.

    Without a ``scenarios/``, names are those of the harness's own scenarios, so that the demo's runs can be repeated.
    """
    path = Path(name)
    if path.suffix == ".yaml" or "/" in name or there(path):
        return path
    folder = scenario_folder(start)
    if folder is None and there(own_scenarios() / f"{name}.yaml"):
        folder = own_scenarios()
    if folder is None:
        raise UsageError(f"no scenario {name!r}: there is no such file, and no scenarios/ folder here or above")
    file = folder / f"{name}.yaml"
    if not there(file):
        names = sorted(path.stem for path in folder.glob("*.yaml"))
        raise UsageError(f"no scenario {name!r}{nearest(name, names)}; {shown(folder)} has {', '.join(names)}")
    return shown(file)


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
