"""Informers that end when nothing uses them any more, on virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from kinformer.informer._uses import Uses
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from kinformer.informer import SharedInformer


class Counted:
    """An informer, as far as its uses are concerned."""

    on_demand = False


@pytest.mark.parametrize(
    ("uses", "ends"),
    [
        ([(1.0, 0.0)], 1.0),
        ([(1.0, 5.0)], 6.0),
        # The grace of each use is kept, also if a later use asks for less.
        ([(1.0, 5.0), (2.0, 0.0)], 6.0),
        ([(1.0, 0.5), (2.0, 5.0)], 7.0),
        ([(1.0, 5.0), (8.0, 1.0)], 9.0),
    ],
)
def test_an_informer_goes_on_for_the_grace_of_each_of_its_uses(uses: list[tuple[float, float]], ends: float) -> None:
    informer = cast("SharedInformer", Counted())
    dropped: list[float] = []

    async def use(counted: Uses, end: float, grace: float) -> None:
        counted.begin(informer, new=False)
        await asyncio.sleep(end)
        counted.end(informer, grace)

    async def play() -> None:
        counted = Uses(lambda _: dropped.append(asyncio.get_running_loop().time()))
        counted.begin(informer, new=True)
        async with asyncio.TaskGroup() as group:
            for end, grace in uses:
                group.create_task(use(counted, end, grace))
            await asyncio.sleep(0)
            counted.end(informer, 0.0)
        await asyncio.sleep(20)

    with asyncio.Runner(loop_factory=cast("Any", VirtualLoop)) as runner:
        runner.run(play())
    assert dropped == pytest.approx([ends])
