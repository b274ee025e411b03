"""The example operator applies its Deployments through a cached client: an apply that changes nothing is not sent.

The schedules and the rules are those of test_operator.py: 80 schedules, or a third of `KINFORMER_OPERATOR_SCHEDULES`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from examples.shop_operator import MANAGER, Shop, ShopOperator, deployment_of
from kinformer.client import CachedClient
from kinformer.controller import Requeue
from kinformer.errors import ConflictError
from kinformer.operators.owners import is_owned_by
from kinformer.operators.wait_conditions import rolled_out
from kinformer.resources import DEPLOYMENTS
from tests.properties.operator_world import Stage
from tests.properties.test_operator import PARTS, TOTAL, check, schedules
from tests.virtual_time import VirtualLoop

APPLIED: list[CachedClient] = []


class Applying(ShopOperator):
    """Applies the Deployment in each reconcile, and leaves it to the cached client whether anything is sent."""

    def __init__(self, client: Any, factory: Any, **options: Any) -> None:
        super().__init__(client, factory, **options)
        self.cached = CachedClient(client, factory)
        APPLIED.append(self.cached)

    async def apply(self, shop: Shop) -> Requeue | None:
        found = self.deployments.lister.get(shop.metadata.key) or await self.create(shop)
        if found is None:
            return Requeue(after=1)
        if not is_owned_by(found, shop, controller=True):
            return Requeue(after=30)
        if found.at("metadata.deletionTimestamp"):
            return Requeue(after=5)
        wanted = deployment_of(shop)
        # Of this very Deployment: an apply without it would create one if it has gone meanwhile.
        wanted["metadata"]["uid"] = found.uid
        self.check()
        try:
            found = await self.cached.apply(DEPLOYMENTS, wanted, field_manager=MANAGER, force=True)
        except ConflictError:
            return Requeue(after=1)
        missing = rolled_out().why_not(found)
        await self.set_ready(shop, ready=not missing, reason="RollingOut" if missing else "RolledOut", message=missing)
        return None


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_schedule_ends_right_with_applies_that_are_saved(part: int) -> None:
    APPLIED.clear()
    check(TOTAL // 3 // PARTS, part, schedules, make=Applying)
    saved = sum(sum(cached.status.applies_saved.values()) for cached in APPLIED)
    assert saved > sum(cached.status.applies_sent for cached in APPLIED) / 4


@dataclass
class Counted(Stage):
    """A stage that counts the writes of its operators."""

    marks: list[int] = field(default_factory=list)

    async def act(self, step: tuple[Any, ...]) -> None:
        if step == ("count",):
            self.marks.append(len(self.plane.terms))
        else:
            await super().act(step)


def counts(script: list[tuple[Any, ...]], make: type[ShopOperator]) -> list[int]:
    stage = Counted(0, make=make, replicas=1, resync=60.0)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(stage.run(script, 10.0))
    return stage.marks


@pytest.mark.parametrize("make", [ShopOperator, Applying])
def test_an_operator_at_rest_that_resyncs_each_minute_writes_nothing(make: type[ShopOperator]) -> None:
    APPLIED.clear()
    shops: list[tuple[Any, ...]] = [("shop", "a", 1), ("shop", "b", 2)]
    before, after = counts([("sleep", 1.0), *shops, ("sleep", 30.0), ("count",), ("sleep", 600.0), ("count",)], make)
    assert before > 0
    assert after == before
    if make is Applying:
        (cached,) = APPLIED
        assert sum(cached.status.applies_saved.values()) >= 2 * 10, "each resync reconciles both Shops"


def test_what_was_changed_by_hand_is_applied_again() -> None:
    script: list[tuple[Any, ...]] = [("sleep", 1.0), ("shop", "a", 1), ("sleep", 30.0), ("count",)]
    before, after = counts([*script, ("scale by hand", 0, 3), ("sleep", 5.0), ("count",)], Applying)
    assert after > before
