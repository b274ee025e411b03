"""Assigns slices to members: exact quotas, least movement, few runs.

A member watches the slices that it owns with one selector, which has a range for each run of adjacent slices. So runs
are kept together: a member gives the ends of its shortest runs, and takes what lies beside its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from typing import TypeVar

__all__ = ["fill", "quotas", "runs", "surplus"]

M = TypeVar("M", bound=Hashable)


def quotas(owners: Sequence[M | None], members: Collection[M]) -> dict[M, int]:
    """Return the number of slices that each member should have. They differ by one at most.

    Members that have the most get the larger quotas, so that nothing moves only because of the remainder.

    Args:
        owners: the owner of each slice.
        members: the members that may own slices, in an order that all of them know.
    """
    if not members:
        return {}
    have = Counter(owners)
    base, extra = divmod(len(owners), len(members))
    order = sorted(members, key=lambda member: -have[member])
    return {member: base + (place < extra) for place, member in enumerate(order)}


def runs(owners: Sequence[M | None], owner: M | None) -> list[tuple[int, int]]:
    """Return the runs of adjacent slices of one owner: the first slice, and the first one after it."""
    found: list[tuple[int, int]] = []
    for number, one in enumerate(owners):
        if one != owner:
            continue
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found


def surplus(owners: Sequence[M | None], member: M, quota: int) -> list[int]:
    """Return the slices that a member has above its quota: the ends of its shortest runs."""
    over = sum(one == member for one in owners) - quota
    given: list[int] = []
    for first, end in sorted(runs(owners, member), key=lambda run: run[1] - run[0]):
        if over <= 0:
            break
        taken = min(over, end - first)
        given += range(end - taken, end)
        over -= taken
    return given


def fill(owners: Sequence[M | None], members: Collection[M]) -> list[M | None]:
    """Return the owners after the slices without an owner were given to the members that are below their quota.

    Args:
        owners: the owner of each slice; `None` for the slices to give.
        members: as for `quotas`. Without any, nothing changes.
    """
    filled = list(owners)
    have = Counter(owners)
    need = {member: quota - have[member] for member, quota in quotas(owners, members).items()}
    for run in sorted(runs(owners, None), key=lambda run: run[0] - run[1]):
        first, end = run
        while first < end and need:
            left = filled[first - 1] if first else None
            right = filled[end] if end < len(filled) else None
            beside = [one for one in (left, right) if one is not None and need.get(one, 0) > 0]
            member = max(beside or need, key=lambda one: need[one])
            taken = min(max(need[member], 1), end - first)
            if beside and member == right != left:
                filled[end - taken : end] = [member] * taken
                end -= taken
            else:
                filled[first : first + taken] = [member] * taken
                first += taken
            need[member] -= taken
    return filled
