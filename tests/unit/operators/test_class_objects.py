"""Objects of decorated classes: finalizers, conditions, owners, Events and retries take them as KubeObjects."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec
import pydantic
import pytest

from kinformer.custom_resources import Condition, Conditions, CustomResource, ObjectMeta, custom_resource
from kinformer.errors import ConflictError, DecodeError, NotFoundError
from kinformer.objects import KubeObject, ObjectKey
from kinformer.operators._event_correlator import Subject
from kinformer.operators.conflicts import retry_on_conflict
from kinformer.operators.event_recorder import EventRecorder
from kinformer.operators.finalizers import Finalizer
from kinformer.operators.owners import disowned_by, is_owned_by, owned_by
from kinformer.operators.status_conditions import (
    StatusCondition,
    find_condition,
    is_condition,
    with_conditions,
    write_conditions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.resources import Resource

pytestmark = pytest.mark.looptime


class Spec(msgspec.Struct):
    size: int = 1


class Status(msgspec.Struct):
    conditions: Conditions = []


@custom_resource(group="example.com", version="v1")
class Shop(CustomResource, msgspec.Struct):
    metadata: ObjectMeta
    spec: Spec = msgspec.field(default_factory=Spec)
    status: Status = msgspec.field(default_factory=Status)


@custom_resource(group="example.com", version="v1", kind="Shop")
@dataclasses.dataclass
class DataShop(CustomResource):
    metadata: ObjectMeta
    spec: Spec = dataclasses.field(default_factory=Spec)
    status: Status = dataclasses.field(default_factory=Status)


class ModelCondition(pydantic.BaseModel):
    type: str
    status: str
    reason: str
    message: str
    lastTransitionTime: str  # noqa: N815 - as in the JSON
    observedGeneration: int | None = None  # noqa: N815 - as in the JSON


class ModelStatus(pydantic.BaseModel):
    conditions: list[ModelCondition] = []


class ModelSpec(pydantic.BaseModel):
    size: int = 1


@custom_resource(group="example.com", version="v1", kind="Shop")
class ModelShop(pydantic.BaseModel):
    metadata: dict[str, Any]
    spec: ModelSpec = ModelSpec()
    status: ModelStatus = ModelStatus()


@custom_resource(group="example.com", version="v1", kind="Shop")
class Bare(CustomResource, msgspec.Struct):
    spec: Spec = msgspec.field(default_factory=Spec)


HEAD = {
    "name": "corner",
    "namespace": "default",
    "uid": "u",
    "resourceVersion": "1",
    "generation": 3,
    "finalizers": ["others/own"],
}


class Store:
    """One Shop on a server; the first `conflicts` writes meet a newer version."""

    def __init__(self, *, conflicts: int = 0, **fields: Any) -> None:
        self.object: dict[str, Any] = {"apiVersion": "example.com/v1", "kind": "Shop", "metadata": HEAD} | fields
        self.conflicts = conflicts
        self.writes = 0

    async def get(self, resource: Resource, name: str, *, namespace: str | None) -> KubeObject:
        assert (name, namespace) == ("corner", "default")
        return KubeObject.from_dict(self.object, resource)

    async def patch(
        self, resource: Resource, name: str, patch: Mapping[str, Any], *, namespace: str | None
    ) -> KubeObject:
        version = self.object["metadata"]["resourceVersion"]
        if self.conflicts:
            self.conflicts -= 1
            self._store({"metadata": {"labels": {"touched": version}}})
        if patch["metadata"]["resourceVersion"] != self.object["metadata"]["resourceVersion"]:
            raise ConflictError("changed")
        self.writes += 1
        self._store(patch)
        return await self.get(resource, name, namespace=namespace)

    patch_status = patch

    def _store(self, patch: Mapping[str, Any]) -> None:
        version = str(int(self.object["metadata"]["resourceVersion"]) + 1)
        head = self.object["metadata"] | patch["metadata"] | {"resourceVersion": version}
        self.object = self.object | dict(patch) | {"metadata": head}


def of(kind: Any, store: Store) -> Any:
    json = msgspec.json.encode(store.object)
    return kind.model_validate_json(json) if kind is ModelShop else msgspec.json.decode(json, type=kind)


CLASSES = pytest.mark.parametrize("kind", [Shop, DataShop, ModelShop])


@CLASSES
@pytest.mark.parametrize("conflicts", [0, 2])
async def test_a_finalizer_calls_the_functions_with_objects_of_the_class_and_keeps_those_of_others(
    kind: Any, conflicts: int
) -> None:
    store = Store(conflicts=conflicts)
    finalizer = Finalizer(store, "example.com/own")
    got = []

    async def apply(shop: Any) -> str:
        got.append(shop)
        return "applied"

    async def clean_up(shop: Any) -> None:
        got.append(shop)

    assert await finalizer.reconcile(of(kind, store), apply, clean_up) == "applied"
    assert store.object["metadata"]["finalizers"] == ["others/own", "example.com/own"]
    assert finalizer.is_on(got[0])
    assert not finalizer.is_on(of(kind, Store()))
    store.object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    await finalizer.reconcile(of(kind, store), apply, clean_up)
    assert store.object["metadata"]["finalizers"] == ["others/own"]
    assert [type(shop) for shop in got] == [kind, kind]


@CLASSES
@pytest.mark.parametrize("conflicts", [0, 2])
async def test_conditions_are_written_once_and_those_of_others_stay(kind: Any, conflicts: int) -> None:
    theirs = {
        "type": "Paid",
        "status": "True",
        "reason": "Card",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    store = Store(conflicts=conflicts, status={"conditions": [theirs]})
    ready = StatusCondition("Ready", True, "AllUp", "3 of 3")
    stored: Any = await write_conditions(store, of(kind, store), ready)
    assert type(stored) is kind
    assert find_condition(stored, "Paid") == theirs
    assert is_condition(stored, "Ready", current=True)
    assert (find_condition(stored, "Ready") or {})["observedGeneration"] == 3
    assert await write_conditions(store, stored, ready) == stored
    assert store.writes == 1
    assert [entry["type"] for entry in with_conditions(stored, remove=["Paid"])] == ["Ready"]


def test_the_fields_of_a_condition_are_those_that_are_written() -> None:
    at = "2026-01-01T00:00:00Z"
    shop = Shop(ObjectMeta(name="a", generation=2))
    (entry,) = with_conditions(shop, StatusCondition("Ready", False, "Down", "x"))
    shop.status.conditions = [msgspec.convert(entry | {"lastTransitionTime": at}, Condition)]
    assert with_conditions(shop, StatusCondition("Ready", False, "Down", "x")) == [entry | {"lastTransitionTime": at}]


@CLASSES
def test_an_object_of_a_class_is_an_owner(kind: Any) -> None:
    shop = of(kind, Store())
    owned = owned_by({"kind": "ConfigMap", "metadata": {"name": "a"}}, shop)
    (reference,) = owned["metadata"]["ownerReferences"]
    assert (reference["apiVersion"], reference["kind"], reference["uid"]) == ("example.com/v1", "Shop", "u")
    assert is_owned_by(owned, shop, controller=True)
    assert disowned_by(owned, shop)["metadata"]["ownerReferences"] == []


@CLASSES
async def test_an_event_is_about_an_object_of_a_class(kind: Any) -> None:
    events = EventRecorder(Store(), "shops")  # type: ignore[arg-type]
    shop = of(kind, Store())
    events.normal(shop, "Made", "x", related=shop)
    assert events._queue[0].subject == Subject("example.com/v1", "Shop", "default", "corner", "u")
    assert events.dropped == 0


async def test_a_retry_decides_anew_with_an_object_of_the_class() -> None:
    store = Store(conflicts=1)
    seen = []

    async def write(shop: Shop) -> str:
        seen.append(shop.metadata.resource_version)
        change = {"metadata": {"resourceVersion": shop.metadata.resource_version}}
        await store.patch(Shop.resource, "corner", change, namespace="default")
        return "written"

    assert await retry_on_conflict(store, of(Shop, store), write) == "written"
    assert seen == ["1", "2"]


async def test_an_object_that_no_longer_fits_its_class_is_an_error_that_names_the_field() -> None:
    store = Store(conflicts=1)
    shop = of(Shop, store)
    store.object["spec"] = {"size": "secret"}
    with pytest.raises(
        DecodeError, match=r"default/corner.*does not fit Shop: Expected `int`.*\$\.spec\.size"
    ) as error:
        await Finalizer(store, "example.com/own").add(shop)
    assert "secret" not in str(error.value)


async def test_a_class_that_would_lose_metadata_or_conditions_is_refused() -> None:
    store = Store()
    bare = Bare()
    with pytest.raises(
        TypeError, match="Bare has no metadata of its objects; give it the field `metadata: ObjectMeta`"
    ):
        await Finalizer(store, "example.com/own").add(bare)
    with pytest.raises(TypeError, match="the status of Bare has no conditions"):
        await write_conditions(store, bare, StatusCondition("Ready", True, "Up"))
    manifest: Any = store.object
    with pytest.raises(TypeError, match="as the cache or the server has it, not a manifest"):
        await Finalizer(store, "example.com/own").add(manifest)
    anything: Any = object()
    with pytest.raises(TypeError, match="object is no custom resource"):
        await Finalizer(store, "example.com/own").add(anything)
    assert store.writes == 0


def test_metadata_has_the_key() -> None:
    assert ObjectMeta(name="a", namespace="b").key == ObjectKey("b", "a")


async def test_an_object_that_is_gone_is_none() -> None:
    class Gone(Store):
        async def patch(self, *_: Any, **__: Any) -> KubeObject:
            raise NotFoundError("gone")

        patch_status = patch

    store = Gone()
    assert await Finalizer(store, "example.com/own").add(of(Shop, store)) is None
    assert await write_conditions(store, of(Shop, store), StatusCondition("Ready", True, "Up")) is None
