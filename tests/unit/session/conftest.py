"""The project of the commands' tests."""

from tests.unit.commands.conftest import project

__all__ = ["project"]
