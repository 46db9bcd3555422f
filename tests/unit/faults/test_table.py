"""A fault is one file and one row, and has everything that lists, pages and plans need."""

import inspect
import pkgutil
from importlib import import_module
from typing import get_args

import pytest

import harness.faults
from harness.faults import TABLE, fault_type
from harness.faults.base import Fault, Target

NAMES = sorted(TABLE)


def defined() -> set[str]:
    """Every fault class in harness/faults/, as ``"module:Name"``."""
    modules = [import_module(f"harness.faults.{one.name}") for one in pkgutil.iter_modules(harness.faults.__path__)]
    return {
        f"{module.__name__}:{kind.__name__}"
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Fault) and kind.__module__ == module.__name__ and not inspect.isabstract(kind)
    }


def test_every_fault_that_a_file_defines_has_a_row() -> None:
    missing = defined() - set(TABLE.values())
    assert not missing, f"add a row to TABLE in harness/faults/__init__.py: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("name", NAMES)
def test_the_row_leads_to_the_fault_of_that_name(name: str) -> None:
    assert fault_type(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_lists_and_pages_ask(name: str) -> None:
    kind = fault_type(name)
    assert kind.target in get_args(Target)
    assert kind.heals in {True, False}
    assert all(inspect.isclass(need) for need in kind.needs)
    for sentence in (kind.summary, kind.bites):
        assert sentence.endswith("."), sentence
    silent = [parameter for parameter, field in kind.model_fields.items() if not field.description]
    assert not silent, f"write a docstring below {', '.join(silent)} with its meaning and an example"
