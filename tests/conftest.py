"""What every test needs."""

from __future__ import annotations

import asyncio


def pytest_configure() -> None:
    """Leave no loop lying about for looptime to find.

    It asks the policy for "the" loop before a test that has none; the policy would make one, which nobody closes.
    """
    asyncio.set_event_loop(None)
