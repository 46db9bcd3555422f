"""A stack is one file or folder and one row, and has every member of ``harness.stack.Stack``."""

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import harness.stacks
from harness.addresses import Addresses
from harness.faults import TABLE as FAULTS
from harness.faults import fault_type
from harness.stack import Stack
from harness.stacks import ADOPTED, TABLE, make_adopted, make_stack
from tests.unit.test_addresses import GOOD, SYSTEM

MEMBERS = sorted(name for name in {*vars(Stack), *Stack.__annotations__} if not name.startswith("_"))
IMAGES = {name: one.model_copy(update={"image": "image"}) for name, one in SYSTEM.services.items()}


def stack(name: str, folder: Path) -> Stack:
    """A stack that is not started."""
    addresses = folder / "there.yaml"
    addresses.write_text(GOOD)
    system = SYSTEM.model_copy(update={"services": IMAGES})
    if name == "adopted":
        return make_adopted(system, Addresses(oneffect=1, dependencies={}, services={}, links={}), folder / "logs")
    there = addresses if name == "external" else None
    return make_stack(name, system, folder / "logs", working_directory=folder, addresses=there)


def defined() -> set[str]:
    """Every stack class below harness/stacks/, as ``"module:Name"``."""
    modules = [import_module(one.name) for one in pkgutil.walk_packages(harness.stacks.__path__, "harness.stacks.")]
    return {
        f"{module.__name__}:{kind.__name__}"
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and hasattr(kind, "start_services")
    }


def test_every_stack_that_a_file_defines_has_a_row() -> None:
    missing = defined() - {*TABLE.values(), ADOPTED}
    assert not missing, f"add a row to TABLE in harness/stacks/__init__.py: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("name", [*TABLE, "adopted"])
def test_it_has_what_a_stack_has(name: str, tmp_path: Path) -> None:
    made = stack(name, tmp_path)
    assert made.name == name
    missing = [member for member in MEMBERS if not hasattr(made, member)]
    assert not missing, f"{name} lacks {', '.join(missing)}; harness.stack.Stack says what each is"


@pytest.mark.parametrize("name", [*TABLE, "adopted"])
def test_it_says_of_each_fault_whether_it_can(name: str, tmp_path: Path) -> None:
    made = stack(name, tmp_path)
    for need in {need for fault in FAULTS for need in fault_type(fault).needs}:
        assert made.lacks(need) is None or isinstance(made.lacks(need), str)
