"""What is written reads back the same."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.files.document import parse
from harness.files.dump import dumped

WORDS = st.text(
    st.characters(blacklist_categories=["Cc", "Cs"], max_codepoint=0xFFFD), max_size=12
) | st.sampled_from(
    [
        "on",
        "no",
        "yes",
        "null",
        "~",
        "true",
        "12",
        "1e3",
        "0x1",
        "<<",
        "*->kafka",
        "a#1->b",
        "12%",
        "- a",
        "a: b",
        "#",
    ]
)
VALUES = st.recursive(
    WORDS | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.from_regex(r"\A[a-z]{1,6}\Z")


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_any_document_comes_back(tmp_path_factory, document) -> None:
    path = tmp_path_factory.mktemp("dump") / "one.yaml"
    path.write_text(dumped(document), encoding="utf-8")
    assert parse(path).value == document


def test_it_reads_as_one_written_by_hand(tmp_path: Path) -> None:
    rows = [{"fault": "net.hang", "on": "ledger#1->redis", "when": {"reply": "SET *"}}, {"fault": "x"}]
    document = {"name": "one", "load": {"rate": "15/s"}, "faults": rows, "again": [], "tags": ["gate"]}
    assert dumped(document) == (
        "name: one\n"
        "load: {rate: 15/s}\n"
        "faults:\n"
        "  - {fault: net.hang, on: ledger#1->redis, when: {reply: SET *}}\n"
        "  - {fault: x}\n"
        "again: []\n"
        "tags: [gate]\n"
    )
