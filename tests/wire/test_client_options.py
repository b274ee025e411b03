"""Options of a client that the server sees: field validation, warnings, another user; and scale and evictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Client, ClusterConfig, ForbiddenError, NotStartedError, SharedInformerFactory, WaitTimeoutError
from kinformer.errors import BadRequestError
from kinformer.operators.event_recorder import EventRecorder
from kinformer.operators.evictions import evict
from kinformer.resources import CONFIGMAPS, DEPLOYMENTS, EVENTS, PODDISRUPTIONBUDGETS, PODS, Resource
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.usefixtures("server")

SELF = Resource(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False, watchable=False
)
TYPO: dict[str, Any] = {
    "metadata": {"name": "web"},
    "spec": {
        "replicass": 2,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


def config(server: ApiServer) -> ClusterConfig:
    return ClusterConfig.for_server(server.url)


async def test_a_strict_client_is_refused_a_typo_in_each_verb(server: ApiServer) -> None:
    async with Client(config(server), field_validation="Strict") as client:
        named: Any = {"namespace": "default"}
        with pytest.raises(BadRequestError, match="spec.replicass"):
            await client.create(DEPLOYMENTS, TYPO, **named)
        good = {**TYPO, "spec": {key: value for key, value in TYPO["spec"].items() if key != "replicass"}}
        await client.create(DEPLOYMENTS, good, **named)
        with pytest.raises(BadRequestError, match="spec.replicass"):
            await client.replace(DEPLOYMENTS, TYPO, **named)
        with pytest.raises(Exception, match="spec.replicass"):
            await client.patch(DEPLOYMENTS, "web", {"spec": {"replicass": 2}}, **named)
        await client.patch(DEPLOYMENTS, "web", {"spec": {"replicass": 2}}, field_validation="Ignore", **named)


async def test_warnings_of_the_server_reach_the_function(server: ApiServer) -> None:
    texts: list[str] = []
    async with Client(config(server), on_warning=texts.append) as client:
        await client.create(DEPLOYMENTS, TYPO, namespace="default")
        assert texts == ['unknown field "spec.replicass"']
        await client.delete(DEPLOYMENTS, "web", namespace="default")
        await client.create(DEPLOYMENTS, TYPO, namespace="default", field_validation="Ignore")
        assert len(texts) == 1


async def test_without_a_function_each_text_is_logged_once(server: ApiServer, caplog: pytest.LogCaptureFixture) -> None:
    async with Client(config(server)) as client:
        for name in ("a", "b"):
            await client.create(DEPLOYMENTS, {**TYPO, "metadata": {"name": name}}, namespace="default")
    assert caplog.messages == ['the API server warns: unknown field "spec.replicass"']


async def test_wrong_options_are_refused_at_once(server: ApiServer) -> None:
    with pytest.raises(ValueError, match="'strict' is no field validation; known are Strict, Warn and Ignore"):
        Client(field_validation="strict")  # type: ignore[arg-type]  # that is the point
    async with Client(config(server)) as client:
        with pytest.raises(ValueError, match="'No' is no field validation"):
            await client.create(CONFIGMAPS, {"metadata": {"name": "a"}}, namespace="default", field_validation="No")  # type: ignore[call-overload]  # that is the point


async def test_a_client_acts_as_another_user_with_the_settings_of_the_first(server: ApiServer) -> None:
    texts: list[str] = []
    async with Client(config(server), field_validation="Strict", on_warning=texts.append) as client:
        extra = {"example.com/project": ["p", "q"]}
        async with client.as_user("jane", groups=["developers", "qa"], uid="7", extra=extra) as jane:
            found = (await jane.create(SELF, {}))["status"]["userInfo"]
            assert found["username"] == "jane"
            assert {"developers", "qa", "system:authenticated"} <= set(found["groups"])
            assert found["uid"] == "7"
            assert found["extra"] == {"example.com/project": ["p", "q"]}
            with pytest.raises(BadRequestError, match="spec.replicass"):
                await jane.create(DEPLOYMENTS, TYPO, namespace="default")
            async with jane.as_user("joe") as joe:
                assert (await joe.create(SELF, {}))["status"]["userInfo"]["username"] == "joe"
        assert (await client.create(SELF, {}))["status"]["userInfo"]["username"] != "jane"
        with pytest.raises(ValueError, match="as_user needs the name of a user"):
            client.as_user("")
        with pytest.raises(ValueError, match=r"give a list, as in groups=\['admins'\]"):
            client.as_user("jane", groups="admins")
    with pytest.raises(NotStartedError, match="use as_user inside of"):
        Client().as_user("jane")


async def test_another_user_has_its_own_rights() -> None:
    async with ApiServer(rbac=True) as server, Client(config(server)) as client, client.as_user("jane") as jane:
        with pytest.raises(ForbiddenError, match='User "jane" cannot list resource "pods"'):
            await jane.list(PODS)
        await client.list(PODS)


async def test_writes_as_another_user_are_in_the_caches_of_the_first_client(server: ApiServer) -> None:
    async with Client(config(server)) as client, client.as_user("jane") as jane:
        factory = SharedInformerFactory(client)
        maps = factory.informer(CONFIGMAPS)
        async with factory:
            await factory.wait_for_cache_sync()
            made = await jane.create(CONFIGMAPS, {"metadata": {"name": "a"}}, namespace="default")
            await maps.caught_up(made)
            assert maps.lister.get("a", namespace="default") == made


async def test_scale_sets_the_replicas(server: ApiServer) -> None:
    async with Client(config(server)) as client:
        await client.create(DEPLOYMENTS, TYPO, namespace="default", field_validation="Ignore")
        scaled = await client.scale("deployments", "web", 3, namespace="default")
        assert scaled["kind"] == "Scale"
        assert scaled["spec"]["replicas"] == 3
        assert (await client.get(DEPLOYMENTS, "web", namespace="default"))["spec"]["replicas"] == 3
        with pytest.raises(ValueError, match="replicas=-1; expected 0 or more"):
            await client.scale("deployments", "web", -1, namespace="default")


def pod(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }


async def ready(client: Client, name: str) -> None:
    conditions = [{"type": "Ready", "status": "True"}]
    await client.patch_status(
        PODS, name, {"status": {"phase": "Running", "conditions": conditions}}, namespace="default"
    )


async def budget(client: Client, allowed: int) -> None:
    status = {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}
    made = await client.get(PODDISRUPTIONBUDGETS, "web", namespace="default")
    await client.patch_status(
        PODDISRUPTIONBUDGETS,
        "web",
        {"status": {**status, "observedGeneration": made.generation}},
        namespace="default",
    )


async def test_an_eviction_waits_for_the_budget(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinformer.operators.evictions.SECONDS_BETWEEN_EVICTIONS", 0.05)
    async with Client(config(server), retry=None) as client:
        made = await client.create(PODS, pod("a"))
        await ready(client, "a")
        spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
        await client.create(PODDISRUPTIONBUDGETS, {"metadata": {"name": "web"}, "spec": spec}, namespace="default")
        await budget(client, 0)
        with pytest.raises(WaitTimeoutError, match="pod default/a was not evicted within 0.01 s: .*budget"):
            await evict(client, "a", namespace="default", timeout=0.01)
        assert (await client.get(PODS, "a", namespace="default")).deletion_timestamp is None
        await budget(client, 1)
        assert await evict(client, made, dry_run=True)
        assert await evict(client, made, timeout=30, grace_period_seconds=0)
        assert not await evict(client, "a", namespace="default")
        with pytest.raises(ValueError, match="give the one of 'a' as namespace="):
            await evict(client, "a")


async def test_an_event_names_a_related_object(server: ApiServer) -> None:
    async with Client(config(server)) as client:
        first, second = await client.create(PODS, pod("a")), await client.create(PODS, pod("b"))
        async with EventRecorder(client, "test") as recorder:
            recorder.normal(first, "Moved", "its work goes to b", action="Move", related=second)
            recorder.normal(first, "Moved", "its work goes to b", action="Move")
        events = sorted(await client.list(EVENTS), key=lambda event: "related" in event)
        assert [event["action"] for event in events] == ["Move", "Move"]
        assert "related" not in events[0]
        expected = {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "b", "uid": second.uid}
        assert events[1]["related"] == expected
