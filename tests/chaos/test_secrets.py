"""A gate over a system that tells its secrets wherever it can: nothing that the harness wrote or said holds one."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE = 600.0
ONEFFECT = str(Path(sys.executable).with_name("oneffect"))
SECRETS = [
    *("in-the-token", "in%2Dthe%2Durl", "in-the-url", "in-the-command", "in-the-effects", "in-the-config"),
    "in-the-environment",
]
SYSTEM = f"""
oneffect: 1
name: leaky
dependencies:
  kafka: {{topics: {{work: 1}}, config: {{sasl.password: in-the-config}}}}
  postgres: {{}}
services:
  door:
    command: python {HERE / "leaky.py"} --password in-the-command
    env: &door
      PORT: "{{port}}"
      KAFKA: "{{kafka}}"
      API_TOKEN: in-the-token
      DATABASE_URL: postgresql://door:in%2Dthe%2Durl@127.0.0.1:9/door
load: {{upload: {{to: door, post: /}}}}
events: {{id: /id, type: /type, topics: [work]}}
effects:
  door:
    applies: [x]
    sql: {{url: "postgresql://oneffect:in-the-effects@{{postgres}}/postgres", query: SELECT 1 AS id WHERE false}}
settle: 100ms
"""
BROKEN = 'extends: talks.system.yaml\nservices: {door: {env: {BROKEN: "yes"}}}\n'
SCENARIO = """
oneffect: 1
name: NAME
system: NAME.system.yaml
tags: [gate]
load: {uploads: 20, rate: 40/s}
drain: 1s
"""


LOCUSTFILE = """
from locust import constant, task
from harness.load.locust_user import Uploader

class Hasty(Uploader):
    think = constant(0.1)
    retries = 1

    @task
    def hand_in(self):
        self.upload()
"""


def test_no_secret_stays_of_what_locust_was_answered(tmp_path: Path) -> None:
    (tmp_path / "talks.system.yaml").write_text(SYSTEM)
    (tmp_path / "talks.yaml").write_text(SCENARIO.replace("NAME", "talks"))
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE)
    words = [
        "load",
        "talks.yaml",
        "--users",
        "2",
        "--duration",
        "2s",
        "--locustfile",
        "locustfile.py",
        "--out",
        "out",
    ]
    environment = os.environ | {"DB_PASSWORD": SECRETS[-1]}
    done = subprocess.run(
        [ONEFFECT, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 3, said
    assert not told_in(tmp_path / "out", said)
    (part,) = tmp_path.glob("out/*-talks-*/load/parts/*.jsonl")
    assert '"error":"refused: *** postgresql://***@127.0.0.1:9/door ***"' in part.read_text()
    # A part in which they still are, as a worker on another machine has it.
    elsewhere = tmp_path / "part-far.jsonl"
    operation = '{"i":1,"t":1,"actor":"far","op":"upload","phase":"invoke","upload_id":"u","operation":"u.0.far"}'
    ended = operation.replace('"i":1', '"i":2').replace("invoke", "unknown")[:-1] + ',"of":1,"error":"in-the-token"}'
    lines = [part.read_text().partition("\n")[0].replace('"worker":"', '"worker":"far_'), operation, ended]
    elsewhere.write_text("\n".join([*lines, '{"oneffect_part_end":2}', ""]))
    words = ["merge", "out/latest", elsewhere.name]
    done = subprocess.run(
        [ONEFFECT, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not told_in(tmp_path / "out", done.stdout)
    assert '"error":"***"' in (tmp_path / "out" / "latest" / "history.jsonl").read_text()


def told_in(folder: Path, said: str) -> list[tuple[str, str]]:
    """(where, secret) for each that is in a file or in what was said."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    texts = {str(path): path.read_text(errors="replace") for path in files} | {"what it said": said}
    return [(place, secret) for place, text in texts.items() for secret in SECRETS if secret in text]


def test_no_secret_is_written_or_said(tmp_path: Path) -> None:
    for name, system in (("talks", SYSTEM), ("broken", BROKEN)):
        (tmp_path / f"{name}.system.yaml").write_text(system)
        (tmp_path / f"{name}.yaml").write_text(SCENARIO.replace("NAME", name))
    out = ["--junit", "out/junit.xml", "--summary", "out/summary.md", "--html", "out/html", "--out", "out/runs"]
    done = subprocess.run(
        [ONEFFECT, "gate", "talks.yaml", "broken.yaml", *out],
        cwd=tmp_path,
        env=os.environ | {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "out/step.md", "DB_PASSWORD": SECRETS[-1]},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert not told_in(tmp_path / "out", said)
    # It did tell them, and they were hidden: what nobody tells needs no hiding.
    history, log = (
        next((tmp_path / "out" / "runs").glob(f"*-talks-*/{name}")) for name in ("history.jsonl", "logs/door-1.log")
    )
    hidden = "*** postgresql://***@127.0.0.1:9/door ***"
    assert f"refused: {hidden}" in history.read_text()
    assert f"{hidden}\n" in log.read_text()
    assert hidden in next((tmp_path / "out" / "runs").glob("*-broken-*/logs/door-1.log")).read_text()
    for place in (tmp_path / "out" / "junit.xml", tmp_path / "out" / "summary.md", tmp_path / "out" / "step.md"):
        assert hidden in place.read_text(), place
    assert said.count(hidden) >= 2
    assert '"plan":' in history.read_text().partition("\n")[0]
