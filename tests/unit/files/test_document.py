"""YAML as the harness reads it: plain, bounded, every value with its line."""

from pathlib import Path

import pytest

from harness.errors import FileError
from harness.files.document import MAX_BYTES, parse


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "one.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: off", {"on": "off"}),
        ("a: yes", {"a": "yes"}),
        ("a: true", {"a": True}),
        ("a: True", {"a": "True"}),
        ("a: false", {"a": False}),
        ("a: null", {"a": None}),
        ("a: ~", {"a": None}),
        ("a:", {"a": None}),
        ("a: 010", {"a": 10}),
        ("a: 0x1F", {"a": 31}),
        ("a: 0o17", {"a": 15}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 2026-11-23", {"a": "2026-11-23"}),
        ("a: -1.5e3", {"a": -1500.0}),
        ("a: 1_000", {"a": "1_000"}),
        ("a: .nan", {"a": ".nan"}),
        ('a: "true"', {"a": "true"}),
        ("a: !!str 5", {"a": "5"}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne: {<<: [*x, *y]}", None),
        ("\ufeffa: 1", {"a": 1}),
        ("a: [1, [2]]", {"a": [1, [2]]}),
    ],
)
def test_words_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: object) -> None:
    found = parse(written(tmp_path, text)).value
    assert found == (value or {"a": {"b": 1}, "c": {"b": 2, "d": 3}, "e": {"b": 1, "d": 3}})


def test_every_value_has_its_line(tmp_path: Path) -> None:
    document = parse(written(tmp_path, "a: 1\nb:\n  - c: 2\n  - d:\n      e: 3\n"))
    lines = {field: place.line for field, place in document.places.items()}
    assert lines[("b", 0, "c")] == 3
    assert lines[("b", 1, "d", "e")] == 5


def test_what_is_missing_stands_where_it_should_be(tmp_path: Path) -> None:
    document = parse(written(tmp_path, "a: 1\nb:\n  c: 2\n"))
    assert document.place(("b", "x", "y")).line == 2


def laughs(item: str) -> str:
    return "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"{name}: &{name} {item.replace('X', ', '.join([f'*{before}'] * 10))}\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        (" \n\n", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- 1\n", "one mapping"),
        ("five", "one mapping"),
        ("a: 1\nb: 2\na: 3\n", ":3: the key 'a' appears twice"),
        ("a: 1\n1: 2\n", ":2: a key must be text"),
        ("a: 1\n? [b]\n: 2\n", "a key must be text"),
        ("a: 1\ntrue: 2\n", ":2: a key must be text"),
        ("a: [1, 2\n", "not YAML"),
        ("a: b: c\n", ":1: not YAML"),
        ("a: *b\n", ":1: not YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2\n", "not YAML"),
        ("a: !!python/object/apply:os.system [x]\n", ":1: the tag !!python/object/apply:os.system is not supported"),
        ("a: !thing {}\n", "the tag !thing is not supported"),
        ("a: !!binary aGk=\n", "is not a plain value"),
        ("a: !!int many\n", "is not a usable int"),
        (f"a: {'9' * 5000}\n", "is not a usable int"),
        ("a: 1e999\n", "is not a plain value"),
        ("a: &a [*a]\n", "refers to a value that contains it"),
        ("a: &a {b: *a}\n", "refers to a value that contains it"),
        ("a: &a {<<: *a}\n", "refers to a value that contains it"),
        ("a: {<<: 5}\n", "<< merges mappings only"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 50 levels"),
        ("[" * 5000, "nested more than 50 levels"),
        ("{a: " * 5000, "nested more than 50 levels"),
        ("- " * 5000, "nested more than 50 levels"),
        (laughs("[X]"), "100,000 values"),
        (laughs("{l: [X]}"), "100,000 values"),
        ("a: [" + "1," * 100_001 + "]", "100,000 values"),
        ("a: \x00", "U+0000 is not allowed"),
        ("a: 1\nb: \x1b[31m", ":2: the character U+001B is not allowed"),
        ('a: 1\nb: "x\\0y"', ":2: the character U+0000 is not allowed"),
        ('a: "\\uD800"', ":1: the character U+D800 is not allowed"),
        ('"\\e": 1', ":1: the character U+001B is not allowed"),
        (b"a: 1\nb: \xff\xfe", ":2: is not UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x80", "is not UTF-8 text"),
        ("a: " + "x" * MAX_BYTES, "is longer than 1 MiB"),
    ],
)
def test_what_is_no_plain_bounded_mapping_is_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(FileError) as refused:
        parse(written(tmp_path, text))
    assert said in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "one.yaml"))
    assert "\n" not in str(refused.value)


def test_an_alias_chain_within_bounds_is_read(tmp_path: Path) -> None:
    found = parse(written(tmp_path, "a: &a [1, 2]\nb: &b [*a, *a]\nc: [*b, *b]\n")).value
    assert found["c"] == [[[1, 2], [1, 2]], [[1, 2], [1, 2]]]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no such file"):
        parse(tmp_path / "none.yaml")


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(FileError, match="is a folder"):
        parse(tmp_path / "folder.yaml")


def test_a_name_with_nul() -> None:
    with pytest.raises(FileError):
        parse(Path("a\0b.yaml"))


def test_another_suffix(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text("{}")
    with pytest.raises(FileError, match=r"name a \.yaml file"):
        parse(tmp_path / "one.json")


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(FileError, match="empty"):
        parse(tmp_path / "pipe.yaml")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path, "a: 1")
    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(FileError, match="is not readable"):
        parse(path)
