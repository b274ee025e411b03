"""The pytest plugin: `pip install 'kinformer[testing]'` is all it takes.

    async def test_the_pod_is_labelled(kube_api, informer_factory, settled):
        async with Controller("labels", ...).watches(informer_factory.core.v1.pods):
            kube_api.create(build.pod("web-0"))
            await settled()
            assert kube_api.get("v1", "Pod", "web-0")["metadata"]["labels"] == {...}

Every pytest run in an environment with kinformer loads this module, so it imports nothing but pytest; the fixtures are
in `pytest_fixtures`, and import the rest when they are used.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "pytest_addoption",
    "pytest_configure",
    "pytest_fixture_setup",
    "pytest_sessionfinish",
    "pytest_testnodedown",
]

_FIXTURES = "kinformer.integrations.pytest_fixtures"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--kinformer-rbac` and its companions."""
    from kinformer.integrations._pytest_rbac import add_options

    add_options(parser)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the recorded rights of a worker of pytest-xdist."""
    from kinformer.integrations._pytest_rbac import from_worker

    from_worker(node.config, getattr(node, "workeroutput", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the Roles that cover the requests of the tests, if that was asked for."""
    from kinformer.integrations._pytest_rbac import write

    write(session)


def pytest_configure(config: pytest.Config) -> None:
    """Register the fixtures; only now is it known which plugin runs coroutines here."""
    config.pluginmanager.import_plugin(_FIXTURES)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Iterator[Any]:
    """Choose how a fixture of ours is set up, by the kind of the test.

    In a test that anyio runs, our fixtures are left to anyio: pytest-asyncio would set them up on a loop of its own.
    For a test that is a plain function, `kube_api` runs in a thread: the loop stands still while such a test runs.
    """
    declared = fixturedef.func
    other = _other_form(declared, request)
    if other is None:
        return (yield)
    fixturedef.func = other
    try:
        return (yield)
    finally:
        fixturedef.func = declared


def _other_form(declared: Any, request: Any) -> Any:
    if getattr(declared, "__module__", "") != _FIXTURES:
        return None
    if declared.__name__ == "kube_api" and not _runs_on_a_loop(request.node):
        return sys.modules[_FIXTURES].kube_api_in_a_thread
    return getattr(declared, "kinformer_plain", None) if "anyio_backend" in request.fixturenames else None


def _runs_on_a_loop(item: Any) -> bool:
    function = getattr(item, "obj", None)
    # Hypothesis hides the test in a plain function of its own.
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", None) or function
    return inspect.iscoroutinefunction(inspect.unwrap(inner)) if callable(inner) else True
