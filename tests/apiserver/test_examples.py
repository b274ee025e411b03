"""The examples at work. What a real cluster's own controllers and kubelets would do, the tests do: neither server has
any."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from examples import gateway, namespace_labels, sharded_checksums, shop_operator, spawner
from kinformer import (
    AlreadyExistsError,
    Client,
    NotFoundError,
    ObjectKey,
    Resource,
    SharedInformerFactory,
    WaitTimeoutError,
)
from kinformer.operators.owners import is_owned_by
from kinformer.operators.shard_status import SliceState
from kinformer.operators.wait_conditions import condition_is, condition_true, deleted, field_equals
from kinformer.resources import CONFIGMAPS, DEPLOYMENTS, EVENTS, LEASES, NAMESPACES, PODS
from tests.forked_programs import ForkedPrograms
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator

    from kinformer import KubeObject
    from tests.apiserver.clusters import Cluster

EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))
COMMANDS = [program for program in PROGRAMS if "ArgumentParser" in (EXAMPLES / program).read_text()]

_CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)


async def install(client: Client, file: str) -> None:
    """Post the CRDs of a file, unless an earlier test did, and wait until they are served."""
    for document in yaml.safe_load_all((EXAMPLES / file).read_text()):
        if document["kind"] != "CustomResourceDefinition":
            continue
        with contextlib.suppress(AlreadyExistsError):
            await client.create(_CRDS, document)
        spec = document["spec"]
        served = Resource(spec["group"], spec["versions"][0]["name"], spec["names"]["plural"], spec["names"]["kind"])
        await until(functools.partial(client.list, served), NotFoundError)


async def until(look: Callable[[], Awaitable[Any]], *not_yet: type[Exception], seconds: float = 30) -> Any:
    """Ask again and again until the answer is neither false nor one of these errors."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(*not_yet):
                answer = await look()
                if answer is not None and answer is not False:
                    return answer
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[None]:
    """Have something run beside the body."""
    async with asyncio.TaskGroup() as group:

        async def run() -> None:
            await work

        task = group.create_task(run())
        yield
        task.cancel()


@pytest.fixture(scope="module")
def forked() -> Iterator[ForkedPrograms]:
    imports = ("kinformer.client", "kinformer.controller", "kinformer.informer", "kinformer.fleet", "aiohttp.web")
    with ForkedPrograms(*imports, warnings="error") as programs:
        yield programs


@pytest.mark.parametrize("program", COMMANDS)
def test_each_says_what_it_takes(program: str, forked: ForkedPrograms) -> None:
    said = forked.run([str(EXAMPLES / program), "--help"], env={"PYTHONPATH": str(EXAMPLES.parent)})
    assert (said.code, said.err) == (0, "")
    # A fleet takes a directory of kubeconfigs.
    assert ("--directory" if program == "fleet_labels.py" else "--kubeconfig") in said.out


# The shop operator


def shop(replicas: int = 2) -> dict[str, Any]:
    return {"metadata": {"name": "corner"}, "spec": {"replicas": replicas, "image": "shop:1"}}


async def roll_out(client: Client, deployment: KubeObject) -> None:
    """Do what Kubernetes' own controllers do for a Deployment."""
    replicas = deployment.at("spec.replicas")
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
    status = {"observedGeneration": deployment.at("metadata.generation"), **counts}
    await client.patch_status(DEPLOYMENTS, deployment, {"status": status})


async def test_a_shop_has_one_deployment_as_long_as_it_lives(cluster: Cluster, client: Client) -> None:
    await client.install(shop_operator.Shop)
    where = cluster.namespace
    said: list[str] = []
    factory = SharedInformerFactory(client, namespace=where)
    operator = shop_operator.ShopOperator(client, factory, say=lambda shop, reason, message: said.append(reason))
    shops, deployments = operator.shops.informer, operator.deployments
    async with factory, operator.controller:
        made = await client.create(shop_operator.Shop.resource, shop(), namespace=where)
        waiting = await shops.wait_for(made.key, condition_is("Ready", "False"), 20)
        assert waiting is not None
        assert operator.finalizer.is_on(waiting)
        deployment = deployments.lister.get(made.key)
        assert deployment is not None
        assert is_owned_by(deployment, made, controller=True)
        await roll_out(client, deployment)
        await shops.wait_for(made.key, condition_true("Ready", current=True), 20)

        # Changed by hand, and by its owner.
        await client.patch(DEPLOYMENTS, deployment, {"spec": {"replicas": 7}})
        await deployments.wait_for(made.key, field_equals("spec.replicas", 2), 20)
        await client.patch(shop_operator.Shop.resource, made, {"spec": {"replicas": 3, "image": "shop:2"}})
        changed = await deployments.wait_for(made.key, field_equals("spec.replicas", 3), 20)
        assert changed is not None
        assert changed.at("spec.template.spec.containers.0.image") == "shop:2"
        await client.delete(DEPLOYMENTS, deployment)
        again = await deployments.wait_for(made.key, lambda obj: obj is not None and obj.uid != deployment.uid, 20)
        assert again is not None

        await client.delete(shop_operator.Shop.resource, made)
        await shops.wait_for(made.key, deleted(made), 20)
        await deployments.wait_for(made.key, deleted(), 20)
        assert len(await client.list(DEPLOYMENTS, namespace=where)) == 0
    assert said[0] == "Created"
    assert said[-1] == "Deleted"
    assert operator.controller.own_write_timeouts == 0


async def test_a_deployment_of_somebody_else_is_left_alone_and_said_so(cluster: Cluster, client: Client) -> None:
    await client.install(shop_operator.Shop)
    where = cluster.namespace
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    theirs = {"metadata": {"name": "corner"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    kept = await client.create(DEPLOYMENTS, theirs, namespace=where)
    factory = SharedInformerFactory(client, namespace=where)
    operator = shop_operator.ShopOperator(client, factory)
    async with factory, operator.controller:
        made = await client.create(shop_operator.Shop.resource, shop(), namespace=where)
        found = await operator.shops.informer.wait_for(made.key, condition_is("Ready", "False"), 20)
        assert found is not None
        assert found.at("status.conditions.0.reason") == "NameTaken"
        await client.delete(shop_operator.Shop.resource, made)
        await operator.shops.informer.wait_for(made.key, deleted(made), 20)
    assert (await client.get(DEPLOYMENTS, kept)).resource_version == kept.resource_version


LEASE = 6
"""Seconds: short, because this test is on the real clock; long enough for a leader on a busy machine to renew."""


async def test_when_the_leader_is_killed_another_replica_goes_on_within_a_lease(
    cluster: Cluster, client: Client
) -> None:
    await client.install(shop_operator.Shop)
    where = cluster.namespace
    loop = asyncio.get_running_loop()
    config = str(cluster.kubeconfig())

    async def start(identity: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLES / "shop_operator.py"), "--kubeconfig", config, "--namespace", where),
            *("--only", where, "--identity", identity, "--lease", str(LEASE)),
            env={"PYTHONPATH": str(EXAMPLES.parent)},
            stderr=asyncio.subprocess.PIPE,
        )

    async def holder() -> str:
        lease = await client.get(LEASES, shop_operator.MANAGER, namespace=where)
        return str(lease.at("spec.holderIdentity"))

    async def settled(name: str) -> KubeObject:
        return await client.get(DEPLOYMENTS, name, namespace=where)

    one = await start("one")
    two = None
    try:
        await until(holder, NotFoundError)
        two = await start("two")
        await client.create(shop_operator.Shop.resource, shop(), namespace=where)
        await until(lambda: settled("corner"), NotFoundError)
        assert two.stderr is not None
        async with asyncio.timeout(30):
            # It waits, and has seen the leader.
            while b"two sees that one leads" not in await two.stderr.readline():
                pass
        # Long enough for its watch to be open.
        await asyncio.sleep(1)
        one.send_signal(signal.SIGKILL)
        killed = loop.time()
        await one.wait()
        second = shop() | {"metadata": {"name": "second"}}
        await client.create(shop_operator.Shop.resource, second, namespace=where)

        async def taken_over() -> bool:
            return await holder() == "two"

        await until(taken_over)
        took = loop.time() - killed
        # The last renewal was before the kill. The unit tests have the exact time; a busy machine takes longer.
        assert took < 10 * LEASE
        await until(lambda: settled("second"), NotFoundError)
        lease = await client.get(LEASES, shop_operator.MANAGER, namespace=where)
        assert lease.at("spec.leaseTransitions") == 1
        assert len(await client.list(DEPLOYMENTS, namespace=where)) == 2
        # Asked to end, it gives the lease back.
        two.send_signal(signal.SIGTERM)
        assert await two.wait() == 0
        assert await holder() == ""
        events = await client.list(EVENTS, namespace=where, field_selector="reason=Created")
        assert {event.at("involvedObject.name") for event in events} == {"corner", "second"}
    finally:
        for process in (one, two):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()


# Labels of namespaces


async def test_namespaces_are_labelled_as_the_config_map_says(cluster: Cluster, client: Client) -> None:
    name = f"team-{cluster.namespace}"
    rules = ObjectKey(cluster.namespace, "namespace-labels")

    def config(text: str) -> dict[str, Any]:
        return {"metadata": {"name": rules.name, "namespace": rules.namespace}, "data": {"rules": text}}

    await client.create(NAMESPACES, {"metadata": {"name": name, "labels": {"by": "hand"}}}, field_manager="somebody")
    await client.create(CONFIGMAPS, config(f"{name}: billing=teams, tier=gold\nothers-*: tier=none"))
    factory = SharedInformerFactory(client)
    labels = namespace_labels.NamespaceLabels(client, factory, rules)
    namespaces = labels.namespaces
    key = ObjectKey("", name)

    def has(**wanted: str | None) -> Callable[[KubeObject | None], bool]:
        return lambda obj: obj is not None and {name: obj.labels.get(name) for name in wanted} == wanted

    async with factory, labels.controller:
        await namespaces.wait_for(key, has(billing="teams", tier="gold", by="hand"), 20)
        # Taken off by hand, it comes back; a line less, and it goes.
        await client.patch(NAMESPACES, name, {"metadata": {"labels": {"tier": None}}})
        await namespaces.wait_for(key, has(tier="gold"), 20)
        await client.replace(CONFIGMAPS, config(f"{name}: billing=teams"))
        await namespaces.wait_for(key, has(billing="teams", tier=None, by="hand"), 20)
        # A label that has an owner stays as it is, and the others are set all the same.
        await client.replace(CONFIGMAPS, config(f"{name}: by=rule, billing=others"))
        await namespaces.wait_for(key, has(by="hand", billing="others"), 20)
        # A namespace that is made later.
        await client.replace(CONFIGMAPS, config("late-*: tier=late"))
        await client.create(NAMESPACES, {"metadata": {"name": f"late-{cluster.namespace}"}})
        await namespaces.wait_for(ObjectKey("", f"late-{cluster.namespace}"), has(tier="late"), 20)
        await namespaces.wait_for(key, has(billing=None, by="hand"), 20)


# Servers of users


async def is_running(client: Client, pod: KubeObject | str, namespace: str) -> None:
    """Do what a kubelet does for a pod."""
    ready = {"type": "Ready", "status": "True"}
    status = {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [ready]}
    await client.patch_status(PODS, pod, {"status": status}, namespace=namespace)


async def happens(client: Client, pod: KubeObject, message: str) -> None:
    reference = {"kind": "Pod", "apiVersion": "v1", "name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
    event = {"metadata": {"generateName": "e-"}, "involvedObject": reference, "reason": "R", "message": message}
    stamp = "2026-01-01T00:00:00Z"
    await client.create(
        EVENTS, event | {"type": "Normal", "firstTimestamp": stamp, "lastTimestamp": stamp}, namespace=pod.namespace
    )


async def test_a_spawner_starts_tells_and_stops_and_its_pages_read_caches(cluster: Cluster, client: Client) -> None:
    where = cluster.namespace
    async with spawner.Reflectors(client, where) as reflectors:
        assert reflectors.first_load.done()
        runner = web.AppRunner(spawner.web_service(reflectors))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        spawns = spawner.Spawner(reflectors, "notebook:1")
        assert spawns.poll("ada") == 0
        try:
            async with aiohttp.ClientSession(url) as http, asyncio.TaskGroup() as group:
                starting = group.create_task(spawns.start("ada", timeout=20))
                pod = await reflectors.pods.wait_for("jupyter-ada", timeout=20, namespace=where)
                assert pod is not None
                assert spawns.poll("ada") is None
                async with http.get("/users/ada") as page:
                    assert await page.json() == {"phase": "Pending", "events": []}
                async with http.get("/users/ada/progress") as progress:
                    await happens(client, pod, "pulling the image")
                    line = await progress.content.readline()
                    assert json.loads(line.removeprefix(b"data: ")) == {"message": "pulling the image"}
                    await is_running(client, pod, where)
                    # Ready: the stream ends.
                    assert b"data" not in await progress.content.read()
                assert await starting == "http://10.0.0.1:8888"
                async with http.get("/users") as page:
                    assert await page.json() == {"ada": "Running"}
                async with http.get("/healthz") as page:
                    assert page.status == 200
                await spawns.stop("ada", timeout=20)
                async with http.get("/users/ada") as page:
                    assert page.status == 404
                await spawns.stop("ada")
        finally:
            await runner.cleanup()


async def test_a_server_that_does_not_start_says_why(cluster: Cluster, client: Client) -> None:
    where = cluster.namespace
    async with spawner.Reflectors(client, where) as reflectors:
        spawns = spawner.Spawner(reflectors, "notebook:1")
        with pytest.raises(WaitTimeoutError, match="jupyter-ada.*has no condition Ready"):
            await spawns.start("ada", timeout=0.2)
        # Once more: it is the same pod, and it fails.
        status = {"status": {"phase": "Failed", "containerStatuses": []}}
        failure, _ = await asyncio.gather(
            spawns.start("ada", timeout=20),
            client.patch_status(PODS, "jupyter-ada", status, namespace=where),
            return_exceptions=True,
        )
        assert isinstance(failure, RuntimeError)
        assert str(failure).startswith("the server of ada did not start")
        await until(lambda: asyncio.sleep(0, spawns.poll("ada")))
        assert spawns.poll("ada") == 1


# Clusters of workers


async def test_a_gateway_keeps_a_scheduler_per_cluster(cluster: Cluster, client: Client) -> None:
    await install(client, "gateway_crd.yaml")
    where = cluster.namespace
    gates = gateway.Gateway(client, where)
    clusters, pods = gates.clusters, gates.pods
    async with running(gates.run()):
        await clusters.synced(timeout=20)
        made = await client.create(gateway.CLUSTERS, {"metadata": {"name": "c"}, "spec": {}}, namespace=where)
        await clusters.wait_for(made.key, field_equals("status.phase", "Pending"), 20)
        pod = await pods.wait_for(gateway.pod_name(made.key), timeout=20, namespace=where)
        assert pod is not None
        assert is_owned_by(pod, made)
        await is_running(client, pod, where)
        await clusters.wait_for(made.key, field_equals("status.phase", "Running"), 20)

        # Deleted by hand, it is made anew; ended, it is not.
        await client.delete(PODS, pod, grace_period_seconds=0)
        again = await pods.wait_for(pod.key, lambda obj: obj is not None and obj.uid != pod.uid, 20)
        assert again is not None
        await client.patch_status(PODS, again, {"status": {"phase": "Failed"}})
        await clusters.wait_for(made.key, field_equals("status.phase", "Failed"), 20)
        await pods.wait_for(pod.key, deleted(), 20)

        second = await client.create(gateway.CLUSTERS, {"metadata": {"name": "d"}}, namespace=where)
        await pods.wait_for(gateway.pod_name(second.key), timeout=20, namespace=where)
        await client.patch(gateway.CLUSTERS, second, {"spec": {"active": False}})
        await clusters.wait_for(second.key, field_equals("status.phase", "Stopped"), 20)
        await pods.wait_for(ObjectKey(where, gateway.pod_name(second.key)), deleted(), 20)


def test_the_programs_of_the_table_are_those_there_are() -> None:
    text = (EXAMPLES / "README.md").read_text()
    assert sorted(set(re.findall(r"\((\w+\.py)\)", text))) == PROGRAMS


async def test_checksums_are_kept_by_two_replicas_and_then_by_one(cluster: Cluster, client: Client) -> None:
    space = cluster.namespace

    async def checksums() -> set[str]:
        maps = await client.list(CONFIGMAPS, namespace=space)
        return {made.annotations.get(sharded_checksums.CHECKSUM, "") for made in maps if made.name.startswith("m-")}

    for number in range(8):
        made = {"metadata": {"name": f"m-{number}"}, "data": {"number": str(number)}}
        await client.create(CONFIGMAPS, made, namespace=space)
    one, two = (sharded_checksums.parts(client, space) for _ in range(2))
    async with one[0], one[1], one[2]:
        async with two[0], two[1], two[2]:
            await until(lambda: _all_differ(checksums))
        before = await checksums()
        for number in range(8):
            await client.patch(CONFIGMAPS, f"m-{number}", {"data": {"number": f"{number}!"}}, namespace=space)
        await until(lambda: _all_differ(checksums, before))
        assert one[0].status.slices == {SliceState.OWNED: 256}


async def _all_differ(read: Callable[[], Awaitable[set[str]]], before: Collection[str] = ()) -> bool:
    found = await read()
    return len(found) == 8 and "" not in found and not found & {*before}
