"""The controller of docs/how-to/write-a-controller.md on both servers, with the rights of its page and no others."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import re
from typing import TYPE_CHECKING, Any, Literal

import pytest
import yaml

from kinformer import Client, ClusterConfig, NotFoundError, Resource, SharedInformerFactory
from kinformer.operators.leader_election import LeaderElector
from kinformer.operators.status_conditions import is_condition
from kinformer.resources import CUSTOMRESOURCEDEFINITIONS, DEPLOYMENTS, LEASES
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from types import ModuleType

    from kinformer import KubeObject
    from tests.apiserver.clusters import Cluster

PAGE = ROOT / "docs" / "how-to" / "write-a-controller.md"
FILES: dict[str, str] = dict(
    re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', PAGE.read_text(), re.MULTILINE | re.DOTALL)
)
USER = "site-operator"
RBAC = "rbac.authorization.k8s.io"


@pytest.fixture
def site_operator(tmp_path: Path) -> ModuleType:
    path = tmp_path / "site_operator.py"
    path.write_text(FILES["site_operator.py"])
    spec = importlib.util.spec_from_file_location("site_operator", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def operators_client(cluster: Cluster, client: Client) -> AsyncIterator[Client]:
    """A client of a user with the rights of rbac.yaml; the definition of sites is there as long."""
    await client.create(CUSTOMRESOURCEDEFINITIONS, yaml.safe_load(FILES["crd.yaml"]))
    made: list[tuple[Resource, str, str | None]] = []
    for role in yaml.safe_load_all(FILES["rbac.yaml"]):
        kind, name, namespace = role["kind"], role["metadata"]["name"], role["metadata"].get("namespace")
        reference = {"apiGroup": RBAC, "kind": kind, "name": name}
        subject = {"apiGroup": RBAC, "kind": "User", "name": USER}
        binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        for what, manifest in ((kind, role), (f"{kind}Binding", binding)):
            resource = Resource(RBAC, "v1", f"{what.lower()}s", what, namespaced=namespace is not None)
            await client.create(resource, manifest, namespace=namespace)
            made.append((resource, name, namespace))
    certificate, key = cluster.client_certificate(USER)
    config = ClusterConfig.for_server(cluster.url, ca_file=cluster.ca_file, cert_file=certificate, key_file=key)
    async with Client(config, timeout=4) as operators:
        yield operators
    for resource, name, namespace in made:
        await client.delete(resource, name, namespace=namespace)
    with contextlib.suppress(NotFoundError):
        await client.delete(LEASES, USER, namespace="default")
    await client.delete(CUSTOMRESOURCEDEFINITIONS, "sites.example.com")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_the_controller_of_the_how_to_works_with_the_rights_of_its_page(
    cluster: Cluster, client: Client, operators_client: Client, site_operator: ModuleType
) -> None:
    sites: Resource = site_operator.SITES
    where: dict[str, Any] = {"namespace": cluster.namespace}

    async def found(resource: Resource, name: str) -> KubeObject | None:
        try:
            return await client.get(resource, name, **where)
        except NotFoundError:
            return None

    async def replicas(name: str) -> int:
        deployment = await found(DEPLOYMENTS, name)
        return -1 if deployment is None else int(deployment["spec"]["replicas"])

    async def has_replicas(name: str, count: int) -> bool:
        return await replicas(name) == count

    async def replica(identity: str) -> None:
        factory = SharedInformerFactory(operators_client)
        elector = LeaderElector(operators_client, USER, namespace="default", identity=identity)
        async with factory:
            controller = site_operator.site_controller(operators_client, factory, leader=elector)
            controllers[identity] = controller
            await controller.run()

    controllers: dict[str, Any] = {}

    async def works(identity: str) -> bool:
        return identity in controllers and controllers[identity].status.state == "running"

    async def is_ready(status: Literal["True", "False"]) -> bool:
        return is_condition(await found(sites, "shop"), "Ready", status)

    async def rests() -> bool:
        before = [await found(resource, "shop") for resource in (sites, DEPLOYMENTS)]
        await asyncio.sleep(1)
        return before == [await found(resource, "shop") for resource in (sites, DEPLOYMENTS)]

    async with asyncio.TaskGroup() as group:
        first = group.create_task(replica("first"))
        await until(lambda: works("first"))
        second = group.create_task(replica("second"))
        await client.create(sites, {"metadata": {"name": "shop"}, "spec": {"image": "shop:1", "replicas": 2}}, **where)
        await until(lambda: is_ready("False"))
        assert await replicas("shop") == 2
        up = {"status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}}
        await client.patch_status(DEPLOYMENTS, "shop", up, **where)
        await until(lambda: is_ready("True"))
        # A change by another client is put right, and then it rests: applying the same state changes no version.
        await client.patch(DEPLOYMENTS, "shop", {"spec": {"replicas": 7}}, **where)
        await until(lambda: has_replicas("shop", 2))
        await until(rests)
        first.cancel()
        await until(lambda: works("second"))
        await client.create(sites, {"metadata": {"name": "cafe"}, "spec": {"image": "cafe:1"}}, **where)
        await until(lambda: has_replicas("cafe", 1))
        assert controllers["first"].status.failing == controllers["second"].status.failing == {}
        second.cancel()
