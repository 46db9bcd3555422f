"""What placeholders stand for, and the links that they make."""

import pytest

from harness.stack import RunNames
from harness.system import System
from harness.wiring import Words

DOCUMENT = {
    "oneffect": 1,
    "name": "small",
    "dependencies": {"kafka": {"topics": {"host": 2}}, "cache": {"kind": "redis"}},
    "services": {"shop": {"command": "shop {kafka:port}", "env": {"HOST": "{cache:host}", "PORT": "{cache:port}"}}},
    "load": {"upload": {"to": "shop", "post": "/orders"}},
    "events": {"id": "/id", "type": "/type", "topics": ["host"]},
}
WHERE = {"cache": "127.0.0.1:7001", "kafka": "127.0.0.1:7002"}


def test_half_an_address_makes_the_same_link_as_the_whole() -> None:
    system = System.model_validate(DOCUMENT)
    assert system.links() == [("shop#1", "cache"), ("shop#1", "kafka")]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{cache}", "127.0.0.1:7001"),
        ("redis://{cache:host}:{cache:port}/0", "redis://127.0.0.1:7001/0"),
        ("{kafka:port}", "7002"),
        ("{topic:host}", "r1.host"),
        ("{cache:hots} {shop:host} {topic:port}", "{cache:hots} {shop:host} {topic:port}"),
    ],
)
def test_an_address_is_filled_in_whole_or_in_two(text: str, filled: str) -> None:
    assert Words(System.model_validate(DOCUMENT), RunNames("r1"), WHERE.get).filled(text) == filled


def test_no_other_part_of_an_address_can_be_named() -> None:
    wrong = {**DOCUMENT, "services": {"shop": {"command": "shop {cache:hots}"}}}
    with pytest.raises(ValueError, match=r"services.shop: \{cache:hots\} is unknown"):
        System.model_validate(wrong)
