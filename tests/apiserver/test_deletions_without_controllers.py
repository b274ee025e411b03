"""Deletions on a kube-apiserver without a controller manager, and on an embedded one with `controllers="none"`.

Nothing follows on them: what a controller would do stays undone, and shows in the objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.apiserver.clusters import Cluster

Answer = tuple[int, dict[str, Any]]


class Asker:
    """Asks a server without controllers, in a namespace of its own."""

    def __init__(self, http: aiohttp.ClientSession, namespace: str) -> None:
        self._http = http
        self.namespace = namespace

    async def __call__(self, method: str, path: str, body: Any = None) -> Answer:
        async with self._http.request(method, path.replace("NS", self.namespace), json=body) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def ask(cluster: Cluster) -> AsyncIterator[Asker]:
    if cluster.name == "real":
        async with cluster.http() as http:
            yield Asker(http, cluster.namespace)
        return
    server = ApiServer(controllers="none")
    server.create(build.namespace("bare"))
    async with server, aiohttp.ClientSession(server.url) as http:
        yield Asker(http, "bare")


MAPS = "/api/v1/namespaces/NS/configmaps"
SETS = "/apis/apps/v1/namespaces/NS/replicasets"


def shown(answer: Answer) -> tuple[Any, ...]:
    """The part of an answer that a deletion shapes."""
    code, body = answer
    metadata = body.get("metadata", {})
    if body["kind"] == "Status":
        return code, body["status"], body.get("message", "")
    return (
        *(code, body["kind"], metadata.get("finalizers"), "deletionTimestamp" in metadata),
        metadata.get("deletionGracePeriodSeconds"),
    )


def replica_set(name: str) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "registry.example.com/c:v1"}]},
    }
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


async def owned(ask: Asker, name: str) -> dict[str, Any]:
    """A ReplicaSet that owns a ConfigMap of its name; returns the ReplicaSet."""
    _, owner = await ask("POST", SETS, replica_set(name))
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": owner["metadata"]["uid"]}
    code, _ = await ask("POST", MAPS, {"metadata": {"name": name, "ownerReferences": [reference]}})
    assert code == 201
    return owner


async def test_a_deleted_namespace_stays_terminating_with_its_content(ask: Asker) -> None:
    await ask("POST", MAPS, {"metadata": {"name": "kept"}})
    code, deleted = await ask("DELETE", "/api/v1/namespaces/NS")
    assert (code, deleted["status"]["phase"], deleted["spec"]) == (200, "Terminating", {"finalizers": ["kubernetes"]})
    assert shown((code, deleted)) == (200, "Namespace", None, True, None)
    assert shown(await ask("GET", f"{MAPS}/kept")) == (200, "ConfigMap", None, False, None)

    code, refused = await ask("POST", MAPS, {"metadata": {"name": "late"}})
    why = f"unable to create new content in namespace {ask.namespace} because it is being terminated"
    assert (code, refused["message"]) == (403, f'configmaps "late" is forbidden: {why}')
    assert refused["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {ask.namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    # The content may still change, and go.
    assert (await ask("PUT", f"{MAPS}/kept", {"metadata": {"name": "kept"}, "data": {"a": "b"}}))[0] == 200
    assert shown(await ask("DELETE", f"{MAPS}/kept")) == (200, "Success", "")
    # The namespace is empty, and its finalizer stays.
    assert shown(await ask("GET", "/api/v1/namespaces/NS")) == (200, "Namespace", None, True, None)
    assert shown(await ask("DELETE", "/api/v1/namespaces/NS")) == (200, "Namespace", None, True, None)


async def test_who_finalizes_a_namespace_without_finalizers_removes_it(ask: Asker) -> None:
    _, deleted = await ask("DELETE", "/api/v1/namespaces/NS")
    code, _ = await ask("PUT", "/api/v1/namespaces/NS/finalize", deleted | {"spec": {"finalizers": []}})
    assert code == 200
    assert (await ask("GET", "/api/v1/namespaces/NS"))[0] == 404


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan"), ("Background", "")]
)
async def test_the_policy_of_a_deletion_stays_as_a_finalizer(ask: Asker, policy: str, finalizer: str) -> None:
    name = policy.lower()
    await owned(ask, name)
    answer = await ask("DELETE", f"{SETS}/{name}", {"propagationPolicy": policy})
    if finalizer:
        assert shown(answer) == (200, "ReplicaSet", [finalizer], True, 0)
        assert shown(await ask("GET", f"{SETS}/{name}")) == (200, "ReplicaSet", [finalizer], True, 0)
        # The finalizer may be taken away by hand; then the owner is gone.
        patched = await ask("GET", f"{SETS}/{name}")
        del patched[1]["metadata"]["finalizers"]
        assert (await ask("PUT", f"{SETS}/{name}", patched[1]))[0] == 200
    else:
        assert shown(answer) == (200, "Success", "")
    assert (await ask("GET", f"{SETS}/{name}"))[0] == 404
    # The dependent stays, with its owner.
    _, dependent = await ask("GET", f"{MAPS}/{name}")
    assert [one["name"] for one in dependent["metadata"]["ownerReferences"]] == [name]


async def test_a_later_policy_takes_the_place_of_the_first(ask: Asker) -> None:
    await owned(ask, "turned")
    await ask("DELETE", f"{SETS}/turned", {"propagationPolicy": "Foreground"})
    orphaned = await ask("DELETE", f"{SETS}/turned", {"propagationPolicy": "Orphan"})
    assert shown(orphaned) == (200, "ReplicaSet", ["orphan"], True, 0)
    kept = await ask("DELETE", f"{SETS}/turned")
    assert shown(kept) == (200, "ReplicaSet", ["orphan"], True, 0)
    gone = await ask("DELETE", f"{SETS}/turned", {"propagationPolicy": "Background"})
    assert shown(gone)[:2] == (200, "Success")


async def test_a_collection_that_goes_in_the_foreground_stays(ask: Asker) -> None:
    for name in ("one", "two"):
        await ask("POST", SETS, replica_set(name))
    code, _ = await ask("DELETE", SETS, {"propagationPolicy": "Foreground"})
    _, left = await ask("GET", SETS)
    assert code == 200
    assert [one["metadata"]["finalizers"] for one in left["items"]] == [["foregroundDeletion"]] * 2


async def test_a_claim_that_is_deleted_keeps_its_protection(ask: Asker) -> None:
    claims = "/api/v1/namespaces/NS/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await ask("POST", claims, {"metadata": {"name": "c"}, "spec": spec})
    protected = (200, "PersistentVolumeClaim", ["kubernetes.io/pvc-protection"], True, 0)
    assert shown(await ask("DELETE", f"{claims}/c")) == protected
    assert shown(await ask("GET", f"{claims}/c")) == protected


async def test_a_job_is_orphaned_unless_the_request_says_otherwise(ask: Asker) -> None:
    jobs = "/apis/batch/v1/namespaces/NS/jobs"
    spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "registry.example.com/c:v1"}]}
    await ask("POST", jobs, {"metadata": {"name": "j"}, "spec": {"template": {"spec": spec}}})
    assert shown(await ask("DELETE", f"{jobs}/j")) == (200, "Job", ["orphan"], True, 0)
