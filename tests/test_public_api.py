"""The public names and calls. A change here changes the programs of users; it needs a note in docs/design/."""

from __future__ import annotations

import difflib
import inspect
import re
from typing import TYPE_CHECKING, Any

import pytest

import kinformer
from kinformer import (
    Added,
    Client,
    ClusterConfig,
    Controller,
    Deleted,
    DeltaFIFO,
    KubeObject,
    Lister,
    ObjectKey,
    RateLimitingQueue,
    Resource,
    SharedInformer,
    SharedInformerFactory,
    Updated,
    WorkQueue,
    errors,
)
from kinformer.cache.delta_fifo import DeltaType
from kinformer.informer.registration import HandlerRegistration
from kinformer.resources import PODS
from kinformer.testing import ApiServer
from tests.public_api import RECORDED, public_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web-0", "namespace": "default", "labels": {"app": "web", "tier": "front"}},
    "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "web:1"}]},
}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}},
        ],
    },
}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        running.create(CRD)
        running.create(POD)
        yield running


async def test_the_program_of_the_design_runs_as_written(server: ApiServer) -> None:
    told: list[str] = []

    async def added(pod: KubeObject) -> None:
        told.append(f"added {pod.name}")

    def updated(old: KubeObject, new: KubeObject) -> None:
        told.append(f"updated {old.name} {new.name}")

    def deleted(pod: KubeObject) -> None:
        told.append(f"deleted {pod.name}")

    async with Client(ClusterConfig.for_server(server.url)) as client:
        factory = SharedInformerFactory(client, resync=600)
        pods = factory.core.v1.pods
        assert pods is factory.core.v1.pods
        widgets = factory.informer(WIDGETS)
        pods.add_indexers({"node": lambda pod: [pod["spec"].get("nodeName", "")]})
        pods.add_event_handler(on_add=added, on_update=updated, on_delete=deleted)
        async with factory:
            await factory.wait_for_cache_sync(timeout=30)
            assert widgets.has_synced
            web = pods.lister.get("web-0", namespace="default")
            assert isinstance(web, KubeObject)
            assert pods.lister.get("absent", namespace="default") is None
            assert pods.lister.list(namespace="default", selector="app=web,tier!=cache") == [web]
            assert pods.lister.by_index("node", "node-1") == [web]
            seen = []
            async for event in pods.events():
                match event:
                    case Added(obj):
                        seen.append(f"Added {obj.name} {event.initial}")
                        await client.patch(
                            obj.resource, obj.name, {"metadata": {"labels": {"app": "db"}}}, namespace=obj.namespace
                        )
                    case Updated(_, new) if new.at("metadata.deletionTimestamp", default=None):
                        seen.append(f"Ending {new.name}")  # an API server marks a pod before it takes it out
                    case Updated(old, new):
                        seen.append(f"Updated {old.labels['app']} {new.labels['app']}")
                        await client.delete(new.resource, new.name, namespace=new.namespace, grace_period_seconds=0)
                    case Deleted(obj, final_state_known=True):
                        seen.append(f"Deleted {obj.name}")
                        break
            assert seen == ["Added web-0 True", "Updated web db", "Ending web-0", "Deleted web-0"]
    assert told[:4] == ["added web-0", "updated web-0 web-0", "updated web-0 web-0", "deleted web-0"]


def test_a_deletion_that_was_missed_is_matched_by_its_flag(server: ApiServer) -> None:
    obj = KubeObject.from_dict(POD, PODS)
    match Deleted(obj, final_state_known=False):
        case Deleted(gone, final_state_known=False):
            assert gone is obj
        case _:
            pytest.fail("not matched")


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            SharedInformer,
            "resource lister indexer has_synced status synced add_event_handler add_indexers events __aenter__ stop",
        ),
        (HandlerRegistration, "has_synced synced remove"),
        (Lister, "get list by_index"),
        (DeltaFIFO, "add update delete replace resync list list_keys get_by_key pop close has_synced"),
        (WorkQueue, "add get done shut_down"),
        (RateLimitingQueue, "add get done shut_down add_after add_rate_limited forget num_requeues"),
        (SharedInformerFactory, "core apps informer start stop wait_for_cache_sync"),
        (Client, "get list create replace patch delete from_api_client list_watch"),
        (ClusterConfig, "for_server load"),
        (KubeObject, "at to_dict decode to_model name namespace uid resource_version labels"),
        (Resource, "group version plural kind namespaced"),
        (Controller, "watches owns run"),
    ],
)
def test_every_name_of_the_design_is_there(owner: type, names: str) -> None:
    assert [name for name in names.split() if not hasattr(owner, name)] == []


def test_the_public_api_is_the_recorded_one() -> None:
    # A change is fine if it is meant; the diff is for its reviewer.
    recorded = RECORDED.read_text().splitlines()
    changes = [
        line
        for line in difflib.unified_diff(recorded, public_api(), "recorded", "now", lineterm="", n=0)
        if not line.startswith("@@")
    ]
    if changes:
        remedy = "if this is meant: python -m tests.public_api --write"
        pytest.fail("\n".join(["the public API has changed:", *changes, "", remedy]), pytrace=False)


def test_the_delta_types_are_those_of_client_go_and_one_for_scopes_that_change() -> None:
    assert [kind.name for kind in DeltaType] == ["ADDED", "UPDATED", "DELETED", "REPLACED", "SYNC", "LEFT"]


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of a function after self, with their defaults."""
    found = inspect.signature(function).parameters
    return {name: parameter.default for name, parameter in found.items() if name not in {"self", "cls"}}


def test_calls_take_what_the_design_says() -> None:
    required = inspect.Parameter.empty
    assert parameters(SharedInformer.synced) == {"timeout": None, "fail_fast": False}
    assert parameters(SharedInformerFactory.wait_for_cache_sync) == {"timeout": None, "fail_fast": False}
    assert parameters(HandlerRegistration.remove) == {"drain": False}
    assert parameters(WorkQueue.shut_down) == {"drain": False}
    assert parameters(ClusterConfig.load) == {"kubeconfig": None, "context": None}
    for_server = parameters(ClusterConfig.for_server)
    assert {name: for_server[name] for name in ("url", "token", "ca_file", "verify")} == {
        "url": required,
        "token": None,
        "ca_file": None,
        "verify": True,
    }
    assert parameters(Lister.get) == {"name": required, "namespace": None}
    assert parameters(Lister.list) == {"namespace": None, "selector": None, "label_selector": None}
    assert parameters(Lister.by_index) == {"index": required, "value": required}
    assert list(parameters(KubeObject.at)) == ["path", "default"]
    assert (Added.__match_args__, Updated.__match_args__, Deleted.__match_args__) == (
        ("obj", "initial"),
        ("old", "new"),
        ("obj", "final_state_known", "out_of_scope"),
    )
    assert ObjectKey("default", "web-0") == ObjectKey(namespace="default", name="web-0")


def test_the_front_door_offers_what_it_says_and_every_error_by_name() -> None:
    assert sorted(kinformer.__all__, key=lambda name: name) == sorted(set(kinformer.__all__))
    assert [name for name in kinformer.__all__ if not hasattr(kinformer, name)] == []
    there_are = {name for name in vars(errors) if name.endswith("Error")}
    assert there_are <= set(kinformer.__all__)


def test_what_type_checkers_see_is_what_is_imported() -> None:
    source = inspect.getsource(kinformer)
    imported = re.findall(r"from kinformer\.([\w.]+) import (\([^)]*\)|[^\n]+)", source)
    seen = {name: home for home, names in imported for name in re.findall(r"\w+", names) if home != "_version"}
    assert seen == kinformer._HOME
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = kinformer.Nonsense
