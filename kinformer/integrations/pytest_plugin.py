"""The pytest plugin: `pip install 'kinformer[testing]'` is all it takes.

    async def test_the_pod_is_labelled(kube_api, informer_factory, settled):
        async with Controller("labels", ...).watches(informer_factory.core.v1.pods):
            kube_api.create(build.pod("web-0"))
            await settled()
            assert kube_api.get("v1", "Pod", "web-0")["metadata"]["labels"] == {...}

Every pytest run in an environment with kinformer loads this module, so it imports nothing but pytest; the fixtures are
in `pytest_fixtures`, and load what they need when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pytest_configure", "pytest_fixture_setup"]

_FIXTURES = "kinformer.integrations.pytest_fixtures"


def pytest_configure(config: pytest.Config) -> None:
    """Register the fixtures; only now is it known which plugin runs coroutines here."""
    config.pluginmanager.import_plugin(_FIXTURES)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Iterator[Any]:
    """Leave our fixtures to anyio in a test that anyio runs: pytest-asyncio would set them up on a loop of its own."""
    plain = getattr(fixturedef.func, "kinformer_plain", None)
    if plain is None or "anyio_backend" not in request.fixturenames:
        return (yield)
    marked = fixturedef.func
    fixturedef.func = plain
    try:
        return (yield)
    finally:
        fixturedef.func = marked
