"""Each deliberate bug of `make mutants` is one: it changes what is there, into what can run."""

from __future__ import annotations

import ast

import pytest

from tests.mutants import MUTANTS, Mutant, mutated
from tests.paths import ROOT


def test_each_mutant_says_something() -> None:
    sources = {file: (ROOT / "kinformer" / file).read_text() for file in {mutant.file for mutant in MUTANTS}}
    as_it_is = {file: ast.unparse(ast.parse(source)) for file, source in sources.items()}
    same = [mutant.name for mutant in MUTANTS if mutated(mutant, sources[mutant.file]) == as_it_is[mutant.file]]
    assert same == []


SOURCE = """
class Queue:
    def add(self, key):
        if (key in self.waiting  # a comment
                or key in self.taken):
            return None
        self.waiting.append("key")
        self.count += 1

    def clear(self):
        self.waiting.clear()
        self.waiting.clear()
"""


@pytest.mark.parametrize(
    ("right", "wrong", "there"),
    [
        ("key in self.waiting or key in self.taken", "False", "if False:"),
        ("if key in self.waiting or key in self.taken:", "while key in self.waiting:", None),
        ("if key in self.waiting or key in self.taken:", "if key:", "if key:\n            return None"),
        ("self.waiting.append('key'); self.count += 1", "", "return None\n\n"),
        ("self.count += 1", "return", "self.waiting.append('key')\n        return"),
        ("'key'", "b'key'", "append(b'key')"),
    ],
)
def test_a_piece_is_found_by_its_syntax_however_it_is_laid_out(right: str, wrong: str, there: str | None) -> None:
    mutant = Mutant("a bug", "queue.py::Queue.add", right, wrong)
    if there is None:
        with pytest.raises(ValueError, match="are two statements"):
            mutated(mutant, SOURCE)
    else:
        assert there in mutated(mutant, SOURCE)


@pytest.mark.parametrize(
    ("at", "right", "why"),
    [
        ("queue.py::Queue.remove", "self.count += 1", "Queue.remove is there 0 times"),
        ("queue.py::Queue.add", "self.count -= 1", "is 0 times in"),
        ("queue.py::Queue.clear", "self.waiting.clear()", "is 2 times in"),
    ],
)
def test_a_mutant_that_names_nothing_or_two_things_is_refused(at: str, right: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        mutated(Mutant("a bug", at, right, ""), SOURCE)
