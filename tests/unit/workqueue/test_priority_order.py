"""Which key is next: priorities, turns, and the bound of waiting."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer.workqueue._priority_order import OLDEST_EVERY, WorkOrder


def drained(order: WorkOrder[str]) -> list[tuple[str, int]]:
    return [order.pop() for _ in range(len(order))]


def test_the_higher_priority_comes_first_and_equals_in_turn() -> None:
    order: WorkOrder[str] = WorkOrder(100)
    for key, priority in [("a", 0), ("b", -100), ("c", 5), ("d", 0), ("e", 5), ("f", -100)]:
        order.push(key, priority)
    assert order.depth() == {-100: 2, 0: 2, 5: 2}
    assert drained(order) == [("c", 5), ("e", 5), ("a", 0), ("d", 0), ("b", -100), ("f", -100)]
    assert order.depth() == {}


def test_a_key_that_is_raised_comes_after_those_of_its_new_priority_that_wait() -> None:
    """controller-runtime#3408: it must not overtake them."""
    order: WorkOrder[str] = WorkOrder(100)
    for key, priority in [("low", 0), ("first", 5), ("second", 5)]:
        order.push(key, priority)
    order.raise_priority("low", 5)
    order.push("third", 5)
    assert [key for key, _ in drained(order)] == ["first", "second", "low", "third"]


def test_a_key_is_never_lowered() -> None:
    order: WorkOrder[str] = WorkOrder(100)
    order.push("a", 5)
    order.push("b", 5)
    for priority in (4, -100, 5):
        order.raise_priority("a", priority)
    assert drained(order) == [("a", 5), ("b", 5)]


def test_while_priorities_differ_each_so_manyth_is_the_one_that_has_waited_longest() -> None:
    order: WorkOrder[str] = WorkOrder(4)
    for number in range(3):
        order.push(f"low{number}", -100)
    urgent = 0
    handed_out = []
    for _ in range(12):
        while len(order) < 10:
            order.push(f"urgent{urgent}", 0)
            urgent += 1
        handed_out.append(order.pop()[0])
    assert handed_out[3::4] == ["low0", "low1", "low2"]
    assert not any(key.startswith("low") for key in order._ages)


def test_a_key_that_is_raised_has_waited_as_long_as_before() -> None:
    order: WorkOrder[str] = WorkOrder(2)
    order.push("old", -100)
    order.push("younger", -100)
    for number in range(3):
        order.push(f"urgent{number}", 9)
    order.raise_priority("old", 0)
    assert [order.pop()[0] for _ in range(2)] == ["urgent0", "old"]


@pytest.mark.parametrize("oldest_every", [0, -1])
def test_an_order_that_would_starve_is_refused(oldest_every: int) -> None:
    with pytest.raises(ValueError, match=f"oldest_every={oldest_every}"):
        WorkOrder(oldest_every)


def test_one_in_one_is_first_come_first_served() -> None:
    order: WorkOrder[int] = WorkOrder(1)
    for key in range(20):
        order.push(key, key % 3)
    assert [order.pop()[0] for _ in range(20)] == list(range(20))


@given(
    seed=st.integers(0, 2**32),
    oldest_every=st.integers(1, OLDEST_EVERY + 4),
    steps=st.integers(1, 200),
)
def test_none_waits_longer_than_the_bound_whatever_comes_after_it(seed: int, oldest_every: int, steps: int) -> None:
    """A key before which k keys wait is one of the next `oldest_every * (k + 1)` handed out."""
    random_ = random.Random(seed)
    order: WorkOrder[int] = WorkOrder(oldest_every)
    latest: dict[int, int] = {}
    handed_out = 0
    for key in range(steps):
        latest[key] = handed_out + oldest_every * (len(order) + 1)
        order.push(key, random_.choice([-100, 0, 0, 3, key]))
        if random_.random() < 0.3:
            order.raise_priority(random_.choice([*order._ages]), random_.randint(0, 5))
        for _ in range(random_.choice([0, 0, 1, 1, 2])):
            if order:
                handed_out += 1
                taken, _ = order.pop()
                assert handed_out <= latest[taken]
    while order:
        handed_out += 1
        assert handed_out <= latest[order.pop()[0]]
