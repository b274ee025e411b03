"""What every property test needs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """Write no log, unless the test looks at it: thousands of schedules in which everything fails fill it."""
    if "caplog" in request.fixturenames:
        yield
        return
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
