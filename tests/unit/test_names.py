import re

import pytest

from harness.stack import RunNames


def test_a_plain_service_has_a_plain_database() -> None:
    assert RunNames("r12ab").database("essay_lifecycle") == "r12ab_essay_lifecycle"


@pytest.mark.parametrize(("one", "other"), [("a-b", "a_b"), ("s" * 70, "s" * 71), ("s" * 62 + "a", "s" * 62 + "b")])
def test_two_services_never_share_a_database(one: str, other: str) -> None:
    made = {RunNames("r12ab").database(service) for service in (one, other)}
    assert len(made) == 2
    assert all(re.fullmatch("[a-z0-9_]{1,63}", name) for name in made)
