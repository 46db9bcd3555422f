"""How the system is asked to do something again, and what its answer means."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.clients import commands
from harness.clients.http import Answer
from harness.load.asking import Asking
from harness.system import Request
from tests.standin import StandIn


class Http(StandIn):
    """Answers with one status, and keeps where it was asked."""

    def __init__(self, status: int | None = 202) -> None:
        self._status = status
        self.urls: list[str] = []

    async def post(self, url: str) -> Answer:
        self.urls.append(url)
        return Answer(self._status, error="" if self._status == 202 else "why")


def asking(folder: Path, http: Http | None = None, env: Mapping[str, str] | None = None, **request: object) -> Asking:
    known = {"{shop}": "127.0.0.1:7", "{data}": "/data/of/"}

    def filled(text: str, service: str | None) -> str:
        return known.get(text, text) + (service or "" if text == "{data}" else "")

    return Asking(Request.model_validate(request), http or Http(), filled, lambda _: env or {}, folder)


async def test_what_it_is_about_stands_in_the_url_as_one_segment(tmp_path: Path) -> None:
    http = Http()
    one = asking(tmp_path, http, post="http://{shop}/orders/{upload_id}/again?raw={raw_file_storage_id}")
    answered = await one.ask({"upload_id": "a/../{shop}", "raw_file_storage_id": "x&y"}, "shop")
    assert (answered.phase, answered.status) == ("ok", 202)
    assert http.urls == ["http://127.0.0.1:7/orders/a%2F..%2F%7Bshop%7D/again?raw=x%26y"]


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        *[(status, "fail") for status in (400, 404, 409, 413, 415, 422)],
        *[(status, "unknown") for status in (None, 200, 301, 408, 429, 500, 502, 503, 504)],
    ],
)
async def test_only_an_answer_that_says_no_is_a_failure(tmp_path: Path, status: int | None, phase: str) -> None:
    answered = await asking(tmp_path, Http(status), post="http://{shop}/x/{upload_id}").ask(
        {"upload_id": "u"}, "shop"
    )
    assert (answered.phase, answered.status, answered.error) == (phase, status, "why")


async def test_another_status_may_say_yes(tmp_path: Path) -> None:
    one = asking(tmp_path, Http(204), post="http://{shop}/x/{upload_id}", ok=204)
    assert (await one.ask({"upload_id": "u"}, "shop")).phase == "ok"


async def test_what_nobody_says_is_not_asked_with(tmp_path: Path) -> None:
    http = Http()
    one = asking(tmp_path, http, post="http://{shop}/x/{raw_file_storage_id}")
    answered = await one.ask({"upload_id": "u"}, "shop")
    assert (answered.phase, http.urls) == ("fail", [])
    assert "{raw_file_storage_id}" in str(answered.error)


TELL = "import json, os, sys; json.dump([sys.argv[1:], os.getcwd(), dict(os.environ)], open('told', 'w'))"


async def test_a_command_gets_its_words_its_folder_and_the_environment_of_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_SECRET", "stays here")
    one = asking(
        tmp_path,
        env={"DATABASE_URL": "sqlite:////db"},
        command=f'python -c "{TELL}" --event {{event_id}} {{data}} "{{topic}}:{{offset}}"',
    )
    about = {"event_id": "a b; {data} $HOME", "topic": "r1.essays", "offset": "7"}
    answered = await one.ask(about, "billing")
    assert (answered.phase, answered.exit_status) == ("ok", 0)
    words, folder, env = json.loads((tmp_path / "told").read_text())
    assert words == ["--event", "a b; {data} $HOME", "/data/of/billing", "r1.essays:7"]
    assert folder == str(tmp_path)
    assert env["DATABASE_URL"] == "sqlite:////db"
    assert "PATH" in env
    assert "HARNESS_SECRET" not in env


@pytest.mark.parametrize(
    ("status", "phase"), [(0, "ok"), (1, "unknown"), (2, "unknown"), (3, "fail"), (137, "unknown")]
)
async def test_only_the_status_3_of_a_command_says_no(tmp_path: Path, status: int, phase: str) -> None:
    code = f"import sys; print('why', file=sys.stderr); sys.exit({status})"
    answered = await asking(tmp_path, command=f'python -c "{code}"').ask({}, "shop")
    assert (answered.phase, answered.exit_status, answered.error) == (phase, status, "why" if status else None)


async def test_a_command_that_is_not_there_did_nothing(tmp_path: Path) -> None:
    answered = await asking(tmp_path, command="no-such-program-anywhere").ask({}, "shop")
    assert answered.phase == "fail"
    assert "cannot be started" in str(answered.error)


async def test_a_command_that_does_not_end_leaves_it_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = commands.run

    async def shortly(*words, **more):
        return await run(*words, **more, longest=0.5)

    monkeypatch.setattr(commands, "run", shortly)
    one = asking(tmp_path, command=f'{sys.executable} -c "import time; time.sleep(600)"')
    answered = await one.ask({}, "shop")
    assert (answered.phase, answered.exit_status) == ("unknown", None)
    assert "did not end" in str(answered.error)
