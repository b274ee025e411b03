"""Clusters whose clock the test moves."""

from __future__ import annotations

import pytest

from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime


@pytest.fixture
def cluster() -> ClusterInTime:
    """All controllers, and one node."""
    return ClusterInTime()
