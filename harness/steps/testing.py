"""The session of one pytest test, and the report of its runs if it fails."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from harness.errors import UsageError
from harness.reports.untrusted import shown
from harness.steps.session import Defaults, Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from harness.session.thread import LoopThread

MARKER: Final = "oneffect"

_MARKED: Final = ("seed", "stack", "variant")


class Kept:
    """Keeps the progress of a test's runs for its report."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, text: str) -> None:
        """Keep a step."""
        self.lines.append(shown(text, lines=True))

    def note(self, text: str) -> None:
        """Keep an event within the step."""
        self.lines.append(f"  {shown(text, lines=True)}")


class TestSession(Session):
    """A session with the options of the test's markers, else of pytest's command line."""

    __test__ = False

    def __init__(self, item: pytest.Item, loop: LoopThread) -> None:
        self.progress = Kept()
        option = item.config.option
        chosen = {"seed": option.oneffect_seed, "stack": option.oneffect_stack, "variant": option.oneffect_variant}
        chosen |= _marked(item)
        words = ["pytest", item.nodeid, "--oneffect-seed", str(chosen["seed"])]
        for name in ("stack", "variant"):
            words += [f"--oneffect-{name}", str(given)] if (given := getattr(option, f"oneffect_{name}")) else []
        super().__init__(
            loop,
            Defaults(
                here=item.path.parent,
                seed=chosen["seed"],
                stack=chosen["stack"] or "auto",
                variant=chosen["variant"],
                name=item.name,
                again=shlex.join(words),
            ),
            self.progress,
        )

    def told(self) -> Iterator[str]:
        """Yield the lines of a failed test's report: its progress, each run's directory, and how to repeat each."""
        yield from self.progress.lines
        for block in self.blocks:
            if block.steps is not None:
                verdict = f"{block.judged.verdict.word}  " if block.judged is not None else "no verdict  "
                yield f"{verdict}run: {shown(block.steps.directory)}    again: {shown(block.plan.again)}"

    def properties(self) -> Iterator[tuple[str, object]]:
        """Yield the verdict and the directory of each run, for JUnit."""
        for block in self.blocks:
            if block.judged is not None:
                yield "verdict", block.judged.verdict.word
            if block.steps is not None:
                yield "run_directory", str(block.steps.directory)


def _marked(item: pytest.Item) -> dict[str, Any]:
    """Return the options in the item's markers, where the nearest marker wins; UsageError for an unknown option."""
    chosen: dict[str, Any] = {}
    for marker in item.iter_markers(MARKER):
        if marker.args or (unknown := sorted(marker.kwargs.keys() - set(_MARKED))):
            what = repr(marker.args[0]) if marker.args else unknown[0]
            raise UsageError(f"@pytest.mark.oneffect takes {', '.join(f'{name}=…' for name in _MARKED)}, not {what}")
        chosen = {**marker.kwargs, **chosen}
    return chosen
