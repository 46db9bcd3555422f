"""The project that the tests of the plugin run pytest in."""

import pytest

from tests.plugin.made_up import SCENARIO, SYSTEM


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.path.joinpath("system.yaml").write_text(SYSTEM)
    pytester.path.joinpath("one.yaml").write_text(SCENARIO)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return pytester
