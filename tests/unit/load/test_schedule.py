"""The load is a pure function of its shape and the seed."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from harness.load.documents import ACCEPTED, LARGE, REJECTED
from harness.load.schedule import Planned
from harness.load.schedule import schedule as endless
from harness.scenario import LoadShape


def shape(uploads: int, rejected: str = "20%") -> LoadShape:
    return LoadShape.model_validate({"uploads": uploads, "rate": "10/s", "rejected": rejected})


def schedule(shape: LoadShape, seed: int) -> list[Planned]:
    return list(islice(endless(shape, seed), shape.uploads))


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_same_seed_same_uploads(seed: int, uploads: int) -> None:
    assert list(schedule(shape(uploads), seed)) == list(schedule(shape(uploads), seed))


@given(st.integers(0, 2**32))
def test_times_rise_and_keep_the_rate(seed: int) -> None:
    times = [planned.at for planned in schedule(shape(100), seed)]
    assert times == sorted(times)
    assert 9.0 < times[-1] <= 10.0


def test_every_kind_comes_early() -> None:
    kinds = [*ACCEPTED, *LARGE, *REJECTED]
    first = {planned.kind for planned in list(schedule(shape(60), 5))[: len(kinds)]}
    assert first == set(kinds)


def test_none_is_rejected_if_none_is_wanted() -> None:
    assert not {planned.kind for planned in schedule(shape(200, "0%"), 5)} & set(REJECTED)


@given(st.integers(1, 200), st.integers(1, 9))
def test_uploads_are_rounded_up_to_whole_batches(uploads: int, batch: int) -> None:
    made = LoadShape.model_validate({"uploads": uploads, "batch": batch, "rate": "10/s"}).uploads
    assert made % batch == 0
    assert uploads <= made < uploads + batch
