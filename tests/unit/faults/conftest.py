"""A system like the reference's, for faults to be planned on."""

from __future__ import annotations

import pytest

from harness.system import System

CONSUMER = {
    "command": "python consumer.py",
    "replicas": 2,
    "env": {"KAFKA": "{kafka}", "REDIS": "{redis}", "CONTENT": "{content_service}"},
}


@pytest.fixture
def system() -> System:
    return System.model_validate(
        {
            "oneffect": 1,
            "name": "planned",
            "dependencies": {"kafka": {"topics": {"essays": 4, "single": 1}}, "redis": {}},
            "services": {
                "content_service": {"command": "python content.py"},
                "file_service": {"command": "python file.py", "env": {"KAFKA": "{kafka}"}},
                "essay_lifecycle": CONSUMER,
            },
            "load": {"upload": {"to": "file_service", "post": "/"}},
            "events": {"id": "/id", "type": "/type", "topics": ["essays"]},
        }
    )
