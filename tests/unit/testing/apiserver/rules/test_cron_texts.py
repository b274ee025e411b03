"""The schedules that a kube-apiserver refuses, with its words."""

from __future__ import annotations

import pytest

from kinformer.testing._apiserver.rules.cron_texts import schedule_fault


@pytest.mark.parametrize(
    "text",
    ["* * * * *", "*/5 0-23/2 1,15 jan-DEC ?", "TZ=Europe/Berlin 0 3 * * mon", "@hourly", "@every 5m", "5/10 * * * *"],
)
def test_a_schedule_that_cron_reads_has_no_fault(text: str) -> None:
    assert schedule_fault(text) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
    ],
)
def test_a_fault_has_the_words_of_cron(text: str, why: str) -> None:
    assert schedule_fault(text) == why
