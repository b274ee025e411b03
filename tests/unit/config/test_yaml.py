"""YAML as Go reads it, within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer.config._yaml import YamlError, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"", None),
        (b"# nothing", None),
        (b"a: y\nb: Off\nc: ~\nd:\n", {"a": True, "b": False, "c": None, "d": None}),
        (b"a: 2024-01-01\nb: 12:30:45\nc: 0x\nd: =\n", {"a": "2024-01-01", "b": "12:30:45", "c": "0x", "d": "="}),
        (b"a: 1e3\nb: 0o17\nc: 1_000\nd: 0b11\n", {"a": 1000.0, "b": 15, "c": 1000, "d": 3}),
        (b"5: a\non: b\n", {"5": "a", "true": "b"}),
        ("a: é".encode("utf-16"), {"a": "é"}),
        (b"a: &x {b: c}\nd: {<<: *x}\n", {"a": {"b": "c"}, "d": {"b": "c"}}),
        (b"a: 1\n---\n[", {"a": 1}),
        (b"a: !mine {b: !!binary dA==}", {"a": {"b": "t"}}),
    ],
)
def test_scalars_have_the_types_of_go(text: bytes, value: Any) -> None:
    assert read_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # libyaml has a limit of its own for these, from some version on.
        (b"[" * 100_000, "is nested more than 100 levels deep|is not YAML at line 1"),
        (b'{"x":' + b"[" * 100_000, "is nested more than 100 levels deep|is not YAML at line 1"),
        (b"{a: " * 100_000, "is nested more than 100 levels deep"),
        (b"- " * 5_000, "is nested more than 100 levels deep"),
        (b"? " * 5_000, "is nested more than 100 levels deep"),
        (b"a: &a [*a]", "an anchor contains itself"),
        (b"\xff", "is not UTF-8 text"),
        (b"a: hunter2\x01", "is not YAML"),
        (b"a: hunter2\n b: [", "is not YAML at line"),
        (b"a: !!python/object:os.system hunter2", "is not YAML at line 1"),
        (
            b"".join(
                b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9) or b"x") for c in b"bcdefghi"
            ).replace(b"*a", b"x"),
            "values once its aliases are expanded",
        ),
    ],
    ids=range(11),
)
def test_a_text_that_is_no_yaml_or_beyond_a_bound_is_refused_without_a_quote(text: bytes, says: str) -> None:
    with pytest.raises(YamlError, match=says) as caught:
        read_yaml(text)
    assert "hunter2" not in str(caught.value)
