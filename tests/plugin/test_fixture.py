"""The fixture of Python tests; the runs are made up, the stack is not what is tested here."""

import pytest

from tests.plugin.made_up import made_up_steps
from tests.plugin.test_beside_others import RERUNS, RETRIES, SILENT, TIMEOUT

pytest_plugins = ["pytester"]

RIGHT = """
def test_right(oneffect):
    with oneffect.system("system.yaml") as shop:
        assert shop.upload(count=20) == 20
        with shop.fault("redis.lose", on="redis"):
            shop.upload(count=21)
        assert shop.drain()
        verdict = shop.verdict()
        assert verdict.valid, verdict.story()
        assert shop.verdict() is verdict
        shop.assert_exactly_one_effect()
"""

WRONG = """
def test_wrong(oneffect):
    with oneffect.system("system.yaml", variant="setnx_only") as shop:
        shop.upload()
        verdict = shop.verdict()
        assert verdict.valid, verdict.story()
"""


def test_a_test_in_steps(project: pytest.Pytester) -> None:
    made_up_steps(project, RIGHT)
    said = project.runpytest("-s", "--oneffect-seed", "5")
    said.assert_outcomes(passed=1)
    said.stdout.fnmatch_lines(
        [
            "oneffect: seed 5 *",
            "*begun test_right 5 native",
            "uploads 20",
            "injects redis.lose redis {}",
            "uploads 21",
            "heals redis.lose*",
            "ended test_right",
            "*stack stopped",
        ]
    )


def test_each_block_is_a_run_of_its_own_on_one_warm_stack(project: pytest.Pytester) -> None:
    made_up_steps(project, RIGHT + RIGHT.replace("test_right", "test_too"))
    said = project.runpytest("-s", "--oneffect-out", "there")
    said.assert_outcomes(passed=2)
    assert said.stdout.str().count("stack started") == 1
    assert len([one for one in (project.path / "there").iterdir() if one.name.startswith("test_")]) == 2


def test_a_failure_says_where_its_run_is_and_how_to_repeat_it(project: pytest.Pytester) -> None:
    made_up_steps(project, WRONG)
    said = project.runpytest("--oneffect-seed", "5")
    said.assert_outcomes(failed=1)
    said.stdout.fnmatch_lines(
        [
            "*INVALID*test_wrong setnx_only*",
            "*- oneffect -*",
            "load: 20 uploads",
            "invalid  run: *test_wrong setnx_only-5-*    again: pytest test_shop.py::test_wrong --oneffect-seed 5",
        ]
    )


def test_what_its_marker_says_comes_before_the_options(project: pytest.Pytester) -> None:
    test = RIGHT.replace("def ", "import pytest\n@pytest.mark.oneffect(seed=7, variant='setnx_only')\ndef ")
    made_up_steps(project, test + RIGHT.replace("test_right", "test_too"))
    said = project.runpytest("-s", "--oneffect-seed", "5", "--strict-markers")
    said.assert_outcomes(passed=1, failed=1)
    said.stdout.fnmatch_lines(["*begun test_right setnx_only 7*", "*begun test_too 5*"])
    said = project.runpytest("-s", "--oneffect-variant", "setnx_only", "-k", "too")
    said.assert_outcomes(failed=1, deselected=1)
    said.stdout.fnmatch_lines(
        ["*again: pytest test_shop.py::test_too --oneffect-seed * --oneffect-variant setnx_only"]
    )


def test_a_marker_that_is_off_says_so(project: pytest.Pytester) -> None:
    made_up_steps(project, RIGHT.replace("def ", "import pytest\n@pytest.mark.oneffect(sede=7)\ndef "))
    said = project.runpytest()
    said.assert_outcomes(errors=1)
    said.stdout.fnmatch_lines(["*@pytest.mark.oneffect takes seed=…, stack=…, variant=…, not sede*"])


def test_the_option_of_a_stack_is_for_scenarios_too(project: pytest.Pytester) -> None:
    made_up_steps(project, RIGHT)
    said = project.runpytest("--oneffect-stack", "nativ")
    said.assert_outcomes(failed=1)
    said.stdout.fnmatch_lines(["*there is no stack 'nativ' (nearest: native)*"])


def test_a_block_without_a_verdict_does_not_pass(project: pytest.Pytester) -> None:
    made_up_steps(project, RIGHT.partition("        assert shop.drain")[0])
    said = project.runpytest("-s")
    said.assert_outcomes(failed=1)
    said.stdout.fnmatch_lines(["*the block ended without a verdict, so nothing was judged*", "no verdict  run: *"])


def test_a_second_block_within_the_first_is_refused_and_leaves_it_alone(project: pytest.Pytester) -> None:
    second = "with pytest.raises(Exception, match='under way'), oneffect.system('system.yaml'):\n                pass"
    made_up_steps(project, "import pytest\n" + RIGHT.replace("shop.upload(count=21)", second))
    project.runpytest("-s").assert_outcomes(passed=1)


def test_a_failed_assertion_heals_at_once_and_keeps_the_stack(project: pytest.Pytester) -> None:
    made_up_steps(project, RIGHT.replace("shop.upload(count=21)", "assert False") + RIGHT.replace("_right", "_too"))
    said = project.runpytest("-s")
    said.assert_outcomes(failed=1, passed=1)
    said.stdout.fnmatch_lines(["heals redis.lose early", "*ended test_right*", "*begun test_too*"])
    assert said.stdout.str().count("stack started") == 1


def test_a_time_out_ends_the_run_before_the_next_test(project: pytest.Pytester) -> None:
    test = RIGHT.replace("count=21", "count=13") + RIGHT.replace("_right", "_too")
    made_up_steps(project, test, TIMEOUT.replace("import signal\n", ""))
    said = project.runpytest("-s")
    said.assert_outcomes(failed=1, passed=1)
    said.stdout.fnmatch_lines(
        ["heals redis.lose early", "*ended test_right*", "stack stopped", "*stack started*", "*begun test_too*"]
    )


def test_a_second_try_is_no_answer(project: pytest.Pytester) -> None:
    made_up_steps(project, WRONG, RERUNS)
    said = project.runpytest("-s")
    assert said.ret == pytest.ExitCode.TESTS_FAILED
    said.stdout.fnmatch_lines(["*a failed scenario is not run again*"])
    assert said.stdout.str().count("begun test_wrong") == 1


SHARED = """
import pytest

@pytest.fixture
def shop(oneffect):
    with oneffect.system("system.yaml", variant="setnx_only") as shop:
        yield shop
        shop.assert_exactly_one_effect()

def test_orders(shop):
    pass
"""


@pytest.mark.parametrize("plugin", [RERUNS, RETRIES, SILENT], ids=["reruns", "retries", "silent"])
@pytest.mark.parametrize("early", [False, True], ids=["teardown", "setup"])
def test_nor_is_one_after_a_verdict_in_a_fixture(project: pytest.Pytester, plugin: str, *, early: bool) -> None:
    asked = "        shop.assert_exactly_one_effect()\n"
    test = SHARED.replace(asked, "").replace("        yield", f"{asked}        yield") if early else SHARED
    made_up_steps(project, test, plugin)
    said = project.runpytest("-s")
    assert said.ret == pytest.ExitCode.TESTS_FAILED
    assert said.stdout.str().count("begun test_orders") == 1
    if plugin != RETRIES:  # it retries what fails in the test alone
        said.stdout.fnmatch_lines(["*a failed scenario is not run again*"])
    said.stdout.fnmatch_lines(["invalid  run: *    again: pytest test_shop.py::test_orders *"])


def test_a_fixture_that_fails_before_anything_ran_may_be_tried_again(project: pytest.Pytester) -> None:
    flaky = "TIMES = []\n\n@pytest.fixture\ndef clients(oneffect):\n    TIMES.append(1)\n    assert len(TIMES) > 1\n"
    test = RIGHT.replace("def test_right(oneffect", "def test_right(clients, oneffect")
    made_up_steps(project, f"import pytest\n{flaky}\n{test}", RERUNS)
    project.runpytest("-s").assert_outcomes(passed=1)


ASYNC = """
import anyio, asyncio, pytest

async def steps(oneffect):
    async with oneffect.system("system.yaml") as shop:
        assert await shop.upload(count=20) == 20
        async with shop.fault("redis.lose", on="redis"):
            await asyncio.gather(shop.upload(count=21), shop.upload(count=22))
        await shop.drain()
        verdict = await shop.verdict()
        assert verdict.valid, verdict.story()
        await shop.assert_exactly_one_effect()

@pytest.mark.asyncio
async def test_asyncio(oneffect):
    await steps(oneffect)

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_anyio(oneffect, anyio_backend):
    await steps(oneffect)

def test_neither(oneffect):
    asyncio.run(steps(oneffect))

@pytest.mark.asyncio
async def test_given_up(oneffect):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            async with oneffect.system("system.yaml") as shop:
                async with shop.fault("redis.lose", on="redis"):
                    await asyncio.Event().wait()
"""


def test_the_same_awaited_in_any_loop_of_asyncio(project: pytest.Pytester) -> None:
    made_up_steps(project, ASYNC)
    said = project.runpytest("-s", "-p", "anyio", "-W", "error")
    said.assert_outcomes(passed=4)
    said.stdout.fnmatch_lines(["*begun test_asyncio*", "uploads 20", "injects redis.lose redis {}", "uploads 21"])
    said.stdout.fnmatch_lines(["*begun test_given_up*", "heals redis.lose early", "ended test_given_up"])


def test_each_worker_has_a_stack_of_its_own(project: pytest.Pytester) -> None:
    made_up_steps(project, RIGHT + RIGHT.replace("_right", "_too"))
    project.path.joinpath("test_shop.py").write_text(
        (RIGHT + RIGHT.replace("_right", "_too")).replace(
            "        verdict = ", '        print("in", __import__("os").getpid())\n        verdict = '
        )
    )
    said = project.runpytest_subprocess("-n", "2", "--dist", "each", "-rP", "--oneffect-seed", "5")
    said.assert_outcomes(passed=4)
    assert said.stdout.str().count("stack started") == 2
    assert len({line for line in said.outlines if line.startswith("in ")}) == 2
