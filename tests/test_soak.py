"""`make soak` is one command: it goes on after a failure, and says how to play the same schedules again."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from tests.paths import ROOT
from tests.soak import PARTS, Part, Soak, main

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.mark.parametrize("part", [part for part in PARTS if part.variable], ids=lambda part: part.name)
def test_each_part_sets_the_number_that_its_tests_take(part: Part) -> None:
    assert f'"{part.variable}"' in (ROOT / part.tests[0]).read_text()


def test_it_goes_on_after_a_failure_and_says_how_to_play_the_same_again(tmp_path: Path) -> None:
    ran: list[tuple[str, dict[str, str]]] = []

    def fail_at_the_second(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
        ran.append((command[-1], variables))
        log.write_text("the output")
        return int(len(ran) == 2)

    out = io.StringIO()
    soak = Soak(7, 0.5, fail_at_the_second, tmp_path)
    assert soak.play(PARTS[1:4], out) == 1
    assert [test for test, _ in ran] == [part.tests[-1] for part in PARTS[1:4]]
    assert ran[1][1] == {"KINFORMER_SEED": "7", "KINFORMER_HTTP_CASES": "50000"}
    said = out.getvalue()
    assert said.startswith("seed 7\n")
    assert "the output" in said
    assert "again: KINFORMER_SEED=7 KINFORMER_HTTP_CASES=50000 python -m pytest" in said
    assert said.count("again: ") == 1


def test_it_succeeds_if_all_parts_do(tmp_path: Path) -> None:
    assert Soak(7, runs=lambda *_: 0, folder=tmp_path).play(PARTS, io.StringIO()) == 0


def test_an_unknown_part_is_refused_with_the_names_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "there are examples, watch-faults, " in capsys.readouterr().err
