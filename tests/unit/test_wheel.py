"""What is installed is whole: the demo and the reference find their files where there is no checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (made,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return Path(made)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def said(installed: Path, cwd: Path, code: str) -> str:
    """What the installed package's code prints in a folder that is no checkout."""
    done = subprocess.run(
        # Later on the path than what is given here would be the checkout, which tests may have installed.
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(installed)!r})\n{code}"],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_the_packages_and_the_scenarios(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in ("harness", "oneffect", "reference_impl")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wanted |= {f"oneffect_scenarios/{path.name}" for path in (ROOT / "scenarios").iterdir() if path.is_file()}
    assert not wanted - names
    assert "oneffect-0.1.0.dist-info/licenses/LICENSE" in names
    assert not {name.partition("/")[0] for name in names} & {"tests", "docs", "benchmarks", "scenarios"}


def test_the_demo_plans_its_runs_outside_of_a_checkout(installed: Path, tmp_path: Path) -> None:
    code = "from harness.commands.demo import plans\nfor plan in plans(7): print(plan.label, plan.system_path)"
    lines = said(installed, tmp_path, code).splitlines()
    assert len(lines) == 7
    assert {Path(line.split()[-1]).resolve().parent for line in lines} == {installed.resolve() / "reference_impl"}


def test_the_library_has_every_name_that_it_gives_away(installed: Path, tmp_path: Path) -> None:
    code = (
        "import oneffect\nprint(oneffect.__file__, *(getattr(oneffect, name).__name__ for name in oneffect.__all__))"
    )
    where, *names = said(installed, tmp_path, code).split()
    assert Path(where).resolve() == installed.resolve() / "oneffect" / "__init__.py"
    assert {"Session", "System", "AsyncSystem", "Judged", "Verdict", "History", "session", "system"} <= set(names)


def test_a_run_of_the_demo_can_be_made_again_by_its_name(installed: Path, tmp_path: Path) -> None:
    code = "from pathlib import Path\nfrom harness.commands.places import scenario\nprint(scenario('network', Path.cwd()))"
    assert said(installed, tmp_path, code).strip() == str(installed / "oneffect_scenarios" / "network.yaml")


def test_the_standard_scenarios_are_listed_and_fit_a_system_where_there_is_no_checkout(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "system.yaml").write_bytes((ROOT / "tests" / "chaos" / "foreign" / "system.yaml").read_bytes())
    code = (
        "from pathlib import Path\nfrom harness.commands.listing import _scenarios\n"
        "for row in _scenarios(Path('system.yaml')): print(row['scenario'], row['from'], row['system'], row['fits'])"
    )
    rows = {line.split()[0]: line.split()[1:] for line in said(installed, tmp_path, code).splitlines()}
    assert rows["control"] == ["oneffect", "any", "yes"]
    assert rows["redelivery"][:3] == ["oneffect", "any", "without"]
    code = (
        "from pathlib import Path\nfrom harness.commands.standard import Standard\n"
        "made = Standard.of(None, Path.cwd(), variant=None, seed=1, stack='auto', addresses=None)\n"
        "for plan in made.plans: print(plan.label, plan.system.name)"
    )
    assert [line.split() for line in said(installed, tmp_path, code).splitlines()] == [
        [name, "shop"] for name in ("control", "network", "redelivery", "redis-outage")
    ]
