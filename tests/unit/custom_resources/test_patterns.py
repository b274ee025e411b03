"""Patterns that Go cannot read are refused before the server refuses them; the others pass."""

from __future__ import annotations

import pytest

from kinformer.custom_resources._patterns import check_pattern


@pytest.mark.parametrize(
    "pattern", [r"^[a-z]+$", r"\d{2,3}", r"(?i)abc", r"(?P<a>b)", r"[(?=]", r"\\1", r"a+?", r"[+*]+"]
)
def test_what_both_read_passes(pattern: str) -> None:
    check_pattern(pattern, "here")


@pytest.mark.parametrize(
    "pattern", [r"(?!a)", r"(?<=a)b", r"(a)\1", r"(?P<x>a)(?P=x)", r"a\Z", r"(?x)a b", r"a++", "(", r"(?>a)"]
)
def test_what_only_python_reads_is_refused_with_the_place(pattern: str) -> None:
    with pytest.raises(ValueError, match="here: the pattern"):
        check_pattern(pattern, "here")
