"""The Docker engine, through the ``docker`` command, which knows the user's contexts, sockets and credentials."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from harness.errors import StackError
from harness.redaction import anonymous
from harness.stacks.reaper import CONTAINERS, LABEL

OLDEST = (20, 10)
"""The oldest engine that the stack was tested with."""

_CONTAINED = ("/.dockerenv", "/run/.containerenv")
"""Most containers have one of these files."""

_PASSED_ON = (
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
)
_TIMEOUT = 60.0
"""Seconds to wait for one answer."""


class Engine:
    """A local engine that answers and is recent enough; otherwise raises StackError with the reason."""

    def __init__(self) -> None:
        command = shutil.which("docker")
        if command is None:
            raise StackError("docker: there is no docker command on PATH; install Docker, or run with --stack native")
        self.command = command
        self.environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            self.version = self.ask("version", "--format", "{{.Server.Version}}")
        except StackError as error:
            raise StackError(f"{error}; start an engine, or run with --stack native") from None
        numbers = tuple(int(word) for word in self.version.split(".")[:2] if word.isdigit())
        if numbers < OLDEST:
            oldest = ".".join(str(number) for number in OLDEST)
            raise StackError(f"docker: the engine is {self.version}; {oldest} or newer is needed: upgrade it")
        if elsewhere := self._elsewhere():
            raise StackError(
                f"docker: {elsewhere}; containers must share this machine's network and folders: "
                "use a local engine, or run with --stack native"
            )

    def _elsewhere(self) -> str:
        """Return why the engine does not share this process's network and folders; empty if it seems to."""
        kind, kernel, name, *security = self.ask(
            "info", "--format", "{{.OSType}} {{.KernelVersion}} {{.Name}} {{.SecurityOptions}}"
        ).split()
        here = os.uname()
        if kind != "linux" or kernel != here.release:
            return f"the engine is on another machine or in a virtual one ({kind} {kernel}, here {here.release})"
        if "name=rootless" in " ".join(security):
            return "the engine is rootless, and its containers' network is not this machine's"
        where = self.ask("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        if name != here.nodename and not where.startswith("unix:"):
            return f"the engine at {anonymous(where)} is on another machine ({name}, here {here.nodename})"
        if name != here.nodename and any(map(os.path.exists, _CONTAINED)):
            return f"the engine runs on {name}, and oneffect in a container ({here.nodename})"
        return ""

    def ask(self, *words: str, env: dict[str, str] | None = None) -> str:
        """Run ``docker WORDS`` and return its output; raises StackError with its error message if it fails."""
        try:
            done = subprocess.run(
                [self.command, *words],
                env={**(env or {}), **self.environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise StackError(f"docker {words[0]}: no answer within {_TIMEOUT:g} s") from error
        if done.returncode != 0:
            raise StackError(f"docker {words[0]}: {done.stderr.strip()[-500:] or 'failed'}")
        return done.stdout.strip()

    def has(self, image: str) -> bool:
        """Whether the engine has an image."""
        try:
            self.ask("image", "inspect", "--format", "{{.Id}}", image)
        except StackError as error:
            if "no such image" not in str(error).lower():
                raise
            return False
        return True

    def require(self, images: list[str]) -> None:
        """Raise StackError for the first image that the engine lacks, with the command that gets it."""
        for image in images:
            if not self.has(image):
                raise StackError(
                    f"docker: the image {image} is not here; run: docker pull {image} (or build it, as `make image` does)"
                )

    def entrust(self, folder: Path) -> None:
        """Write into a stack's folder what the reaper needs to remove the stack's containers."""
        lines = [self.command, *(f"{name}={value}" for name, value in self.environment.items())]
        partial = folder / f".{CONTAINERS}"
        partial.write_text("\n".join(lines))
        # Atomically: the harness may die at any moment, and the reaper must never read half a file.
        partial.replace(folder / CONTAINERS)

    def remove(self, token: str, *labels: str) -> None:
        """Remove a stack's containers, running or not, and their anonymous volumes; ``labels`` narrow the choice."""
        filters = [word for label in (f"{LABEL}={token}", *labels) for word in ("--filter", f"label={label}")]
        if containers := self.ask("ps", "--all", "--quiet", *filters).split():
            self.ask("rm", "--force", "--volumes", *containers)
