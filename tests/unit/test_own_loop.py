"""`OwnLoop`: a call in another event loop is refused, and one from a thread without a loop is not."""

from __future__ import annotations

import asyncio

import pytest

from kinformer._own_loop import OwnLoop
from kinformer.errors import WrongLoopError


async def _take(own: OwnLoop) -> None:
    own.take_once()
    own.check()


def test_the_first_wait_decides_and_other_loops_are_refused() -> None:
    own = OwnLoop("this thing was made")
    own.check()
    asyncio.run(_take(own))
    own.check()
    with pytest.raises(WrongLoopError, match="this thing was made in another event loop, which is closed,.*loop_scope"):
        asyncio.run(_take(own))
