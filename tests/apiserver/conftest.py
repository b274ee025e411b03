"""Each scenario runs on both servers, with the same assertions: `make test` on ours, `make test-real` on the other."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.resources import NAMESPACES
from tests.apiserver.clusters import USERS, Cluster, Embedded, Real

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kinformer import Client
    from kinformer.testing import ControlPlane

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def control_plane_options() -> dict[str, Any]:
    return {"users": {user: [] for user in USERS}, "feature_gates": {"ShardedListAndWatch": True}}


@pytest.fixture(params=["embedded", pytest.param("real", marks=[pytest.mark.real, pytest.mark.timeout(300)])])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster with a namespace for this test alone."""
    if request.param == "embedded":
        embedded = Embedded(tmp_path)
        async with embedded.server:
            await _make_namespace(embedded)
            yield embedded
    else:
        plane: ControlPlane = request.getfixturevalue("control_plane")
        real = Real(tmp_path, plane)
        if not plane.running:
            # The test before this one did not come to its end.
            await plane.start()
        await _make_namespace(real)
        yield real


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    """The administrator's."""
    async with cluster.client() as client:
        yield client


async def _make_namespace(cluster: Cluster) -> None:
    cluster.namespace = f"test-{next(_NUMBERS)}"
    async with cluster.client() as client:
        await client.create(NAMESPACES, {"metadata": {"name": cluster.namespace}})
