"""Custom resources from classes, on both servers: every schema is accepted, and validation agrees with decoding."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinformer import (
    Client,
    DecodeError,
    IncompatibleSchemaError,
    InvalidError,
    NotFoundError,
    SharedInformerFactory,
    WaitTimeoutError,
)
from kinformer._object_classes import decoder_of
from kinformer.custom_resources import (
    Column,
    CustomResource,
    ListType,
    ObjectMeta,
    Rule,
    Scale,
    crd,
    custom_resource,
    exactly_one_of,
    migrate_storage,
    resource_of,
)
from kinformer.resources import CUSTOMRESOURCEDEFINITIONS as CRDS
from tests.unit.custom_resources.generated import FORMS, SPECS, made, root_of, samples

if TYPE_CHECKING:
    from tests.apiserver.clusters import Cluster

CLASSES = 45
SAMPLES = 8


def generated_classes(group: str) -> list[tuple[type, list[Any]]]:
    """Classes of all three forms, each with samples around its schema; the same in each run."""
    found: list[tuple[type, list[Any]]] = []

    @settings(
        max_examples=CLASSES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(SPECS, st.sampled_from(FORMS), st.data())
    def collect(spec: Any, form: str, data: st.DataObject) -> None:
        kind: type = custom_resource(group=group, version="v1", kind="Thing", plural=f"things{len(found)}")(
            root_of(made(spec, form), form)
        )
        schema = schema_of_spec(kind)
        found.append((kind, [data.draw(samples(schema)) for _ in range(SAMPLES)]))

    collect()
    return found


def schema_of_spec(kind: type) -> dict[str, Any]:
    schema: dict[str, Any] = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


async def test_each_generated_schema_is_structural_and_refuses_what_decoding_refuses(
    cluster: Cluster, client: Client
) -> None:
    classes = generated_classes(f"{cluster.namespace}.generated.example.com")
    assert len(classes) >= 30
    differences: list[str] = []
    verdicts = [0, 0]
    for at, (kind, specs) in enumerate(classes):
        definition = crd(kind)
        # One kind per resource of a group.
        definition["spec"]["names"] |= {"kind": f"Thing{at}", "listKind": f"Thing{at}List", "singular": f"thing{at}"}
        resource = resource_of(kind)
        await client.apply(CRDS, definition, field_manager="test", force=True)
        await established(client, definition["metadata"]["name"])
        decode: Any = decoder_of(kind)
        path = resource.path(cluster.namespace)
        async with cluster.http() as http:
            for number, spec in enumerate(specs):
                body = {
                    "apiVersion": resource.api_version,
                    "kind": f"Thing{at}",
                    "metadata": {"name": f"sample-{number}"},
                    "spec": spec,
                }
                async with http.post(path, json=body, params={"dryRun": "All"}) as answer:
                    stored = await answer.json()
                    assert answer.status in {201, 422, 400}, stored
                accepted = answer.status == 201
                verdicts[accepted] += 1
                # What the server stores is decoded; what it refuses is refused.
                judged = stored if accepted else body
                try:
                    decode(json.dumps(judged).encode())
                    decoded, reason = True, ""
                except ValueError as error:
                    decoded, reason = False, str(error)
                if decoded != accepted:
                    said = stored.get("message") if not accepted else reason
                    differences.append(f"{schema_of_spec(kind)}\n  {spec}\n  accepted={accepted}: {said}")
    assert differences == []
    assert min(verdicts) > 20


async def established(client: Client, name: str) -> None:
    async with asyncio.timeout(60):
        while True:
            found = await client.get(CRDS, name)
            conditions = found.at("status.conditions", default=None) or []
            assert not any(c["type"] == "NonStructuralSchema" and c["status"] == "True" for c in conditions), conditions
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                return
            await asyncio.sleep(0.05)


class Port(msgspec.Struct):
    """One port.

    Attributes:
        name: the name of the port.
    """

    name: str
    number: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 80


class WebsiteSpec(msgspec.Struct, rename="camel"):
    """The wish."""

    host_name: Annotated[str, msgspec.Meta(pattern="^[a-z.]+$", max_length=50)]
    replicas: Annotated[int, msgspec.Meta(ge=0), Rule("self >= oldSelf", "a website only grows")] = 1
    tier: Literal["free", "paid"] = "free"
    ports: Annotated[list[Port], ListType("map", keys=("name",))] = []
    max_unavailable: int | str | None = None


class WebsiteStatus(msgspec.Struct, rename="camel", omit_defaults=True):
    replicas: int = 0
    message: str | None = None


def website_of(group: str, spec: type = WebsiteSpec) -> type[Any]:
    columns = [Column("Host", ".spec.hostName"), Column("Ready", ".status.replicas", "integer")]
    root = msgspec.defstruct(
        "Website",
        [("metadata", ObjectMeta), ("spec", spec), ("status", WebsiteStatus | None, None)],
    )
    return custom_resource(group=group, version="v1", short_names=("web",), scale=Scale(), columns=columns)(root)


@pytest.fixture
def group(cluster: Cluster) -> str:
    return f"{cluster.namespace}.example.com"


async def test_a_class_is_installed_written_read_cached_and_scaled(
    cluster: Cluster, client: Client, group: str
) -> None:
    website, space = website_of(group), cluster.namespace
    served = await client.install(website)
    assert served.name == f"websites.{group}"
    again = await client.install(website)
    assert again.resource_version == served.resource_version

    wish = website(ObjectMeta(name="a"), WebsiteSpec("example.com", ports=[Port("http")]))
    stored = await client.create(website, wish, namespace=space)
    assert stored.spec == WebsiteSpec("example.com", 1, "free", [Port("http", 80)])
    assert stored.metadata.uid
    assert await client.get(website, "a", namespace=space) == stored

    factory = SharedInformerFactory(client, namespace=space)
    websites = factory.informer(website)
    seen: list[Any] = []
    websites.add_event_handler(on_add=seen.append)
    async with factory:
        await factory.wait_for_cache_sync(timeout=30)
        assert websites.lister.get("a", namespace=space) == stored
        scale = await client.get(resource_of(website), "a", namespace=space, subresource="scale")
        assert scale.at("spec.replicas") == 1


async def test_what_the_class_refuses_the_server_refuses_with_the_place(
    cluster: Cluster, client: Client, group: str
) -> None:
    website = website_of(group)
    await client.install(website)
    wrong = website(ObjectMeta(name="a"), WebsiteSpec("Example!", replicas=-1))
    with pytest.raises(InvalidError, match=r"spec\.hostName") as caught:
        await client.create(website, wrong, namespace=cluster.namespace)
    assert "spec.replicas" in str(caught.value)


async def test_a_narrower_class_is_refused_and_the_old_one_stays(cluster: Cluster, client: Client, group: str) -> None:
    await client.install(website_of(group))
    narrow = msgspec.defstruct("Spec", [("hostName", str), ("size", int), ("replicas", str, "1")])
    with pytest.raises(IncompatibleSchemaError) as caught:
        await client.install(website_of(group, narrow))
    places = {change.path for change in caught.value.changes}
    assert places >= {"v1: spec.replicas", "v1: spec.size", "v1: spec.tier", "v1: spec.ports"}
    kept = await client.get(CRDS, f"websites.{group}")
    assert kept["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["tier"]
    await client.install(website_of(group, narrow), allow_incompatible=True)


async def test_an_object_that_does_not_fit_the_class_names_the_field(
    cluster: Cluster, client: Client, group: str
) -> None:
    website = website_of(group)
    await client.install(website)
    await client.create(website, website(ObjectMeta(name="a"), WebsiteSpec("x")), namespace=cluster.namespace)
    other = msgspec.defstruct("Other", [("spec", msgspec.defstruct("S", [("hostName", int)]))])
    other = custom_resource(group=group, version="v1", kind="Website")(other)
    with pytest.raises(DecodeError, match=r"does not fit Other: .*hostName"):
        await client.get(other, "a", namespace=cluster.namespace)
    with pytest.raises(NotFoundError):
        await client.get(website, "b", namespace=cluster.namespace)


# The embedded server accepts names twice.
@pytest.mark.parametrize(
    "cluster", [pytest.param("real", marks=[pytest.mark.real, pytest.mark.timeout(300)])], indirect=True
)
async def test_names_that_another_crd_has_are_the_reason_of_the_time_out(client: Client, group: str) -> None:
    await client.install(website_of(group))
    spec = WebsiteSpec
    root = msgspec.defstruct("Website", [("spec", spec)])
    rival = custom_resource(group=group, version="v1", plural="rivals")(root)
    with pytest.raises(WaitTimeoutError, match=r"NamesAccepted is False: .*Website"):
        await client.install(rival, timeout=2)


async def test_the_status_of_a_new_object_is_dropped_before_it_is_judged(client: Client, cluster: Cluster) -> None:
    class Status(msgspec.Struct):
        phase: Annotated[str, msgspec.Meta(pattern="^[a-z]+$")] = "new"

    @custom_resource(group=f"status.{cluster.namespace}.example.com", version="v1", kind="Thing", status=Status)
    class Thing(msgspec.Struct):
        size: int = 1

    await client.install(Thing)
    resource = resource_of(Thing)
    wanted = {"size": 2, "status": {"phase": "NOT ONE"}}
    created = await client.create(resource, wanted | {"metadata": {"name": "created"}}, namespace=cluster.namespace)
    applied = wanted | {"metadata": {"name": "applied", "namespace": cluster.namespace}}
    for stored in (created, await client.apply(resource, applied, field_manager="m")):
        assert stored.at("status", default=None) is None


class Source(msgspec.Struct, omit_defaults=True):
    git: str | None = None
    image: str | None = None


class BuildSpec(msgspec.Struct):
    source: Annotated[Source, exactly_one_of("git", "image")]
    tier: str = "free"


async def test_objects_are_selected_by_a_field_of_the_class_and_a_union_has_one_member(
    cluster: Cluster, client: Client, group: str
) -> None:
    @custom_resource(group=group, version="v1", selectable_fields=[".spec.tier"])
    class Build(CustomResource, msgspec.Struct):
        metadata: ObjectMeta
        spec: BuildSpec

    await client.install(Build)
    for name, tier in (("a", "free"), ("b", "paid")):
        build = Build(ObjectMeta(name=name), BuildSpec(Source(git="x"), tier))
        await client.create(Build, build, namespace=cluster.namespace)
    found = await client.list(Build, namespace=cluster.namespace, field_selector="spec.tier=paid")
    assert [build.metadata.name for build in found] == ["b"]
    factory = SharedInformerFactory(client)
    paid = factory.informer(Build, field_selector="spec.tier=paid")
    async with factory:
        await paid.synced(timeout=30)
        assert [build.metadata.name for build in paid.lister.list()] == ["b"]
    for source in (Source(), Source("x", "y")):
        with pytest.raises(InvalidError, match="exactly one of git, image must be set"):
            await client.create(Build, Build(ObjectMeta(name="c"), BuildSpec(source)), namespace=cluster.namespace)


async def test_a_version_can_go_when_no_object_is_stored_in_it_any_more(
    cluster: Cluster, client: Client, group: str
) -> None:
    def box(version: str, *, storage: bool = True) -> Any:
        kind = msgspec.defstruct("Box", [("metadata", ObjectMeta), ("spec", dict[str, str], {})])
        return custom_resource(group=group, version=version, storage=storage)(kind)

    old, new = box("v1alpha1"), box("v1")
    await client.install(old)
    for number in range(3):
        await client.create(old, old(ObjectMeta(name=f"b{number}")), namespace=cluster.namespace)
    both = await client.install(new, box("v1alpha1", storage=False))
    assert both.at("status.storedVersions") == ["v1alpha1", "v1"]
    with pytest.raises(
        IncompatibleSchemaError, match=r"objects may be stored in it .*: call migrate_storage\(\) first"
    ):
        await client.install(new)
    with pytest.raises(InvalidError, match=r"status\.storedVersions\[0\].*must remain in spec\.versions until a"):
        await client.install(new, allow_incompatible=True)
    if cluster.name == "real":
        # Until then the server may store objects in the old version.
        await asyncio.sleep(2)
    assert await migrate_storage(client, resource_of(new)) == 3
    assert await migrate_storage(client, resource_of(new)) == 0
    only = await client.install(new, allow_incompatible=True)
    assert only.at("status.storedVersions") == ["v1"]
    assert [each.metadata.name for each in await client.list(new, namespace=cluster.namespace)] == ["b0", "b1", "b2"]
    with pytest.raises(NotFoundError):
        await client.get(old, "b0", namespace=cluster.namespace)
