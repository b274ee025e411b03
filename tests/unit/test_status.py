"""One word for health and one name for an error, on every surface."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kinformer
from kinformer import Client, ClusterConfig, SharedInformer, errors
from kinformer.cli._simulated.tally import verdict_of
from kinformer.cli._top import rows_of
from kinformer.errors import ForbiddenError, KinformerError
from kinformer.integrations._web.answers import health_answer
from kinformer.integrations.prometheus import PrometheusMetrics
from kinformer.integrations.status_endpoint import status_of
from kinformer.integrations.ui.stats import Stats
from kinformer.resources import PODS
from kinformer.status import Health, InformerState, class_of, error_name, health_of
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(kinformer.__file__).parent


def kinds_of(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    """A class and all classes derived from it."""
    yield kind
    for derived in kind.__subclasses__():
        yield from kinds_of(derived)


def own_errors() -> list[type[BaseException]]:
    """All error classes in the package, the private ones included."""
    for module in pkgutil.walk_packages([str(ROOT)], "kinformer."):
        if not module.name.startswith(("kinformer.__main__", "kinformer.integrations.pytest")):
            importlib.import_module(module.name)
    return [kind for kind in kinds_of(KinformerError) if kind.__module__.startswith("kinformer.")]


def test_every_error_class_has_a_documented_name() -> None:
    kinds = own_errors()
    assert any(kind.__name__.startswith("_") for kind in kinds), "nothing left to prove"
    for kind in kinds:
        if not kind.__module__.startswith("kinformer.cli"):
            assert class_of(kind.__new__(kind)) in errors.__all__, kind


class Surfaces:
    """What each surface shows of one informer."""

    def __init__(self, informer: SharedInformer, metrics: PrometheusMetrics) -> None:
        stats = Stats()
        stats.look({"pods": informer})
        self.page: dict[str, Any] = stats.report({"pods": informer})["informers"][0]
        self.endpoint: dict[str, Any] = status_of(informer)["informers"][0]
        answer = health_answer({"pods": informer}, ready=True)
        self.readyz: dict[str, Any] = json.loads(b"".join(answer.pieces))["informers"]["pods"]
        self.top = rows_of(status_of(informer), None, 1.0)[0]
        self.demo = verdict_of(informer.status)
        samples = [sample for family in metrics.collect() for sample in family.samples]
        self.errors = {s.labels["error"] for s in samples if s.name == "kinformer_informer_errors_total"}
        self.metric = {s.labels["health"] for s in samples if s.name == "kinformer_informer_health" and s.value}


async def test_one_failure_has_one_name_and_one_health_on_every_surface() -> None:
    metrics = PrometheusMetrics(None)
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        server.faults.without_end_bookmark()
        informer = SharedInformer(client.list_watch(PODS), stream_deadline=0.05, metrics=metrics)
        seen: list[Surfaces] = []
        informer.add_error_handler(lambda *_: seen.append(Surfaces(informer, metrics)))
        async with informer:
            await informer.synced(timeout=10)
            seen.append(Surfaces(informer, metrics))
    name = "TransportTimeoutError"
    for shown in seen:
        assert shown.page["errorKind"] == name
        assert shown.endpoint["last_error"].startswith(f"{name}: ")
        assert shown.readyz["lastError"] == name
        assert shown.errors == {name}
        healths = {shown.page["health"], shown.endpoint["health"], shown.readyz["health"], *shown.metric}
        assert len(healths) == 1
        assert (shown.top.level == "bad") == (shown.demo.level == "bad") == (healths == {Health.FAILING})


def test_an_error_is_named_with_its_http_status_and_without_its_text() -> None:
    refused = ForbiddenError("user jane may not list pods", status=403)
    assert error_name(refused) == "ForbiddenError 403"
    assert error_name(KinformerError("confidential")) == "KinformerError"
    assert error_name(None) is None


@pytest.mark.parametrize("state", InformerState)
@pytest.mark.parametrize("failures", [0, 1])
@pytest.mark.parametrize("synced", [False, True])
async def test_health_is_one_word_for_every_state(state: InformerState, failures: int, synced: bool) -> None:
    async with Client(ClusterConfig.for_server("http://127.0.0.1:9")) as client:
        status = SharedInformer(client.list_watch(PODS)).status
    health = health_of(dataclasses.replace(status, state=state, failures=failures, has_synced=synced))
    if state in {InformerState.GAVE_UP, InformerState.FAILED}:
        assert health is Health.ENDED
    elif state is InformerState.STOPPED:
        assert health is Health.STOPPED
    elif failures or state is InformerState.WAITING:
        assert health is Health.FAILING
    else:
        assert (health is Health.LIVE) == (synced and state is InformerState.WATCHING)


def test_no_surface_names_an_error_in_a_way_of_its_own() -> None:
    found = []
    for folder in ("integrations", "cli", "controller"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Attribute(
                        attr="__name__" | "__qualname__",
                        value=ast.Call(func=ast.Name(id="type"), args=[ast.Name(id="error" | "failure" | "cause")]),
                    ):
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == [], "use kinformer.status.class_of"
