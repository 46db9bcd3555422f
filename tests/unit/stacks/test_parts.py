import hashlib
import stat
from pathlib import Path

import pytest

from harness.errors import StackError
from harness.stacks.native import install, parts


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("ONEFFECT_CACHE", raising=False)
    assert parts.cache_folder() == tmp_path / "xdg" / "oneffect"
    monkeypatch.setenv("ONEFFECT_CACHE", str(tmp_path / "own"))
    assert parts.cache_folder() == tmp_path / "own"


def test_the_lock_names_kafka_and_no_address() -> None:
    assert parts.KAFKA in {jar.version for jar in parts.jars() if jar.artifact == "kafka_2.13"}
    assert all(len(jar.sha256) == 64 for jar in parts.jars())
    assert "://" not in parts.LOCK.read_text()


def test_what_is_missing_is_said_with_what_mends_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ONEFFECT_CACHE", str(tmp_path))
    missing = {part.name: part for part in parts.parts() if part.path is None}
    assert missing["kafka"].mend == missing["toxiproxy"].mend == "oneffect setup"
    with pytest.raises(StackError, match=r"kafka.*oneffect setup.*toxiproxy"):
        parts.require()


@pytest.mark.parametrize(
    ("said", "taken"),
    [("Redis server v=7.0.15 sha=0", True), ("Redis server v=6.2.7 sha=0", False), ("what?", False)],
)
def test_a_redis_server_on_path_is_taken_from_7_on(monkeypatch, tmp_path, said, taken) -> None:
    script(tmp_path / "redis-server", f"echo '{said}'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    part = parts.find_redis()
    assert part.name == ("redis" if taken else "valkey")
    assert part.version == ("7.0.15" if taken else "9.1.2")


def test_half_an_installation_is_not_taken_for_one(monkeypatch, tmp_path) -> None:
    """A download that breaks off leaves nothing that has the final name, and nothing else."""
    monkeypatch.setattr(install, "_download", lambda staging, report: (staging / "jars").mkdir() or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        install._kafka(tmp_path, lambda *_, **__: None)
    assert parts.find_kafka(tmp_path).path is None
    assert not list(tmp_path.iterdir())


def test_a_jar_with_another_sum_is_refused(monkeypatch, tmp_path) -> None:
    jar = parts.Jar("org.example", "thing", "1.0", hashlib.sha256(b"good").hexdigest())
    monkeypatch.setattr(parts, "jars", lambda: [jar])
    cached = tmp_path / "m2" / "org" / "example" / "thing" / "1.0" / "thing-1.0.jar"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"bad")
    with pytest.raises(StackError, match=r"thing-1\.0\.jar.*SHA-256"):
        install._download(tmp_path, lambda *_, **__: None)


def test_a_build_that_calls_itself_otherwise_is_refused(monkeypatch, tmp_path) -> None:
    def build(_go, staging, _modules, _report):
        script(staging / "bin" / "server", "echo toxiproxy-server version git")

    monkeypatch.setattr(install, "_build", build)
    with pytest.raises(StackError, match="'git', not 2"):
        install._toxiproxy(tmp_path, lambda *_, **__: None)
    assert parts.find_toxiproxy(tmp_path).path is None


def test_an_installation_is_done_once(monkeypatch, tmp_path) -> None:
    builds = []

    def build(_go, staging, _modules, _report):
        builds.append(staging)
        script(staging / "bin" / "server", f"echo toxiproxy-server version {parts.TOXIPROXY}")

    monkeypatch.setattr(install, "_build", build)
    for _ in range(2):
        install._toxiproxy(tmp_path, lambda *_, **__: None)
    assert len(builds) == 1
    assert parts.find_toxiproxy(tmp_path).path is not None


def test_a_build_that_fails_is_said_with_its_reason(tmp_path) -> None:
    go = script(tmp_path / "go", "echo no route to anywhere >&2; exit 1")
    with pytest.raises(StackError, match=r"(?s)toxiproxy.*oneffect setup.*no route"):
        install._build(go, tmp_path, tmp_path / "modules", lambda *_, **__: None)


def test_a_build_says_how_far_it_is(tmp_path) -> None:
    said = "go: downloading example.org/a v1.2.3\\nerrors\\nexample.org/a/b-c.v2\\n"
    told = []
    install._build(
        script(tmp_path / "go", f"printf '{said}' >&2"),
        tmp_path,
        tmp_path / "modules",
        lambda *one, **_: told.append(one),
    )
    assert told == [
        ("toxiproxy", "downloading example.org/a v1.2.3"),
        ("toxiproxy", "compiled 1 package"),
        ("toxiproxy", "compiled 2 packages"),
    ]


def test_a_build_that_takes_too_long_is_ended(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(install, "_BUILD_TIMEOUT", 0.2)
    go = script(tmp_path / "go", "exec sleep 60")
    with pytest.raises(StackError, match=r"no build within 0\.2 s"):
        install._build(go, tmp_path, tmp_path / "modules", lambda *_, **__: None)
