"""Model-based: whatever befalls them, two replicas of the example operator (examples/shop_operator.py) make exactly one
Deployment per Shop, leave none behind, and never both write.

240 schedules of writes by users, conflicts, errors before and after a write was done, lost answers, slow and frozen
networks, caches that are behind, watches that break, and crashes at any request; `make soak` plays 20,000
(KINFORMER_OPERATOR_SCHEDULES). Below are operators with one guard left out each, and for each the schedule that finds
it out.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import strategies as st

from examples.shop_operator import MANAGER, Shop, ShopOperator, deployment_of, differs
from kinformer.controller import Requeue
from kinformer.errors import AlreadyExistsError, NotFoundError
from kinformer.resources import DEPLOYMENTS
from tests.properties.operator_world import FAULTS, SHOPS, Stage, owner_of
from tests.properties.oracle import every
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from kinformer.objects import KubeObject, ObjectKey


TOTAL = int(os.environ.get("KINFORMER_OPERATOR_SCHEDULES", "240"))
PARTS = 4

QUIET = 100.0
"""Virtual seconds after which everything must be right: a lease, a restart, the longest backoff."""

_names = st.sampled_from(["a", "b"])
_number = st.integers(0, 1)
_seconds = st.sampled_from([0.0, 0.01, 0.2, 1.0, 6.0, 17.0])

steps = st.one_of(
    st.tuples(st.just("shop"), _names, st.integers(1, 3)),
    st.tuples(st.just("shop"), _names, st.integers(1, 3)),
    st.tuples(st.just("close"), _names),
    st.tuples(st.just("touch shop"), _names),
    st.tuples(st.just("scale by hand"), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("delete by hand"), st.integers(0, 3)),
    st.tuples(st.just("sleep"), _seconds),
    st.tuples(st.just("sleep"), _seconds),
    st.tuples(st.just("faults"), _number, st.lists(st.sampled_from(FAULTS), min_size=1, max_size=5)),
    st.tuples(st.just("latency"), _number, st.sampled_from([0.0, 0.01, 0.5, 1.9])),
    st.tuples(st.just("lag"), _number, st.sampled_from([SHOPS, DEPLOYMENTS]), st.sampled_from([0.0, 0.1, 3.0, 30.0])),
    st.tuples(st.just("freeze"), _number, st.sampled_from([1.0, 8.0, 25.0])),
    st.tuples(st.just("break"), _number),
    st.tuples(st.just("crash"), _number),
    st.tuples(st.just("crash at"), _number, st.integers(1, 8), st.sampled_from(["before", "after"])),
)

schedules = st.tuples(st.integers(0, 1000), st.lists(steps, min_size=1, max_size=25))


def play(schedule: tuple[int, list[tuple[Any, ...]]], **options: Any) -> None:
    number, script = schedule
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:

        async def run() -> None:
            await Stage(number, **options).run(script, QUIET)

        runner.run(run())


def check(examples: int, start: int, wanted: st.SearchStrategy[Any], **options: Any) -> None:
    every(wanted, lambda schedule: play(schedule, **options), examples=examples, start=start)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_schedule_ends_with_one_deployment_per_shop_and_none_left(part: int) -> None:
    check(TOTAL // PARTS, part, schedules)


# What the schedules find


class Hasty(ShopOperator):
    """Makes the Deployment before its finalizer is on the Shop."""

    async def reconcile(self, key: ObjectKey) -> Requeue | None:
        shop = self.shops.lister.get(key)
        if shop is not None and not shop.metadata.deletion_timestamp:
            await self.apply(shop)
        return await super().reconcile(key)

    async def create(self, shop: Shop) -> KubeObject | None:
        try:
            return await self.client.create(DEPLOYMENTS, deployment_of(shop), field_manager=MANAGER)
        except AlreadyExistsError:
            return await self.deployment_now(shop)


class Careless(ShopOperator):
    """Lets the Shop go as soon as the cache has no Deployment of it."""

    async def clean_up(self, shop: Shop) -> Requeue | None:
        found = self.deployments.lister.get(shop.metadata.key)
        return None if found is None else await super().clean_up(shop)


class Credulous(ShopOperator):
    """Creates what the cache wants, without a look at whether the Shop is still there."""

    async def create(self, shop: Shop) -> KubeObject | None:
        try:
            return await self.client.create(DEPLOYMENTS, deployment_of(shop), field_manager=MANAGER)
        except AlreadyExistsError:
            return await self.deployment_now(shop)


class Sluggish(ShopOperator):
    """Takes the finalizer off, and then deletes the Deployment."""

    async def clean_up(self, shop: Shop) -> Requeue | None:
        await self.finalizer.remove(shop)
        return await super().clean_up(shop)


class Unelected(ShopOperator):
    """Works, whoever leads."""

    def __init__(self, client: Any, factory: Any, *, leader: Any) -> None:
        super().__init__(client, factory)


Script: TypeAlias = list[tuple[Any, ...]]

START: Script = [("sleep", 1.0), ("shop", "a", 1), ("sleep", 1.0)]
# Long enough for the other replica to take over, and not for its caches to come up to date.
TAKE_OVER: Script = [("freeze", 0, 60.0), ("sleep", 20.0)]

FOUND_OUT: dict[type[ShopOperator], Script] = {
    # The process dies right after its first write, and the Shop goes before there is another.
    Hasty: [("sleep", 1.0), ("crash at", 0, 1, "after"), ("shop", "a", 1), ("sleep", 0.01), ("close", "a")],
    # Who takes over has not seen the Deployment yet, but sees that the Shop is to go.
    Careless: [("sleep", 1.0), ("lag", 1, DEPLOYMENTS, 30.0), *START, TAKE_OVER[0], ("close", "a"), TAKE_OVER[1]],
    # Who takes over still sees the Shop, and no Deployment: both are gone.
    Credulous: [*START, ("lag", 1, SHOPS, 30.0), ("close", "a"), ("sleep", 1.0), *TAKE_OVER],
    Sluggish: [*START, ("close", "a"), ("sleep", 1.0)],
    Unelected: START,
}


@pytest.mark.parametrize("operator", FOUND_OUT)
def test_an_operator_with_a_guard_left_out_is_found_out_and_the_example_is_not(operator: type[ShopOperator]) -> None:
    play((0, FOUND_OUT[operator]))
    with pytest.raises(AssertionError, match="Deployment|lead"):
        play((0, FOUND_OUT[operator]), make=operator)


class Named(ShopOperator):
    """In the manner of a ReplicaSet's: the names are generated, and what there is, is what the cache has."""

    async def apply(self, shop: Shop) -> Requeue | None:
        if not self.owned(shop):
            manifest = deployment_of(shop)
            del manifest["metadata"]["name"]
            manifest["metadata"]["generateName"] = f"{shop.metadata.name}-"
            await self.client.create(DEPLOYMENTS, manifest, field_manager=MANAGER)
        for found in self.owned(shop):
            if differs(found, shop):
                await self.client.patch(DEPLOYMENTS, found, {"spec": {"replicas": shop.spec.replicas}})
        await self.set_ready(shop, ready=True, reason="Made", message="")
        return None

    async def clean_up(self, shop: Shop) -> Requeue | None:
        for found in self.owned(shop):
            with suppress(NotFoundError):
                await self.client.delete(DEPLOYMENTS, found, uid=found.uid)
        return Requeue(after=1) if self.owned(shop) else None

    def owned(self, shop: Shop) -> list[KubeObject]:
        return [found for found in self.deployments.lister.list() if owner_of(found) == shop.metadata.uid]


BEHIND: Script = [("sleep", 1.0), ("lag", 0, DEPLOYMENTS, 3.0), ("shop", "a", 1), ("touch shop", "a"), ("sleep", 1.0)]

calm_steps = st.one_of(
    st.tuples(st.just("shop"), _names, st.integers(1, 3)),
    st.tuples(st.just("close"), _names),
    st.tuples(st.just("touch shop"), _names),
    st.tuples(st.just("sleep"), _seconds),
    st.tuples(
        st.just("faults"), st.just(0), st.lists(st.sampled_from(["503 before", "409 before"]), min_size=1, max_size=5)
    ),
    st.tuples(st.just("latency"), st.just(0), st.sampled_from([0.0, 0.01, 0.5, 1.9])),
    st.tuples(st.just("lag"), st.just(0), st.sampled_from([SHOPS, DEPLOYMENTS]), st.sampled_from([0.0, 0.1, 3.0])),
)


def test_without_reading_its_own_writes_an_operator_that_generates_names_makes_two() -> None:
    play((0, BEHIND), make=Named, replicas=1)
    with pytest.raises(AssertionError, match="a second Deployment for Shop a"):
        play((0, BEHIND), make=Named, replicas=1, own_writes=False)


@pytest.mark.timeout(3600)
def test_with_it_generated_names_are_safe_as_long_as_answers_come_and_the_process_lives() -> None:
    check(TOTAL // 5, 0, st.tuples(st.integers(0, 1000), st.lists(calm_steps, max_size=25)), make=Named, replicas=1)
