"""Failures that come with each event do not fill the disk: some lines a second, and a count."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from kinformer._log_limit import LINES_PER_SECOND, LimitedLog
from kinformer.informer import SharedInformer
from tests.sources import FakeSource, pod

pytestmark = pytest.mark.looptime

COUNT = 200


async def test_lines_beyond_the_limit_are_counted_and_the_count_comes_with_the_next_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limited = LimitedLog(logging.getLogger("kinformer.test"), "pods: failures")
    for number in range(COUNT):
        limited.log(logging.ERROR, "failure %d", number)
    assert len(caplog.messages) == LINES_PER_SECOND
    await asyncio.sleep(1)
    limited.log(logging.ERROR, "the last")
    assert caplog.messages[-2:] == [f"pods: failures: {COUNT - LINES_PER_SECOND} more were not logged", "the last"]
    await asyncio.sleep(1)
    limited.log(logging.ERROR, "alone")
    assert caplog.messages[-1] == "alone"


async def test_no_callback_that_fails_for_each_object_fills_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def fails(*_: object) -> list[str]:
        raise ValueError("as always")

    def fails_as_transform(_: dict[str, Any]) -> dict[str, Any] | None:
        raise ValueError("as always")

    for transform in (None, fails_as_transform):
        caplog.clear()
        source = FakeSource(*(pod(f"p{number}") for number in range(COUNT)))
        informer = SharedInformer(source, on_error=fails, transform=transform)
        informer.add_indexers({"fails": fails})
        informer.add_event_handler(fails)
        async with informer:
            await informer.synced(timeout=5)
            await asyncio.sleep(0.5)
        assert informer.status.left_out >= COUNT
        # Of the index or the transform, of on_error, and of the handler, which counts when it ends.
        assert 0 < len(caplog.messages) <= 2 * LINES_PER_SECOND + 2
