"""Follows each page of docs/extending/ on a copy of the tree: its steps suffice. That each is necessary, tests/long shows."""

from pathlib import Path

import pytest

from tests.docs.pages import EXTENDING, Command, Page, Tree

PAGES = [Page(path) for path in EXTENDING]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_with_all_steps_every_command_passes(page: Page, tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for step in page.steps:
        step.apply(tree.path)
    assert page.steps
    assert page.commands
    assert not tree.failure(page.commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_steps_write_is_formatted_and_linted(page: Page, tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for step in page.steps:
        step.apply(tree.path)
    changed = " ".join(sorted({step.path for step in page.steps if step.path.endswith(".py")}))
    assert not tree.failure([Command(f"ruff format --check {changed}"), Command(f"ruff check {changed}")])
