"""Random schedules for a shard group: no slice is worked on by two members, and none is without an owner for long."""

from __future__ import annotations

import os

import pytest

from tests.properties.shard_world import (
    ALL,
    ALL_AND_EDITS,
    CRASHES,
    EDITS,
    PLANNED,
    RATES,
    TIMES,
    TwoOwnersError,
    edited_at_rest,
    schedule,
    wrong_at_the_end,
)
from tests.seeds import FIRST_SEED

SCHEDULES = int(os.environ.get("KINFORMER_SHARD_SCHEDULES", "50"))
BATCH = 10
EDITS_AT_REST = (
    ("edit a lease",),
    ("edit a lease", "edit a lease", "edit a lease"),
    ("edit a lease", "crash"),
    ("crash", "edit a lease"),
    ("crash", "edit a lease", "join"),
    ("edit a lease", "join"),
    ("edit the table",),
    ("edit the table", "edit a lease"),
    ("edit the table", "join"),
)


def seeds(share: int) -> list[int]:
    """The first seeds of batches, so that the batches of pytest-xdist are even."""
    return [*range(FIRST_SEED, FIRST_SEED + max(SCHEDULES * share // 100, BATCH), BATCH)]


@pytest.mark.parametrize("first", seeds(60))
def test_under_every_fault_a_slice_has_one_owner_and_all_come_to_rest_evenly(first: int) -> None:
    for seed in range(first, first + BATCH):
        # Two owners at once are a `TwoOwnersError`.
        world = schedule(seed, ALL)
        assert wrong_at_the_end(world) == "", seed


def test_the_work_of_a_lost_lease_ends_within_the_allowance_for_the_rates_of_clocks() -> None:
    # 15 s by a clock of the rate 1.15 are 1.3 s more than 10 s by one of the rate 0.85; a reconcile takes 1 s to end.
    assert wrong_at_the_end(schedule(829, ALL)) == ""


@pytest.mark.parametrize("seed", [1, 2, 17, 18])
def test_clocks_may_run_at_rates_of_one_to_one_and_a_half_if_work_ends_at_once(seed: int) -> None:
    # The ratio of lease_duration to renew_deadline.
    assert TIMES.lease_duration / TIMES.renew_deadline == 1.5
    schedule(seed, ALL, rates=(0.8, 1.2), cancelled=0.0)


@pytest.mark.parametrize("seed", [17, 18])
def test_clocks_whose_rates_differ_more_have_two_owners_sooner_or_later(seed: int) -> None:
    with pytest.raises(TwoOwnersError):
        schedule(seed, ALL, rates=(0.6, 1.4), cancelled=0.0)


@pytest.mark.parametrize("first", seeds(10))
def test_a_planned_hand_over_loses_no_deletion_and_leaves_no_slice_idle(first: int) -> None:
    for seed in range(first, first + BATCH):
        world = schedule(seed, PLANNED, calm=60)
        assert wrong_at_the_end(world) == "", seed
        assert sum(map(len, world.deletions.values())) > 200
        assert world.unseen() == [], seed
        # A write and an event of the watch; requests take up to 2 s here, and events up to 6 s.
        assert max(world.gaps) < 12, seed


def test_the_last_member_goes_on_if_another_one_joins_before_it_has_given_all() -> None:
    # In this schedule it had stopped, and deletions came before the other one had listed.
    world = schedule(543, PLANNED, calm=60)
    assert world.unseen() == []


def test_the_last_member_goes_on_if_another_one_has_joined_and_its_watch_is_late() -> None:
    # In this schedule it left the slices without an owner, and the other one took them before it had listed.
    world = schedule(101538, PLANNED, calm=60)
    assert world.unseen() == []


@pytest.mark.parametrize("first", seeds(10))
def test_after_a_crash_a_slice_is_idle_for_one_lease_and_a_few_requests(first: int) -> None:
    for seed in range(first, first + BATCH):
        world = schedule(seed, CRASHES)
        assert wrong_at_the_end(world) == "", seed
        # Two members in a row may crash with one slice.
        assert max(world.gaps) < 2 * TIMES.lease_duration / 0.85 + 12, seed


@pytest.mark.parametrize("first", seeds(10))
def test_edited_leases_cause_no_two_owners_and_leave_no_slice_idle(first: int) -> None:
    for seed in range(first, first + BATCH):
        world = schedule(seed, EDITS, troubled=70, calm=40)
        assert wrong_at_the_end(world) == "", seed
        assert max(world.gaps) < TIMES.lease_duration / RATES[0] + 10, seed


def test_a_member_that_left_is_dead_also_if_the_deletion_of_its_lease_is_seen_before_the_end_of_its_term() -> None:
    # In this schedule, a slice is given to a member that just leaves, and had waited for a second lease.
    world = schedule(5000872, EDITS, troubled=70, calm=40)
    assert max(world.gaps) < TIMES.lease_duration / RATES[0] + 10


@pytest.mark.parametrize("first", seeds(10))
def test_edited_leases_and_tables_are_survived_among_all_other_faults(first: int) -> None:
    for seed in range(first, first + BATCH):
        assert wrong_at_the_end(schedule(seed, ALL_AND_EDITS)) == "", seed


@pytest.mark.parametrize("events", EDITS_AT_REST, ids=" then ".join)
def test_after_an_edit_no_slice_is_idle_for_longer_than_a_lease_and_ten_seconds(events: tuple[str, ...]) -> None:
    for seed in range(4):
        world = edited_at_rest(seed, events)
        assert wrong_at_the_end(world) == "", seed
        assert max(world.gaps, default=0) < TIMES.lease_duration / RATES[0] + 10, seed
