"""Admission webhooks: the same scenarios on the embedded API server and on a real one."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kinformer import Client, ForbiddenError, InvalidError, NotFoundError, ServerError, SharedInformer
from kinformer.custom_resources import Conversions, CustomResource, ObjectMeta, custom_resource
from kinformer.resources import (
    CONFIGMAPS,
    CUSTOMRESOURCEDEFINITIONS,
    MUTATINGWEBHOOKCONFIGURATIONS,
    SECRETS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
)
from kinformer.webhooks import (
    AdmissionRequest,
    Allow,
    CertificateSecret,
    Deny,
    Patch,
    Webhooks,
    WebhookServer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer import KubeObject
    from tests.apiserver.clusters import Cluster


class SiteSpec(msgspec.Struct, rename="camel"):
    domain: str
    replicas: int = 1
    owner: str = ""


@custom_resource(group="hooks.example.com", version="v1", kind="Site")
class Site(CustomResource, msgspec.Struct):
    metadata: ObjectMeta
    spec: SiteSpec


def site(name: str, domain: str = "a.example", **spec: Any) -> Site:
    return Site(ObjectMeta(name=name), SiteSpec(domain, **spec))


class Hooks:
    """Webhooks that only see the namespace of the test, served and announced."""

    def __init__(self, cluster: Cluster, client: Client) -> None:
        self.cluster = cluster
        self.client = client
        self.webhooks = Webhooks(f"hooks-{cluster.namespace}")
        self.here = {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}
        self.server: WebhookServer | None = None

    async def serve(self, look_every: float = 60.0) -> None:
        secret = CertificateSecret(
            self.client, self.cluster.namespace, "tls", hosts=["127.0.0.1"], look_every=look_every
        )
        self.server = await WebhookServer(self.webhooks, secret, port=0).__aenter__()
        for configuration in self.webhooks.configurations(self.server.url):
            is_mutating = configuration["kind"].startswith("Mutating")
            resource = MUTATINGWEBHOOKCONFIGURATIONS if is_mutating else VALIDATINGWEBHOOKCONFIGURATIONS
            await self.client.create(resource, configuration)
        await secret.load(self.webhooks)
        await self.take_effect()

    async def take_effect(self) -> None:
        """A real server learns of configurations by watching; it takes a second."""
        if self.cluster.name == "real":
            await asyncio.sleep(2)

    async def end(self) -> None:
        for resource in (MUTATINGWEBHOOKCONFIGURATIONS, VALIDATINGWEBHOOKCONFIGURATIONS):
            with contextlib.suppress(NotFoundError):
                await self.client.delete(resource, self.webhooks.name)
        if self.server is not None:
            await self.server.__aexit__(None, None, None)


@pytest.fixture
async def hooks(cluster: Cluster, client: Client) -> AsyncIterator[Hooks]:
    made = Hooks(cluster, client)
    try:
        yield made
    finally:
        await made.end()


async def test_a_class_is_validated_defaulted_and_refused(hooks: Hooks) -> None:
    client, namespace = hooks.client, hooks.cluster.namespace
    await client.install(Site)
    seen: list[AdmissionRequest[Site]] = []

    @hooks.webhooks.mutating(Site, namespace_selector=hooks.here)
    async def own(request: AdmissionRequest[Site]) -> Allow | Deny | Patch:
        made = request.new
        if made.spec.owner:
            return Allow()
        made.spec.owner = request.user.name
        made.metadata.labels["owned"] = "yes"
        return Patch(made, warnings=["the owner was filled in"])

    @hooks.webhooks.validating(Site, namespace_selector=hooks.here, operations=("CREATE", "UPDATE", "DELETE"))
    async def check(request: AdmissionRequest[Site]) -> Allow | Deny:
        seen.append(request)
        if request.operation == "DELETE":
            assert request.object is None
            return Deny("kept for ever") if request.old and request.old.spec.replicas == 9 else Allow()
        if request.new.spec.domain == "bad":
            return Deny("no such domain", code=422, reason="Invalid")
        if request.old and request.old.spec.domain != request.new.spec.domain:
            return Deny("the domain cannot change")
        return Allow()

    await hooks.serve()
    created = await client.create(Site, site("a"), namespace=namespace)
    assert created.spec.owner
    assert created.metadata.labels == {"owned": "yes"}
    assert seen[0].operation == "CREATE"
    assert str(seen[0].key) == f"{namespace}/a"
    assert seen[0].new.spec.owner == created.spec.owner
    assert seen[0].old is None
    with pytest.raises(InvalidError, match=r"check\.sites\.hooks\.example\.com.*denied the request: no such domain"):
        await client.create(Site, site("b", "bad"), namespace=namespace)
    created.spec.domain = "b.example"
    with pytest.raises(ForbiddenError, match="the domain cannot change"):
        await client.replace(Site, created)
    with pytest.raises(ForbiddenError, match="the domain cannot change"):
        await client.patch(Site, "a", {"spec": {"domain": "c.example"}}, namespace=namespace)
    kept = await client.patch(Site, "a", {"spec": {"replicas": 9}}, namespace=namespace)
    assert kept.spec.replicas == 9
    with pytest.raises(ForbiddenError, match="kept for ever"):
        await client.delete(Site, "a", namespace=namespace)
    await client.patch(Site, "a", {"spec": {"replicas": 1}}, namespace=namespace)
    await client.delete(Site, "a", namespace=namespace)


async def test_validation_by_schema_comes_after_mutation(hooks: Hooks) -> None:
    client, namespace = hooks.client, hooks.cluster.namespace
    await client.install(Site)

    @hooks.webhooks.mutating(Site.resource, namespace_selector=hooks.here)
    async def fill(request: AdmissionRequest[KubeObject]) -> Allow | Deny | Patch:
        manifest = request.new.to_dict()
        return Patch(manifest | {"spec": {"domain": "filled.example"} | manifest["spec"]})

    await hooks.serve()
    bare = {"metadata": {"name": "x", "namespace": namespace}, "spec": {"replicas": 2}}
    made = await client.create(Site.resource, bare)
    assert made.at("spec") == {"domain": "filled.example", "replicas": 2, "owner": ""}


async def test_an_object_that_does_not_fit_the_class_is_refused_with_the_field(hooks: Hooks) -> None:
    client, namespace = hooks.client, hooks.cluster.namespace
    await client.install(Site)

    @hooks.webhooks.mutating(Site, namespace_selector=hooks.here)
    async def never(request: AdmissionRequest[Site]) -> Allow | Deny | Patch:
        raise AssertionError

    await hooks.serve()
    with pytest.raises(InvalidError, match="domain"):
        bare = {"metadata": {"name": "x", "namespace": namespace}, "spec": {"replicas": 2}}
        await client.create(Site.resource, bare)


async def test_dry_run_names_and_generated_names(hooks: Hooks) -> None:
    client, namespace = hooks.client, hooks.cluster.namespace
    seen: list[tuple[str, bool]] = []

    @hooks.webhooks.validating(CONFIGMAPS, namespace_selector=hooks.here)
    async def look(request: AdmissionRequest[KubeObject]) -> Allow | Deny:
        seen.append((request.new.name, request.dry_run))
        return Allow(warnings=["looked at"])

    await hooks.serve()
    await client.create(CONFIGMAPS, {"metadata": {"name": "dry", "namespace": namespace}}, dry_run=True)
    made = await client.create(CONFIGMAPS, {"metadata": {"generateName": "made-", "namespace": namespace}})
    assert seen == [("dry", True), (made.name, False)]


async def test_failures_follow_the_policy(hooks: Hooks) -> None:
    client, namespace = hooks.client, hooks.cluster.namespace

    @hooks.webhooks.validating(CONFIGMAPS, namespace_selector=hooks.here, failure_policy="Ignore", timeout=1)
    async def slow(request: AdmissionRequest[KubeObject]) -> Allow | Deny:
        await asyncio.sleep(30)
        return Deny("never")

    @hooks.webhooks.validating(
        CONFIGMAPS, namespace_selector=hooks.here, object_selector={"matchLabels": {"break": "yes"}}
    )
    async def broken(request: AdmissionRequest[KubeObject]) -> Allow | Deny:
        raise RuntimeError("a defect")

    await hooks.serve()
    await client.create(CONFIGMAPS, {"metadata": {"name": "a", "namespace": namespace}})
    with pytest.raises(ServerError, match=r'failed calling webhook "broken\.configmaps\.core"') as caught:
        await client.create(CONFIGMAPS, {"metadata": {"name": "b", "namespace": namespace, "labels": {"break": "yes"}}})
    # On both servers: the class of the error and the path, and nothing of its text.
    assert (
        'failed to call webhook: an error on the server ("/validate/broken failed with RuntimeError; the log of the '
        'operator has the traceback") has prevented the request from succeeding' in str(caught.value)
    )


async def test_warnings_of_any_text_arrive_on_one_line_and_long_ones_are_cut(hooks: Hooks) -> None:
    namespace, warnings = hooks.cluster.namespace, ["grown\r\n\tby 1", "y" * 5000, 'a "ü" \\ b', "grown by 1", ""]

    @hooks.webhooks.validating(CONFIGMAPS, namespace_selector=hooks.here)
    async def talkative(request: AdmissionRequest[KubeObject]) -> Allow | Deny:
        return Allow(warnings=warnings)

    await hooks.serve()
    told: list[str] = []
    async with Client(hooks.client.config, on_warning=told.append) as client:
        await client.create(CONFIGMAPS, {"metadata": {"name": "a", "namespace": namespace}})
    assert told == ["grown by 1", "y" * 256, 'a "ü" \\ b']


async def test_a_mutating_webhook_is_called_again_after_later_changes(hooks: Hooks) -> None:
    client, namespace = hooks.client, hooks.cluster.namespace

    @hooks.webhooks.mutating(CONFIGMAPS, namespace_selector=hooks.here, reinvocation="IfNeeded")
    async def first(request: AdmissionRequest[KubeObject]) -> Allow | Deny | Patch:
        manifest = request.new.to_dict()
        seen.append(dict(manifest.get("data") or {}))
        return Patch(manifest | {"data": {**(manifest.get("data") or {}), "first": "1"}})

    @hooks.webhooks.mutating(CONFIGMAPS, namespace_selector=hooks.here, side_effects="NoneOnDryRun")
    async def second(request: AdmissionRequest[KubeObject]) -> Allow | Deny | Patch:
        manifest = request.new.to_dict()
        return Patch(manifest | {"data": {**manifest["data"], "second": "2"}})

    seen: list[dict[str, str]] = []
    await hooks.serve()
    made = await client.create(CONFIGMAPS, {"metadata": {"name": "a", "namespace": namespace}})
    assert made.at("data") == {"first": "1", "second": "2"}
    # Called once more, because another has changed the object after it.
    assert seen == [{}, {"first": "1", "second": "2"}]
    managed = made.at("metadata.managedFields", default=None) or []
    assert not any("f:data" in entry["fieldsV1"] for entry in managed)
    applied = await client.apply(
        CONFIGMAPS, {"metadata": {"name": "b", "namespace": namespace}, "data": {"own": "0"}}, field_manager="me"
    )
    assert applied.at("data") == {"own": "0", "first": "1", "second": "2"}


async def test_a_dry_run_needs_webhooks_without_side_effects_and_an_answer(hooks: Hooks) -> None:
    client, namespace = hooks.client, hooks.cluster.namespace

    @hooks.webhooks.validating(CONFIGMAPS, namespace_selector=hooks.here)
    async def gone(request: AdmissionRequest[KubeObject]) -> Allow | Deny:
        return Allow()

    await hooks.serve()
    found = (await client.get(VALIDATINGWEBHOOKCONFIGURATIONS, hooks.webhooks.name)).to_dict()
    found["webhooks"][0]["clientConfig"]["url"] = "https://127.0.0.1:1/none"
    await client.replace(VALIDATINGWEBHOOKCONFIGURATIONS, found)
    await hooks.take_effect()
    with pytest.raises(ServerError, match="failed calling webhook"):
        await client.create(CONFIGMAPS, {"metadata": {"name": "a", "namespace": namespace}}, dry_run=True)


class OldDepotSpec(msgspec.Struct):
    host: str


class DepotSpec(msgspec.Struct):
    hosts: list[str]


@custom_resource(group="hooks.example.com", version="v1alpha1", kind="Depot", storage=False)
class OldDepot(CustomResource, msgspec.Struct):
    metadata: ObjectMeta
    spec: OldDepotSpec


@custom_resource(group="hooks.example.com", version="v1", kind="Depot")
class Depot(CustomResource, msgspec.Struct):
    metadata: ObjectMeta
    spec: DepotSpec


def depots() -> Conversions:
    conversions = Conversions(Depot)

    @conversions.add(OldDepot)
    def up(old: OldDepot) -> Depot:
        more = old.metadata.annotations.pop("more", "")
        return Depot(old.metadata, DepotSpec([old.spec.host, *more.split()]))

    @conversions.add_back(OldDepot)
    def down(new: Depot) -> OldDepot:
        first, *more = new.spec.hosts
        if more:
            new.metadata.annotations["more"] = " ".join(more)
        return OldDepot(new.metadata, OldDepotSpec(first))

    return conversions


@contextlib.asynccontextmanager
async def converting(hooks: Hooks) -> AsyncIterator[None]:
    """Serve the conversion of Depots while the body runs."""
    client, namespace = hooks.client, hooks.cluster.namespace
    conversions = depots()
    hooks.webhooks.convert(conversions)
    await hooks.serve()
    assert hooks.server is not None
    secret = CertificateSecret(client, namespace, "tls", hosts=["127.0.0.1"])
    at = hooks.webhooks.client_config(conversions, hooks.server.url)
    definition = (await client.install(conversions, conversion=at)).to_dict()
    try:
        await secret.load(hooks.webhooks)
        # The same installation again keeps the authority that was announced meanwhile.
        definition = (await client.install(conversions, conversion=at)).to_dict()
        assert definition["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"]
        await hooks.take_effect()
        yield
    finally:
        await client.delete(CUSTOMRESOURCEDEFINITIONS, definition["metadata"]["name"])


async def test_objects_are_converted_for_each_verb(hooks: Hooks) -> None:
    client, namespace = hooks.client, hooks.cluster.namespace
    async with (
        converting(hooks),
        SharedInformer(client.list_watch(OldDepot.resource, namespace=namespace)) as informer,
    ):
        await informer.synced(timeout=20)
        made = await client.create(Depot, Depot(ObjectMeta(name="a"), DepotSpec(["x", "y"])), namespace=namespace)
        assert made.spec.hosts == ["x", "y"]
        old = await client.get(OldDepot, "a", namespace=namespace)
        assert old.spec.host == "x"
        assert old.metadata.annotations == {"more": "y"}
        await client.create(OldDepot, OldDepot(ObjectMeta(name="b"), OldDepotSpec("z")), namespace=namespace)
        assert [each.spec.hosts for each in await client.list(Depot, namespace=namespace)] == [["x", "y"], ["z"]]
        assert [each.spec.host for each in await client.list(OldDepot, namespace=namespace)] == ["x", "z"]
        old.spec.host = "w"
        await client.replace(OldDepot, old)
        new = await client.get(Depot, "a", namespace=namespace)
        assert new.spec.hosts == ["w", "y"]
        assert new.metadata.annotations == {}
        await client.patch(OldDepot, "b", {"spec": {"host": "v"}}, namespace=namespace)
        await informer.caught_up(await client.get(OldDepot.resource, "b", namespace=namespace))
        cached = {each.name: each.at("spec") for each in informer.lister.list()}
        assert cached == {"a": {"host": "w"}, "b": {"host": "v"}}
        await client.delete(OldDepot, "a", namespace=namespace)
        assert [each.spec.hosts for each in await client.list(Depot, namespace=namespace)] == [["v"]]


async def test_a_list_is_converted_however_long_the_answer_of_the_webhook_is(hooks: Hooks) -> None:
    client, namespace = hooks.client, hooks.cluster.namespace
    async with converting(hooks):
        for number in range(30):
            one = Depot(ObjectMeta(name=f"d{number:02}"), DepotSpec([f"h{number}" + "x" * 20_000]))
            await client.create(Depot, one, namespace=namespace)
        listed = await client.list(OldDepot, namespace=namespace)
        assert [each.spec.host.rstrip("x") for each in listed] == [f"h{number}" for number in range(30)]


async def test_a_new_certificate_refuses_no_request(hooks: Hooks) -> None:
    client, namespace = hooks.client, hooks.cluster.namespace

    @hooks.webhooks.validating(CONFIGMAPS, namespace_selector=hooks.here)
    async def look(request: AdmissionRequest[KubeObject]) -> Allow | Deny:
        return Allow()

    await hooks.serve(look_every=0.02)
    assert hooks.server is not None
    shown = set()
    for number in range(30):
        if number % 10 == 5:
            # A certificate that cannot be used is renewed at the next look, by the same authority.
            await client.patch(SECRETS, "tls", {"data": {"tls.key": ""}}, namespace=namespace)
        await client.create(CONFIGMAPS, {"metadata": {"name": f"c{number}", "namespace": namespace}})
        await asyncio.sleep(0.01)
        pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", hooks.server.port))
        shown.add(pem)
    assert len(shown) >= 2
