"""Follows each page of docs/extending/ on a copy of the tree, each time without one of its steps: each is necessary."""

from pathlib import Path

import pytest

from tests.docs.pages import EXTENDING, Page, Tree

pytestmark = pytest.mark.long

PAGES = [Page(path) for path in EXTENDING]
STEPS = [(page, number) for page in PAGES for number in range(len(page.steps))]


@pytest.mark.parametrize(("page", "number"), STEPS, ids=[f"{page.name}: {page.steps[n]}" for page, n in STEPS])
def test_without_one_step_a_command_fails(page: Page, number: int, tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for step in (*page.steps[:number], *page.steps[number + 1 :]):
        step.apply(tree.path)
    assert tree.failure(page.commands), f"all commands passed without {page.steps[number]}"
