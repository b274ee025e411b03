"""Patterns are read as Go reads them."""

from __future__ import annotations

import pytest

from kinformer.testing._apiserver.rules.go_patterns import compiled


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("^a$", "a", "a\n"),
        (r"^a\$$", "a$", "a"),
        ("^[$]$", "$", ""),
        ("^[^$]+$", "ab", "a$"),
        (r"^a\z", "a", "a\n"),
        ("(?m)^a$", "a\nb", "ab"),
        (r"^\d$", "1", "\u0661"),
        (r"^\w+$", "ab_1", "\u00e9"),
        ("^[[:alpha:]_]+$", "a_Z", "a1"),
        ("^[]a]+$", "]a", "b"),
        (r"^[\]$]+$", "]$", "a"),
        (r"^([0-9]+)(Ki|Mi)?$", "10Mi", "10Mi\n"),
    ],
)
def test_a_pattern_is_read_as_go_reads_it(pattern: str, fits: str, fits_not: str) -> None:
    assert compiled(pattern).search(fits) is not None
    assert compiled(pattern).search(fits_not) is None
