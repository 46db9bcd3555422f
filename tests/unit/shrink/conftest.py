"""Schedules to shrink, an oracle that counts what it is asked, and the system that they are of."""

import pytest
import yaml

from harness.files.document import plain
from harness.scenario import Scenario
from harness.shrink.candidate import Candidate
from harness.system import System
from tests.unit.commands.conftest import SYSTEM


@pytest.fixture(scope="session")
def system() -> System:
    return System.model_validate(yaml.safe_load(SYSTEM))


def candidate(*faults: str, load: str = "{uploads: 120, rate: 20/s}", again: str = "[]") -> Candidate:
    """A candidate of rows in a file's form."""
    rows = [plain(row, "a row") for row in faults]
    document = {
        "oneffect": 1,
        "name": "one",
        "load": plain(load, "load"),
        "faults": rows,
        "again": plain(again, "again"),
    }
    return Candidate.of(Scenario.model_validate(document))


class Oracle:
    """Breaks as a predicate says; keeps what it was asked."""

    def __init__(self, predicate) -> None:
        self._predicate = predicate
        self.asked: list[Candidate] = []

    async def __call__(self, asked: Candidate) -> bool:
        self.asked.append(asked)
        return bool(self._predicate(asked))
