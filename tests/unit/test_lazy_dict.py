"""`LazyDict`: in all that Python code does with a dict, it is the plain dict of the same fields."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer._lazy_dict import LazyDict, decode_lazily

if TYPE_CHECKING:
    from collections.abc import Callable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.sampled_from("abcdef"), VALUES, max_size=5)

MISSING = object()
OTHER = {"a": 1}

READS: dict[str, Callable[[Any], Any]] = {
    "[]": lambda d: [d[name] for name in d],
    "get": lambda d: [d.get(name, MISSING) for name in "abcdefg"],
    "in": lambda d: [name in d for name in "abcdefg"],
    "len": len,
    "list": list,
    "reversed": lambda d: list(reversed(d)),
    "keys": lambda d: list(d.keys()),
    "values": lambda d: list(d.values()),
    "items": lambda d: list(d.items()),
    "dict": dict,
    "copy": lambda d: d.copy(),
    "copy.copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda d: pickle.loads(pickle.dumps(d)),
    "**": lambda d: dict(**d),
    "{**}": lambda d: {**d, "x": 1},
    "|": lambda d: d | {"a": 1},
    "| reflected": lambda d: {"a": 1} | d,
    "update of a dict": lambda d: _after({}, lambda plain: plain.update(d)),
    "json.dumps": lambda d: json.dumps(d, sort_keys=True),
    "msgspec.json.encode": lambda d: json.loads(msgspec.json.encode(d)),
    "repr": repr,
    "==": lambda d: (d == {"a": 1}, d != {"a": 1}, d == OTHER, d == OTHER, d == 7, d == d.copy(), bool(d)),
    "match": lambda d: _matched(d),
}

CHANGES: dict[str, Callable[[Any], Any]] = {
    "[]=": lambda d: d.__setitem__("a", 7),
    "del": lambda d: d.__delitem__("a") if "a" in d else None,
    "pop": lambda d: d.pop("a", MISSING),
    "pop of nothing": lambda d: d.pop("missing", None),
    "popitem": lambda d: d.popitem() if d else None,
    "setdefault": lambda d: d.setdefault("a", 7),
    "setdefault of nothing": lambda d: d.setdefault("missing"),
    "update": lambda d: d.update({"a": 7}),
    "update with a lazy one": lambda d: d.update(decode_lazily(b'{"a":[7]}')),
    "|=": lambda d: d.__ior__({"a": 7}) and None,
    "clear": lambda d: d.clear(),
}


def _after(plain: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    change(plain)
    return plain


def _matched(fields: Any) -> Any:
    match fields:
        case {"a": [first, *_], **rest}:
            return "a list", first, rest
        case {"a": value, "b": {"a": inner}}:
            return "nested", value, inner
        case {"a": value}:
            return "a value", value
        case dict():
            return "a dict"


def lazy(fields: dict[str, Any]) -> LazyDict:
    made = decode_lazily(json.dumps(fields).encode())
    assert isinstance(made, LazyDict)
    return made


# All reads of one dict are in one example: to generate a dict takes longer than to read it.
@settings(max_examples=200, deadline=None)
@given(fields=FIELDS, touched=st.sets(st.sampled_from("abcdef")))
def test_each_read_gives_what_a_plain_dict_gives(fields: dict[str, Any], touched: set[str]) -> None:
    for way, read in READS.items():
        made = lazy(fields)
        for name in touched:
            made.get(name)
        found = read(made)
        assert found == read(fields), way
        assert "Raw" not in repr(found), way
        assert made == fields, f"{way}: reading changes nothing"


@settings(max_examples=200, deadline=None)
@given(fields=FIELDS)
def test_each_change_does_what_it_does_to_a_plain_dict(fields: dict[str, Any]) -> None:
    for way, change in CHANGES.items():
        made, plain = lazy(fields), copy.deepcopy(fields)
        assert change(made) == change(plain), way
        assert made == plain, way
        assert list(made) == list(plain), way


@given(FIELDS, FIELDS)
def test_two_lazy_dicts_are_equal_when_their_fields_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (lazy(one) == lazy(other)) is (one == other)
    assert (lazy(one) != lazy(other)) is (one != other)


def test_equal_values_in_other_spellings_are_equal() -> None:
    assert decode_lazily(b'{"a":{"b":1,"c":"\\u00fc"}}') == decode_lazily('{"a": {"c": "ü", "b": 1}}'.encode())


def test_of_two_fields_with_one_name_the_last_one_counts_as_for_json() -> None:
    text = b'{"a":1,"a":{"b":2}}'
    assert decode_lazily(text) == json.loads(text)


@pytest.mark.parametrize("text", [b"null", b"7", b'"text"', b"[1,{}]", b"true"])
def test_what_is_no_json_object_is_decoded_at_once(text: bytes) -> None:
    assert decode_lazily(text) == json.loads(text)


def test_a_value_is_decoded_once_and_belongs_to_the_dict() -> None:
    made = decode_lazily(b'{"a":{"b":1}}')
    made["a"]["b"] = 2
    assert made["a"] == {"b": 2}
    assert made.whole()["a"] is made["a"]
    assert type(made["a"]) is dict


def test_it_cannot_be_hashed() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(lazy({}))


def test_a_c_extension_that_reads_the_table_fails_loudly_and_whole_is_the_remedy() -> None:
    class Spec(msgspec.Struct):
        replicas: int

    section = decode_lazily(b'{"replicas":3}')
    with pytest.raises(msgspec.ValidationError, match="raw"):
        msgspec.convert(section, Spec)
    assert msgspec.convert(section.whole(), Spec) == Spec(3)
