"""What every test needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests import storages

if TYPE_CHECKING:
    from kinformer.cache.storage import Storage


@pytest.fixture(params=storages.STORAGES)
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """How caches hold their objects. A module that uses it has its tests run once with each storage."""
    kind: Storage = request.param
    storages.use(kind, monkeypatch)
    return kind


def pytest_configure() -> None:
    """Leave no loop lying about for looptime to find.

    It asks the policy for "the" loop before a test that has none; the policy would make one, which nobody closes.
    """
    asyncio.set_event_loop(None)
