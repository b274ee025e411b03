"""Quantities and times are written in the form that a real kube-apiserver gives them."""

from __future__ import annotations

import pytest

from kinformer.testing._apiserver.schemas import scalars
from tests.unit.testing.apiserver.schemas.recorded import QUANTITIES


@pytest.mark.parametrize(("text", "canonical"), QUANTITIES.items())
def test_a_quantity_is_written_in_canonical_form(text: str, canonical: str) -> None:
    if "cannot be handled" in canonical:
        with pytest.raises(ValueError, match="quantit"):
            scalars.quantity(text)
    else:
        assert scalars.quantity(text) == canonical


def test_times_are_written_in_utc() -> None:
    assert scalars.time("2026-01-01T01:00:00.75+01:00") == "2026-01-01T00:00:00Z"
    assert scalars.micro_time("2026-01-01T01:00:00.750000+01:00") == "2026-01-01T00:00:00.750000Z"
    assert scalars.time(None) is None


def test_an_exponent_beyond_reason_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="suffix"):
        scalars.quantity("1e999999999")
