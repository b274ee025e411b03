"""Model-based: whatever the schedule of scope changes, labels of namespaces, writes, faults and rights, in the end the
cache is the union of the server's lists, and the history of each handler is legal.

In half of the schedules, parts of overlapping scopes are seconds behind others: a mutant of a rule for such parts fails
in some of them. 1,000 schedules here, a quarter of them with compact storage; `make soak` plays 10,000
(KINFORMER_SCOPE_SCHEDULES).
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests import storages
from tests.properties.oracle import every
from tests.properties.scoped_world import play, range_schedules, run, wide_schedules
from tests.seeds import FIRST_SEED

if TYPE_CHECKING:
    from kinformer.cache.storage import Storage

TOTAL = int(os.environ.get("KINFORMER_SCOPE_SCHEDULES", "1000"))
PARTS = 4
OTHERS = TOTAL // (25 if TOTAL <= 1000 else 10)
"""Schedules of the two narrower kinds, for each storage."""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """The faults of the schedules are logged thousands of times, for no reader."""
    caplog.set_level(logging.CRITICAL, logger="kinformer")


@pytest.mark.parametrize("seed", [1928074261, 1890580853])
def test_seeds_that_once_broke_a_rule_break_none(seed: int) -> None:
    play(seed)


_PUT = ("put", "n1", "a", {"app": "x", "tier": "z"})


@pytest.mark.parametrize(
    "steps",
    [
        # Floors of ranges by uid are there still when the share is one by namespace.
        [("shard", 0), ("shard", 2), ("shard", 0), ("sleep", 0.005), _PUT, ("sleep", 0.005), ("shard", 8)],
        [("shard", 8), ("sleep", 0.015), ("end", "broken"), ("shard", 0), ("remove", "n1", "a"), ("sleep", 0.015)],
    ],
)
def test_ranges_by_one_field_may_follow_those_by_another_at_once(steps: list[tuple[Any, ...]]) -> None:
    run(([_PUT, ("slow lists", 0.05), ("sleep", 0.3), *steps, ("shard", 2)], 3, True))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("part", "storage"), [*((part, "plain") for part in range(PARTS - 1)), (PARTS, "compact")])
def test_every_schedule_ends_with_the_union_in_the_cache_and_legal_histories(
    part: int, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storages.use(storage, monkeypatch)

    each = TOTAL // PARTS
    first = FIRST_SEED + part * each
    for number in range(first, first + each):
        play(number)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("storage", ["plain", "compact"])
def test_ranges_may_change_at_any_moment(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storages.use(storage, monkeypatch)

    every(range_schedules, run, examples=OTHERS, start=1)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("storage", ["plain", "compact"])
def test_parts_may_share_a_watch_of_all_namespaces_at_any_moment(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storages.use(storage, monkeypatch)

    every(wide_schedules, run, examples=OTHERS, start=1)
