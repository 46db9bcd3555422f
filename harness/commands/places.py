"""Where things are: scenarios by name, run directories, the folder that runs go to."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError, nearest
from harness.session.directory import LATEST, RUNS


def scenario_folder(start: Path) -> Path | None:
    """The nearest ``scenarios/`` upward from ``start`` that holds a scenario; None if there is none."""
    for folder in (start.absolute(), *start.absolute().parents):
        if any((folder / "scenarios").glob("*.yaml")):
            return folder / "scenarios"
    return None


def own_scenarios() -> Path:
    """The scenarios that came with the harness: as installed, or those of the checkout."""
    beside = Path(__file__).parents[2]
    installed = beside / "oneffect_scenarios"
    return installed if installed.is_dir() else beside / "scenarios"


def scenario(name: str, start: Path) -> Path:
    """The file of a scenario given by path or by name; UsageError with the nearest names.

    Where there is no ``scenarios/``, names are those of the demo's scenarios, so that its runs can be made again.
    """
    path = Path(name)
    if path.suffix == ".yaml" or "/" in name or there(path):
        return path
    folder = scenario_folder(start)
    if folder is None and there(own_scenarios() / f"{name}.yaml"):
        folder = own_scenarios()
    if folder is None:
        raise UsageError(f"no scenario {name!r}: it is no file, and there is no scenarios/ folder here or above")
    found = folder / f"{name}.yaml"
    if not there(found):
        known = sorted(path.stem for path in folder.glob("*.yaml"))
        raise UsageError(f"no scenario {name!r}{nearest(name, known)}; {shown(folder)} has {', '.join(known)}")
    return shown(found)


def run_directory(given: str | None, start: Path) -> Path:
    """A run directory by path, by its name under ``.oneffect/runs``, or the latest; UsageError if it is not there."""
    runs = next(
        (folder / RUNS for folder in (start.absolute(), *start.absolute().parents) if (folder / RUNS).is_dir()), None
    )
    if given is not None:
        for path in (Path(given), *([runs / given] if runs is not None else [])):
            if there(path) and path.is_dir():
                return path
        raise UsageError(f"no run directory {given!r}; name one, or leave it out for the latest")
    if runs is None or not (runs / LATEST).exists():
        raise UsageError("there is no run yet, here or above; make one: oneffect run SCENARIO")
    return shown((runs / LATEST).resolve())


def there(path: Path) -> bool:
    """Whether there is such a file or folder; a name that cannot be one is not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def shown(path: Path) -> Path:
    """``path`` from the current folder, where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
