"""oneffect as a library: brings a system up, lets code load and break it in steps, and judges what was recorded.

::

    import oneffect

    with oneffect.system("system.yaml", seed=41) as shop:
        shop.upload(count=20)
        with shop.fault("redis.lose", on="redis"):
            shop.upload(count=20)
        verdict = shop.verdict()
    print(verdict.story())

``async with`` has the same names. In pytest the fixture ``oneffect`` keeps the stacks warm from test to test.
"""

from __future__ import annotations

from harness.errors import FaultError, FileError, OneffectError, PlanRefused, ServiceExited, StackError, UsageError
from harness.history.reader import History
from harness.scenario import Scenario
from harness.steps.aio import AsyncSystem
from harness.steps.judged import Judged
from harness.steps.places import Proxy
from harness.steps.session import Opening, Session, adopt, session, system
from harness.steps.system import System
from harness.verdict import Verdict

__all__ = [
    "AsyncSystem",
    "FaultError",
    "FileError",
    "History",
    "Judged",
    "OneffectError",
    "Opening",
    "PlanRefused",
    "Proxy",
    "Scenario",
    "ServiceExited",
    "Session",
    "StackError",
    "System",
    "UsageError",
    "Verdict",
    "adopt",
    "session",
    "system",
]
