"""Checkers and oracle agree on many more generated histories."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.unit.checkers.test_against_oracle import agreed, different, workers

__all__ = ["workers"]
MANY = 6000


@pytest.mark.long
def test_every_checker_agrees_with_the_oracle(workers: ProcessPoolExecutor, tmp_path: Path) -> None:
    made = different(MANY)
    assert len(made) == MANY
    agreed(made, workers, tmp_path)
