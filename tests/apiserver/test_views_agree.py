"""kubectl, kubernetes_asyncio and kinformer look at the same server and see the same, object for object."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import kubernetes_asyncio
import pytest

from kinformer import Resource, SharedInformerFactory
from kinformer.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    PODS,
    SECRETS,
    SERVICES,
    find_resource,
)
from kinformer.testing import build
from tests.apiserver.following import caught_up, versions

if TYPE_CHECKING:
    from pathlib import Path

    from kinformer import Client
    from tests.apiserver.clusters import Cluster

pytestmark = pytest.mark.peer

KUBECTL = os.environ.get("KINFORMER_KUBECTL") or shutil.which("kubectl")
KINDS = (PODS, CONFIGMAPS, SECRETS, SERVICES, DEPLOYMENTS, JOBS)


def objects(space: str) -> list[dict[str, Any]]:
    """One or two of each kind, with what makes objects differ: labels, annotations, odd characters, owners."""
    web = build.deployment("web", space, replicas=3, labels={"tier": "front"})
    return [
        web,
        build.deployment("db", space, replicas=0),
        build.pod("web-0", space, node="node-1", annotations={"note": 'line 1\nline "2"\t\\ ü 𐍈'}),
        build.pod("web-1", space, labels={"app": "web", "empty": ""}),
        build.config_map("settings", space, data={"level": "debug", "motto": "<&> ü"}),
        build.config_map("empty", space),
        build.secret("password", space, data={"password": "only a test"}),
        build.service("web", space, port=80, target_port=8080),
        build.job("backup", space, completions=2),
    ]


async def kubectl(cluster: Cluster, home: Path, *args: str) -> str:
    if KUBECTL is None:
        if os.environ.get("KINFORMER_REQUIRE_KUBECTL"):
            pytest.fail("KINFORMER_REQUIRE_KUBECTL is set, and there is no kubectl")
        pytest.skip("there is no kubectl: install kubernetes-client, or set KINFORMER_KUBECTL")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(cluster.kubeconfig())}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(KUBECTL, *args, env=env, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def resource_of(manifest: dict[str, Any]) -> Resource:
    found = find_resource(manifest["kind"].lower())
    assert found is not None
    return found


async def test_three_clients_see_the_same_objects(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    space = cluster.namespace
    factory = SharedInformerFactory(client, namespace=space)
    informers = {resource: factory.informer(resource) for resource in KINDS}
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        for manifest in objects(space):
            await client.create(resource_of(manifest), manifest)
        running = build.pod("web-0", space, node="node-1", phase="Running")
        await client.patch_status(PODS, "web-0", {"status": running["status"]}, namespace=space)
        for resource, informer in informers.items():
            await caught_up(cluster, resource, informer)

        configuration = kubernetes_asyncio.client.Configuration(host=cluster.url)
        configuration.ssl_ca_cert = str(cluster.ca_file)
        configuration.api_key = {"BearerToken": f"Bearer {cluster.token}"}
        async with kubernetes_asyncio.client.ApiClient(configuration) as api:
            core, apps = kubernetes_asyncio.client.CoreV1Api(api), kubernetes_asyncio.client.AppsV1Api(api)
            batch = kubernetes_asyncio.client.BatchV1Api(api)
            lists: dict[Resource, Any] = {
                PODS: core.list_namespaced_pod,
                CONFIGMAPS: core.list_namespaced_config_map,
                SECRETS: core.list_namespaced_secret,
                SERVICES: core.list_namespaced_service,
                DEPLOYMENTS: apps.list_namespaced_deployment,
                JOBS: batch.list_namespaced_job,
            }
            for resource, informer in informers.items():
                ours = {obj.name: obj for obj in informer.lister.list()}
                asked = ("get", resource.qualified, "-n", space, "-o", "json", "--show-managed-fields")
                shown = json.loads(await kubectl(cluster, tmp_path, *asked))
                theirs = {item["metadata"]["name"]: item for item in shown["items"]}
                assert theirs.keys() == ours.keys()
                assert ours
                for name, item in theirs.items():
                    whole = ours[name].to_dict()
                    # Items of a list have no kind of their own; kubectl fills it in, from the list's.
                    assert whole | {"apiVersion": resource.api_version, "kind": resource.kind} == item
                listed = await lists[resource](space)
                models = {item.metadata.name: item for item in listed.items}
                assert models.keys() == ours.keys()
                for name, model in models.items():
                    wanted = api.sanitize_for_serialization(ours[name].to_model())
                    wanted.pop("apiVersion", None), wanted.pop("kind", None)
                    got = api.sanitize_for_serialization(model)
                    got.pop("apiVersion", None), got.pop("kind", None)
                    assert got == wanted


async def test_kubectls_writes_are_seen_and_ours_by_kubectl(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    space = cluster.namespace
    factory = SharedInformerFactory(client, namespace=space)
    maps = factory.informer(CONFIGMAPS)
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        file = tmp_path / "by-kubectl.json"
        file.write_text(json.dumps(build.config_map("by-kubectl", space, data={"a": "1"})))
        await kubectl(cluster, tmp_path, "create", "-f", str(file))
        await kubectl(cluster, tmp_path, "apply", "--server-side", "--force-conflicts", "-f", str(file))
        await client.create(CONFIGMAPS, build.config_map("by-us", space, data={"a": "2"}))
        await kubectl(cluster, tmp_path, "label", "configmap", "by-us", "seen=yes", "-n", space)
        await caught_up(cluster, CONFIGMAPS, maps)
        cached = {obj.name: (obj["data"]["a"], obj.labels.get("seen")) for obj in maps.lister.list()}
        assert {name: value for name, value in cached.items() if name.startswith("by-")} == {
            "by-kubectl": ("1", None),
            "by-us": ("2", "yes"),
        }
        names = await kubectl(cluster, tmp_path, "get", "cm", "-n", space, "-o", "name")
        assert {name.partition("/")[2] for name in names.split()} == cached.keys()
        await kubectl(cluster, tmp_path, "delete", "configmap", "by-us", "-n", space)
        await caught_up(cluster, CONFIGMAPS, maps)
        assert f"{space}/by-us" not in versions(maps)


async def test_every_manifest_of_build_is_taken_as_it_is(cluster: Cluster, client: Client) -> None:
    space = cluster.namespace
    node = build.node(f"node-{space}", cpu="8", ready=False)
    for manifest in [*objects(space), node]:
        resource = resource_of(manifest)
        made = await client.create(resource, manifest)
        again = await client.get(resource, made)
        assert made.to_dict() == again.to_dict()
    await client.delete(NODES, f"node-{space}")
