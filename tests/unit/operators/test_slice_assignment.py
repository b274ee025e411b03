"""Slices: even shares, least movement, few ranges."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from kinformer.operators._slice_assignment import fill, quotas, runs, surplus

SLICES = 256


def settled(owners: list[str | None], members: list[str]) -> list[str | None]:
    """Return the owners after a membership has come to rest, as the protocol moves slices."""
    owners = [owner if owner in members else None for owner in owners]
    owners = fill(owners, members)
    for member in members:
        for number in surplus(owners, member, quotas(owners, members)[member]):
            owners[number] = None
    return fill(owners, members)


def walk(steps: list[list[str]]) -> tuple[float, float, int]:
    """Return the worst load over the mean, the movement over the least possible one, and the most runs of a member."""
    owners: list[str | None] = [None] * SLICES
    before: list[str] = []
    load, moved, least, most = 0.0, 0, 0.0, 0
    for members in steps:
        after = settled(owners, members)
        counts = Counter(after)
        load = max(load, max(counts.values()) * len(members) / SLICES)
        most = max(most, *(len(runs(after, member)) for member in members))
        if before:
            moved += sum(old != new for old, new in zip(owners, after, strict=True))
            come, gone = {*members} - {*before}, {*before} - {*members}
            least += SLICES * max(len(come) / len(members), len(gone) / len(before))
        owners, before = after, members
    return load, moved / least, most


def around_ten() -> list[list[str]]:
    choose = random.Random(7)
    members, steps = [f"m{number}" for number in range(10)], []
    for number in range(60):
        if choose.random() < 0.5 and len(members) > 4:
            members = [member for member in members if member != choose.choice(members)] or members
        else:
            members = [*members, f"n{number}"]
        steps.append(members)
    return steps


@pytest.mark.parametrize(
    "steps",
    [
        [[f"m{number}" for number in range(count)] for count in range(3, 31)],
        [[f"m{number}" for number in range(count)] for count in range(30, 2, -1)],
        around_ten(),
    ],
    ids=["3 to 30", "30 to 3", "60 joins and leaves around 10"],
)
def test_shares_are_even_little_moves_and_a_selector_stays_short(steps: list[list[str]]) -> None:
    load, moved, most = walk(steps)
    assert load < 1.1
    assert moved <= 1
    # 26 ranges in one selector were accepted by a real server.
    assert most <= 24


@pytest.mark.parametrize("seed", range(50))
def test_every_slice_has_an_owner_and_shares_differ_by_one_at_most(seed: int) -> None:
    choose = random.Random(seed)
    members = [f"m{number}" for number in range(choose.randrange(1, 12))]
    owners = [choose.choice([None, "gone", *members]) for _ in range(choose.choice([16, 64, SLICES]))]
    after = settled(owners, members)
    counts = Counter(after)
    assert {*after} <= {*members}
    assert max(counts.values()) - min(counts[member] for member in members) <= 1


def test_nothing_moves_while_the_shares_are_even() -> None:
    owners: list[str | None] = [*"aaabbbccdd"]
    assert settled(owners, [*"abcd"]) == owners


def test_without_members_nothing_is_assigned() -> None:
    assert fill(["gone", None], []) == ["gone", None]
    assert quotas(["gone", None], []) == {}
