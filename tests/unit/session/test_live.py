"""What the harness fills in for itself: the run's names, and addresses past the proxies."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.session.live import LiveSystem
from harness.stack import RunNames
from harness.system import System

SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "small",
        "dependencies": {"kafka": {"topics": {"orders": 2}}, "postgres": {}},
        "services": {
            "shop": {
                "command": "python -m shop",
                "env": {
                    "PORT": "{port}",
                    "KAFKA": "{kafka}",
                    "ORDERS": "{topic:orders}",
                    "WHO": "{service}#{replica} of {run} in {group}",
                    "DB": "postgresql://oneffect@{postgres}/{database}",
                    "FILES": "{data}/files",
                    "OTHER": "http://{shop}/",
                },
            }
        },
        "load": {"upload": {"to": "shop", "post": "/orders"}},
        "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
    }
)


class Stack:
    """One that runs, as far as this goes."""

    def direct(self, name: str) -> str:
        return {"kafka": "127.0.0.1:1", "postgres": "127.0.0.1:2", "shop": "127.0.0.1:3"}[name]

    def data(self, service: str) -> Path:
        return Path("/data", service)


@pytest.fixture
async def live() -> AsyncIterator[LiveSystem]:
    made = LiveSystem(SYSTEM, Stack(), RunNames("r1"))  # type: ignore[arg-type]
    yield made
    await made.close()


async def test_an_environment_is_a_services_own_with_direct_addresses(live: LiveSystem) -> None:
    assert live.environment("shop") == {
        "PORT": "3",
        "KAFKA": "127.0.0.1:1",
        "ORDERS": "r1.orders",
        "WHO": "shop#1 of r1 in shop-r1",
        "DB": "postgresql://oneffect@127.0.0.1:2/r1_shop",
        "FILES": "/data/shop/files",
        "OTHER": "http://127.0.0.1:3/",
    }


async def test_without_a_service_what_is_its_own_stays_as_it_is_written(live: LiveSystem) -> None:
    assert live.filled("{kafka} {topic:orders} {run} {data} {group} {id} {topic:none}") == (
        "127.0.0.1:1 r1.orders r1 {data} {group} {id} {topic:none}"
    )
