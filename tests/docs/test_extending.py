"""Follows each page of docs/extending/ on a copy of the tree: its steps suffice, and each is necessary."""

from pathlib import Path

import pytest

from tests.docs.pages import EXTENDING, Command, Page, Tree

PAGES = [Page(path) for path in EXTENDING]
STEPS = [(page, number) for page in PAGES for number in range(len(page.steps))]


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


@pytest.mark.parametrize(("page", "number"), STEPS, ids=[f"{page.name}: {page.steps[n]}" for page, n in STEPS])
def test_without_one_step_a_command_fails(page: Page, number: int, tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for step in (*page.steps[:number], *page.steps[number + 1 :]):
        step.apply(tree.path)
    assert tree.failure(page.commands), f"all commands passed without {page.steps[number]}"
