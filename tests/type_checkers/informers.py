"""What type checkers must say of typed and untyped informers: read by mypy and pyright (`test_types.py`), never run."""

from __future__ import annotations

from typing import assert_type

import msgspec

from kinformer import (
    Added,
    Client,
    Controller,
    Deleted,
    KubeObject,
    ObjectKey,
    SharedInformer,
    SharedInformerFactory,
    TypedInformer,
    Updated,
)
from kinformer.resources import PODS
from tests.type_checkers import pod_dicts, pod_structs


class Status(msgspec.Struct, frozen=True):
    phase: str = ""


class Pod(msgspec.Struct, frozen=True):
    status: Status


def on_update(old: Pod, new: Pod) -> None:
    print(old.status.phase, new.status.phase)


async def on_add(obj: KubeObject) -> None:
    print(obj.name)


async def use(client: Client) -> None:
    factory = SharedInformerFactory(client)

    plain = factory.informer(PODS)
    assert_type(plain, SharedInformer)
    assert_type(plain.lister.get("a", "default"), KubeObject | None)
    plain.add_event_handler(on_add=on_add)
    async for event in plain.events():
        match event:
            case Added(obj):
                assert_type(obj, KubeObject)
            case Updated(old, new):
                assert_type(old, KubeObject)
                assert_type(new, KubeObject)
            case Deleted(obj):
                assert_type(obj, KubeObject)

    typed = factory.informer(PODS, type=Pod)
    assert_type(typed, TypedInformer[Pod])
    assert_type(typed.lister.get("a", "default"), Pod | None)
    assert_type(typed.lister.list(selector="app=web"), list[Pod])
    assert_type(typed.lister.by_index("node", "n"), list[Pod])
    typed.add_event_handler(on_update=on_update)
    async for change in typed.events():
        match change:
            case Added(pod):
                assert_type(pod, Pod)
            case Updated(before, after):
                assert_type(before, Pod)
                assert_type(after, Pod)
            case Deleted(pod):
                assert_type(pod, Pod)
        assert_type(change.source, KubeObject)


async def generated(factory: SharedInformerFactory) -> None:
    """Classes of `kinformer types`: each field is known to editors."""
    structs = factory.informer("pods", type=pod_structs.Pod)
    for pod in structs.lister.list(namespace="default"):
        assert_type(pod.metadata.name, str)
        assert_type(pod.spec.node_name, str | None)
        assert_type([container.image for container in pod.spec.containers], list[str | None])
    dicts = factory.informer("pods", type=pod_dicts.Pod)
    for plain in dicts.lister.list(namespace="default"):
        assert_type(plain["metadata"]["name"], str)
        assert_type(plain["spec"].get("nodeName"), str | None)


def controller_of_keys(controller: Controller) -> Controller:
    assert_type(controller, Controller[ObjectKey])
    return controller
