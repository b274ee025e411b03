"""Each deliberate bug of `make mutants` is one: it changes what is there, into what can run."""

from __future__ import annotations

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_mutant_says_something(mutant: Mutant) -> None:
    source = (ROOT / "kinformer" / mutant.file).read_text()
    assert mutated(mutant, source) != source
