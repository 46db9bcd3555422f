"""The generated pages, and docker-compose.chaos.yml, say what the code says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return module("generate").pages()


@pytest.mark.parametrize("name", sorted(module("generate").pages()))
def test_page_is_up_to_date(pages: dict[str, str], name: str) -> None:
    assert (DOCS / "reference" / name).read_text(encoding="utf-8") == pages[name], "run `make docs`"


def test_the_compose_file_is_of_the_system_file() -> None:
    compose = module("compose")
    assert compose.FILE.read_text(encoding="utf-8") == compose.text(), "run `make docs`"
