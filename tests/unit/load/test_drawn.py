"""Which uploads are asked for again: the seed decides, not the order of answers, nor how many there are."""

from random import Random

from harness.load.drawn import Drawn


def drawn(run: str = "r1", seed: int = 1, uploads: int = 40, shuffled: int = 0, wanted: int = 10) -> Drawn:
    made = Drawn(run, seed, wanted)
    numbers = list(range(uploads))
    Random(shuffled).shuffle(numbers)
    for number in numbers:
        made.note(f"{run}-{number:07d}", number % 4 != 0, f"blob-{number}")
    return made


def always(_: str) -> bool:
    return True


def numbers(taken: list, run: str = "r1") -> list[str]:
    return [one.upload_id.removeprefix(run) for one in taken]


def test_the_same_seed_draws_the_same_whatever_the_run_and_the_order_of_answers() -> None:
    first = numbers(drawn().take(10, always))
    assert len(set(first)) == 10
    assert numbers(drawn(run="r2", shuffled=7).take(10, always), "r2") == first
    assert numbers(drawn(seed=2).take(10, always)) != first


def test_both_kinds_come_by_turns_and_one_fills_in_for_the_other() -> None:
    taken = [int(one.upload_id[-7:]) % 4 != 0 for one in drawn().take(40, always)]
    assert taken[:20] == [True, False] * 10
    assert taken[20:] == [True] * 20


def test_nothing_is_drawn_twice_nor_noted_again_once_it_was() -> None:
    pool = drawn()
    first = pool.take(30, always)
    for one in first:
        pool.note(one.upload_id, False, one.raw)
    rest = pool.take(30, always)
    assert len(rest) == 10
    assert not {one.upload_id for one in first} & {one.upload_id for one in rest}


def test_an_upload_that_is_acknowledged_twice_is_one() -> None:
    pool = drawn(uploads=3)
    pool.note("r1-0000001", True, "blob-1")
    assert len(pool.take(10, always)) == 3


def test_only_those_that_are_ready_are_drawn() -> None:
    pool = drawn()
    assert pool.ready(1, lambda upload_id: upload_id < "r1-0000002") == 1
    assert pool.ready(3, lambda upload_id: upload_id < "r1-0000002") == 2
    assert {one.raw for one in pool.take(10, lambda upload_id: upload_id < "r1-0000002")} == {"blob-0", "blob-1"}


def test_a_long_load_keeps_few_and_draws_as_a_short_one_would() -> None:
    pool = drawn(uploads=20_000, wanted=10)
    assert sum(map(len, pool._kinds.values())) < 2_500
    assert numbers(pool.take(10, always)) == numbers(drawn(uploads=20_000, wanted=20_000).take(10, always))
