"""YAML and JSON become values that know their lines; hostile ones a sentence, soon."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.cli.yaml_text import MAX_BYTES, Value, dump, line_of, parse
from weft.errors import InvalidError

PLENTY_S = 20.0


def plain(text: str) -> list[object]:
    return [value.plain() for value in parse(text.encode(), "f")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: -1.5e3", {"a": -1500.0}),
        ("a: 1.10.1", {"a": "1.10.1"}),
        ("a: no", {"a": "no"}),
        ("a: on", {"a": "on"}),
        ("a: 012", {"a": 12}),
        ("a: 0x10", {"a": "0x10"}),
        ("a: 1_000", {"a": "1_000"}),
        ("a: 2020-01-01", {"a": "2020-01-01"}),
        ("a: 12:30:00", {"a": "12:30:00"}),
        ("a: null\nb: ~\nc:\nd: 'null'", {"a": None, "b": None, "c": None, "d": "null"}),
        ("a: true\nb: 'true'\nc: True", {"a": True, "b": "true", "c": "True"}),
        ("a: !!str 5", {"a": "5"}),
        ("no: x", {"no": "x"}),
        ("[1, [2, {a: b}]]", [1, [2, {"a": "b"}]]),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
    ],
)
def test_plain_words_mean_what_they_mean_in_json(text: str, value: object) -> None:
    assert plain(text) == [value]


def test_several_documents_and_empty_ones() -> None:
    assert plain("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n") == [{"a": 1}, {"b": 2}]
    assert plain("") == plain("# nothing\n") == plain("---\n") == []


def test_every_value_knows_its_line() -> None:
    (value,) = parse(
        b"kind: network\nsubnets:\n  - cidr: a\n  - {cidr: b,\n     gateway: c}\n", "f"
    )
    assert line_of(value, ["subnets", 0, "cidr"]) == 3
    assert line_of(value, ["subnets", 1, "gateway"]) == 5
    assert line_of(value, ["subnets", 7, "gateway"]) == 3
    assert line_of(value, ["nothing"]) == line_of(value, []) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f:3: field 'a': is there already, in line 1"),
        ("a:\n  1: x", "f:2: a field's name must be text; put it in quotes"),
        ("[a]: b", "f:1: a field's name must be text"),
        ("a: !!python/object/apply:os.system [x]", "f:1: tag 'tag:yaml.org,2002:python/object"),
        ("a: !thing x", "f:1: tag '!thing': is not taken"),
        ("a: *x", "f:1: alias *x: nothing before it has this anchor"),
        ("a: &x 1\n---\nb: *x", "f:3: alias *x: nothing before it"),
        ("a: &x\n  b: *x", "f:2: alias *x: nothing before it"),
        ("a: b: c", "f:1: mapping values are not allowed"),
        ("a: [1", "f:"),
        ("a: 'x", "f:"),
        ("\ta: 1", "f:1: "),
        ("a: \x00", "f:1: "),
        ("a: 1\nb: @x", "f:2: "),
    ],
)
def test_what_cannot_be_meant_names_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        plain(text)
    assert str(caught.value).startswith(message)


def test_text_that_is_not_utf8_names_its_line() -> None:
    with pytest.raises(InvalidError, match="f:2: not UTF-8"):
        parse(b"a: 1\nb: \xff", "f")


LEVELS = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
LEVELS += [f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
CHAIN = ["a: &a0 x", *(f"b{n}: &a{n} [*a{n - 1}]" for n in range(1, 10_000))]
HOSTILE = {
    "aliases of aliases": "\n".join(LEVELS),
    "a long chain of aliases": "\n".join(CHAIN),
    "many documents of aliases": "\n---\n".join(["\n".join(LEVELS[:5])] * 1000),
    "deep flow lists": "[" * (MAX_BYTES - 10),
    "deep flow objects": "{a: " * 200_000,
    "deep block lists": "- " * 100_000,
    "deep block objects": "\n".join(" " * n + "a:" for n in range(1000)),
    "many values": "- a\n" * 1_000_000,
    "many aliases of much": "a: &a [" + "x, " * 1000 + "x]\nb: [" + "*a, " * 100_000 + "x]",
    "many anchors": "\n".join(f"- &a{n} x" for n in range(300_000)) + "\n- [" + "x, " * 300_000,
    "many duplicate keys": "a: 1\n" * 500_000,
    "question marks": "? " * 200_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_an_error_soon(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidError, match=r"^f:[0-9]+: "):
        plain(text)
    assert time.monotonic() - began < PLENTY_S


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


@given(JSON.filter(lambda value: value is not None))
def test_what_is_dumped_reads_as_it_was(value: object) -> None:
    assert plain(dump([value, {"a": 1}])) == [value, {"a": 1}]


@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii", exclude_characters="\x7f")),
        st.integers() | st.booleans(),
    )
)
def test_json_means_what_it_means(value: dict[str, int]) -> None:
    small = {key: each for key, each in value.items() if abs(each) < 10**18}
    assert plain(json.dumps(small, indent="\t")) == [small]


@given(st.text() | st.text(st.sampled_from("[]{}:,-?&*!|>'\"%@`# \n\tab01~")))
def test_any_text_is_values_or_an_error_with_a_line(text: str) -> None:
    try:
        values = parse(text.encode("utf-8", "surrogatepass"), "f")
    except InvalidError as error:
        assert str(error).startswith("f:")
    else:
        assert all(isinstance(value, Value) for value in values)
