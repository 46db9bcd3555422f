"""``oneffect load`` and ``oneffect merge``: words, refusals and exit codes; the run itself is made up."""

import socket
from pathlib import Path

import pytest

from harness.reports.document import again
from harness.verdict import Verdict

IDLE = "from locust import User\n\nclass Idle(User):\n    pass\n"


@pytest.fixture
def loaded(project: Path) -> Path:
    (project / "scenarios" / "locustfile.py").write_text(IDLE)
    return project


def test_the_plan_has_the_users(loaded: Path, lab, say) -> None:
    said = say("load", "control", "--users", "200", "--spawn-rate", "20", "--duration", "5m", "--seed", "7")
    assert said.exit_code == 0
    assert "VALID  control  seed 7" in said.stdout
    (plan,) = lab.plans
    assert (plan.users.count, plan.users.spawn_rate, plan.users.duration) == (200, 20, 300)
    assert plan.document["users"]["locustfile"] == "scenarios/locustfile.py"


def test_other_users_are_another_plan(loaded: Path, lab, say) -> None:
    for count in ("5", "6"):
        say("load", "control", "--users", count, "--seed", "7")
    assert len({plan.digest for plan in lab.plans}) == 2


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.VALID, 0), (Verdict.INVALID, 1), (Verdict.UNKNOWN, 3)])
def test_the_verdict_decides(loaded: Path, lab, say, verdict: Verdict, code: int) -> None:
    lab.verdicts = {"control": verdict}
    assert say("load", "control").exit_code == code


def test_options_after_two_dashes_are_locusts_own(loaded: Path, lab, say) -> None:
    assert say("load", "control", "--", "--processes", "2").exit_code == 0
    assert lab.plans[0].users.options == ("--processes", "2")


def test_the_command_that_repeats_it(loaded: Path, lab, say) -> None:
    say("load", "control", "--users", "5", "--duration", "90s", "--seed", "7", "--", "--processes", "2")
    header = {"plan": lab.plans[0].document, "seed": 7, "scenario_path": "scenarios/control.yaml"}
    assert again(header) == (
        "oneffect load control --seed 7 --users 5 --spawn-rate 10 --duration 90s "
        "--locustfile scenarios/locustfile.py -- --processes 2"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--users", "0"], "'--users': Input should be greater than or equal to 1"),
        (["--users", "many"], "'--users': Input should be a valid integer"),
        (["--spawn-rate", "0"], "'--spawn-rate': Input should be greater"),
        (["--duration", "soon"], "a duration like 250ms, 3s or 2m"),
        (["--duration", "0s"], "must be longer than 0"),
        (["--locustfile", "none.py"], "there is no such file"),
        (["--", "--no-such-option"], "no-such-option"),
    ],
)
def test_wrong_words(loaded: Path, lab, say, words: list[str], message: str) -> None:
    said = say("load", "control", *words)
    assert said.exit_code == 2
    assert message in " ".join((said.stdout + said.stderr).split())
    assert not lab.plans


def test_a_locustfile_that_raises(loaded: Path, lab, say) -> None:
    (loaded / "scenarios" / "locustfile.py").write_text("raise ValueError('no essays today')\n")
    said = say("load", "control")
    assert said.exit_code == 2
    assert "scenarios/locustfile.py: Locust rejects it" in said.stderr
    assert "ValueError: no essays today" in said.stderr
    assert not lab.plans


def test_a_locustfile_without_users(loaded: Path, lab, say) -> None:
    (loaded / "scenarios" / "locustfile.py").write_text("USERS = 0\n")
    said = say("load", "control")
    assert said.exit_code == 2
    assert "has no users" in said.stderr
    assert not lab.plans


def test_a_port_that_is_taken(loaded: Path, lab, say) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = say("load", "control", "--web", str(port))
    assert said.exit_code == 2
    assert f"127.0.0.1:{port} is not available: Address already in use" in said.stderr
    assert not lab.plans


def test_locust_is_not_installed(loaded: Path, lab, say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.commands.load.find_spec", lambda _: None)
    said = say("load", "control")
    assert said.exit_code == 2
    assert "pip install 'oneffect[load]'" in said.stderr


def test_a_part_is_merged_into_nothing(loaded: Path, say) -> None:
    said = say("merge", "nowhere", "part-x.jsonl")
    assert said.exit_code == 2
    assert "no run directory 'nowhere'" in said.stderr
