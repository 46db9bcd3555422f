"""How the harness logs in at a Redis, from the server's own configuration; the passwords in it are secrets."""

import pytest

from harness.clients.login import Login, redis_login
from harness.redaction import Redaction
from harness.system import System


@pytest.mark.parametrize(
    ("config", "login"),
    [
        ({}, None),
        ({"requirepass": ""}, None),
        ({"requirepass": "open sesame"}, Login("open sesame")),
        ({"requirepass": "open", "masteruser": "app", "masterauth": "sesame"}, Login("sesame", "app")),
        ({"user": "default on >sesame ~* +@all"}, Login("sesame")),
        ({"user": "app on >sesame ~* +@all"}, None),  # whoever is nobody may still do all
        ({"user": "default on nopass ~* +@all"}, None),
        ({"user": ""}, None),
    ],
)
def test_where_it_stands(config: dict[str, str], login: Login | None) -> None:
    assert redis_login(config) == login


def test_what_is_sent() -> None:
    assert Login("pässword").request() == "*2\r\n$4\r\nAUTH\r\n$9\r\npässword\r\n".encode()
    assert Login("a b", "app").request() == b"*3\r\n$4\r\nAUTH\r\n$3\r\napp\r\n$3\r\na b\r\n"


@pytest.mark.parametrize(
    "config",
    [{"requirepass": "open sesame"}, {"masterauth": "open sesame"}, {"user": "app on >open-sesame ~* +@all"}],
)
def test_no_plan_tells_it(config: dict[str, str]) -> None:
    system = System.model_validate(
        {
            "oneffect": 1,
            "name": "small",
            "dependencies": {"kafka": {"topics": {"orders": 1}}, "redis": {"config": config}},
            "services": {"shop": {"command": "shop"}},
            "load": {"upload": {"to": "shop", "post": "/"}},
            "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
        }
    )
    hidden = Redaction(system)
    plan = hidden.plan({"system": system.model_dump(mode="json")})
    assert "sesame" not in str(plan)
    assert "sesame" not in hidden.text(f"it was told {config}")
