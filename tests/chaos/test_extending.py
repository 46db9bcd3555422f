"""Runs the commands of docs/extending/ that need a real stack, on the native one."""

from pathlib import Path

import pytest

from harness.stacks.native.install import install
from tests.docs.pages import EXTENDING, Page, Tree

PAGES = [page for page in map(Page, EXTENDING) if page.real]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.wide
def test_it_works_on_the_native_stack(page: Page, tmp_path: Path) -> None:
    install()
    tree = Tree(tmp_path)
    for step in page.steps:
        step.apply(tree.path)
    assert not tree.failure(page.real, timeout=600.0)
