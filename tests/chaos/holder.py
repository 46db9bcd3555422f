"""Holds a stack with services, one of them paused, and says so; then does nothing until it is ended."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import yaml

from harness.stack import RunNames
from harness.stacks import make_stack
from harness.system import System

HERE = Path(__file__).parent


async def hold(folder: Path, name: str) -> None:
    """Start, say the process ids and the temporary folder, wait."""
    system = System.model_validate(yaml.safe_load((HERE / "system.yaml").read_text()))
    stack: Any = make_stack(name, system, folder / "stack", working_directory=HERE)
    await stack.start()
    try:
        await stack.start_services(RunNames("held"), folder, None)
        await stack.services["worker#1"].pause()
        workspace = stack.workspace
        pids = [*stack.pids().values(), workspace.pid]
        told = {"pids": pids, "reaper": workspace.pid, "folder": str(workspace.folder), "token": workspace.token}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
    finally:
        await stack.stop()


if __name__ == "__main__":
    # Whoever runs the tests in the background may have had SIGINT ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asyncio.run(hold(Path(sys.argv[1]), sys.argv[2]))
