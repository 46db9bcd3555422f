"""docker-compose.chaos.yml: it ends healthy, an upload becomes a ranking, and every link leads through its Toxiproxy."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from testcontainers.compose import DockerCompose

ROOT = Path(__file__).parents[2]
FILE_SERVICE, ITS_PROXIES = "http://127.0.0.1:8001", "http://127.0.0.1:8101"
GENEROUS = 60.0


@pytest.fixture(scope="module")
def stack() -> Iterator[DockerCompose]:
    with DockerCompose(ROOT, "docker-compose.chaos.yml", wait=True) as up:
        yield up


def upload(number: int, batch: str) -> int:
    """The status of one essay's upload to a batch of three."""
    edge = "an-edge"
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'
        for name, more, value in [
            ("batch_id", "", batch),
            ("batch_size", "", "3"),
            (
                "file",
                '; filename="essay.txt"',
                f"Essay number {number} of batch {batch} says so, and has some wrods to mend.",
            ),
        ]
    ]
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}", "Idempotency-Key": f"{batch}-{number}"}
    body = f"{''.join(parts)}--{edge}--\r\n".encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{FILE_SERVICE}/v1/files", body, headers), timeout=30
        ) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def decided(number: int, batch: str) -> int:
    """The status once it is no 503: by the front door's contract that asks for another try under the same key."""
    deadline = time.monotonic() + GENEROUS
    while (status := upload(number, batch)) == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    return status


def rankings(stack: DockerCompose) -> int:
    sql = "select count(*) from effect_ledger"
    command = ["psql", "-U", "oneffect", "-d", "chaos_cj_assessment", "-Atc", sql]
    return int(stack.exec_in_container(command, "postgres")[0])


def test_an_upload_becomes_a_ranking(stack: DockerCompose) -> None:
    assert [decided(number, "b1") for number in range(3)] == [202] * 3
    deadline = time.monotonic() + GENEROUS
    # Three essays were compared, and their batch was ranked.
    while rankings(stack) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert rankings(stack) == 4


def test_a_link_leads_through_its_proxy(stack: DockerCompose) -> None:
    set_proxy("file_service-1.content_service", enabled=False)
    assert upload(0, "b2") == 503
    set_proxy("file_service-1.content_service", enabled=True)
    assert decided(0, "b2") == 202


def set_proxy(name: str, *, enabled: bool) -> None:
    address = f"{ITS_PROXIES}/proxies/{urllib.parse.quote(name)}"
    urllib.request.urlopen(urllib.request.Request(address, json.dumps({"enabled": enabled}).encode())).close()


def test_services_are_confined(stack: DockerCompose) -> None:
    assert stack.exec_in_container(["id", "-u"], "file_service-1")[0].strip() != "0"
    mounts = stack.exec_in_container(["cat", "/proc/mounts"], "file_service-1")[0]
    (root,) = [line.split() for line in mounts.splitlines() if line.split()[1] == "/"]
    assert "ro" in root[3].split(",")
    # A status other than 0 is an error of its own, so what must not be found is asked for in words that end well.
    words = ["sh", "-c", "for one in gcc cc make pip pip3; do command -v $one; done; echo none"]
    assert stack.exec_in_container(words, "file_service-1")[0].split() == ["none"]
