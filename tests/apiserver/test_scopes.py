"""A scope by labels of namespaces, with namespaced Roles only: the labels flip, and many write.

12 namespaces and 4 writers here; `KINFORMER_SCOPE_NAMESPACES=1000 KINFORMER_SCOPE_WRITERS=10` for once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from typing import TYPE_CHECKING, Any

from kinformer import Added, Client, ClusterConfig, Deleted, Namespaces, Resource, SharedInformerFactory, Updated
from kinformer.errors import KinformerError
from kinformer.resources import CONFIGMAPS, NAMESPACES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kinformer import Event, ObjectKey
    from tests.apiserver.clusters import Cluster

RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(RBAC, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource(RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)

SPACES = int(os.environ.get("KINFORMER_SCOPE_NAMESPACES", "12"))
WRITERS = int(os.environ.get("KINFORMER_SCOPE_WRITERS", "4"))
FLIPS = max(40, SPACES)


async def _for_each(spaces: list[str], make: Callable[[str], Awaitable[Any]]) -> None:
    """Make something in each namespace, 20 at a time."""
    for start in range(0, len(spaces), 20):
        await asyncio.gather(*(make(space) for space in spaces[start : start + 20]))


async def _let(client: Client, user: str, name: str, namespace: str | None, resource: str) -> None:
    """Let a user list and watch a resource, in one namespace or in the cluster."""
    rules = [{"apiGroups": [""], "resources": [resource], "verbs": ["list", "watch"]}]
    kinds = (ROLES, ROLE_BINDINGS) if namespace else (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS)
    await client.create(kinds[0], {"metadata": {"name": name}, "rules": rules}, namespace=namespace)
    binding: dict[str, Any] = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": kinds[0].kind, "name": name},
        "subjects": [{"kind": "User", "apiGroup": RBAC, "name": user}],
    }
    await client.create(kinds[1], binding, namespace=namespace)


async def test_a_tenant_by_label_is_right_with_namespaced_roles_only(cluster: Cluster, client: Client) -> None:
    user, tenant = "scoped", cluster.namespace
    spaces = [f"{tenant}-{number}" for number in range(SPACES)]
    token = await cluster.token_for(user) if cluster.name == "embedded" else None
    await _for_each(spaces, lambda space: client.create(NAMESPACES, {"metadata": {"name": space}}))
    if token is None:
        # On the real server the certificate is the user's name, and the roles decide.
        await _let(client, "alice", f"see-{tenant}", None, "namespaces")
        await _for_each(spaces, lambda space: _let(client, "alice", "see", space, "configmaps"))
    chance = random.Random(7)
    seen: dict[ObjectKey, str] = {}
    problems: list[str] = []

    def handle(event: Event) -> None:
        known = seen.get(event.key)
        match event:
            case Added(obj):
                problems.extend([f"{event.key} was added twice"] if known else [])
                seen[event.key] = obj.resource_version
            case Updated(old, new):
                problems.extend([] if known == old.resource_version else [f"{event.key} changed from another state"])
                seen[event.key] = new.resource_version
            case Deleted():
                problems.extend([] if known else [f"{event.key} went twice"])
                seen.pop(event.key, None)

    labels: dict[str, bool] = {}

    async def write(number: int) -> None:
        own = random.Random(number)
        for turn in range(40):
            space, name = own.choice(spaces), f"c-{number}-{own.randrange(4)}"
            with contextlib.suppress(KinformerError):
                if own.random() < 0.3:
                    await client.delete(CONFIGMAPS, name, namespace=space)
                else:
                    manifest = {"metadata": {"name": name, "namespace": space}, "data": {"turn": str(turn)}}
                    await client.create(CONFIGMAPS, manifest)
            await asyncio.sleep(0.01)

    async def flip() -> None:
        for turn in range(FLIPS):
            # Each namespace has the label once at least, and some lose it again.
            space = spaces[turn] if SPACES == FLIPS and turn % 4 else chance.choice(spaces)
            labels[space] = not labels.get(space, False)
            value = tenant if labels[space] else None
            await client.patch(NAMESPACES, space, {"metadata": {"labels": {"tenant": value}}})
            await asyncio.sleep(0.02)

    reader = cluster.client(token.value) if token is not None else await _with_certificate(cluster, "alice")
    async with reader as limited, SharedInformerFactory(limited) as factory:
        informer = factory.informer(CONFIGMAPS, scope=Namespaces(labels=f"tenant={tenant}"))
        informer.add_event_handler(handle)
        await informer.synced(30)
        await asyncio.gather(flip(), *(write(number) for number in range(WRITERS)))
        expected: dict[str, str] = {}
        for space in spaces:
            if labels.get(space):
                expected |= await cluster.truth(CONFIGMAPS, namespace=space)
        async with asyncio.timeout(60 + SPACES / 10):
            while {str(obj.key): obj.resource_version for obj in informer.lister.list()} != expected:
                await asyncio.sleep(0.05)
            while {str(key): version for key, version in seen.items()} != expected:
                await asyncio.sleep(0.05)
        assert problems == []
        assert all(part.has_synced for part in informer.status.scopes)


async def test_one_watch_takes_the_place_of_many_where_the_rights_allow_it(cluster: Cluster, client: Client) -> None:
    spaces = [f"{cluster.namespace}-w{number}" for number in range(3)]
    await _for_each(spaces, lambda space: client.create(NAMESPACES, {"metadata": {"name": space}}))
    scope = Namespaces(*spaces, widen_at=3)
    token = await cluster.token_for("narrow") if cluster.name == "embedded" else None
    if token is None:
        await _for_each(spaces, lambda space: _let(client, "alice", "see-narrow", space, "configmaps"))
    reader = cluster.client(token.value) if token is not None else await _with_certificate(cluster, "alice")
    async with (
        reader as limited,
        SharedInformerFactory(client) as factory,
        SharedInformerFactory(limited) as narrow_factory,
    ):
        wide = factory.informer(CONFIGMAPS, scope=scope)
        narrow = narrow_factory.informer(CONFIGMAPS, scope=scope)
        await asyncio.gather(wide.synced(30), narrow.synced(30))
        turn = 0
        async with asyncio.timeout(60):
            # A part goes over with its next event.
            while not all(part.shares_watch for part in wide.status.scopes):
                turn += 1
                for space in spaces:
                    await client.create(CONFIGMAPS, {"metadata": {"name": f"c-{turn}", "namespace": space}})
                await asyncio.sleep(0.05)
        await client.create(CONFIGMAPS, {"metadata": {"name": "later", "namespace": spaces[0]}})
        await client.delete(CONFIGMAPS, "c-1", namespace=spaces[1])
        expected: dict[str, str] = {}
        for space in spaces:
            expected |= await cluster.truth(CONFIGMAPS, namespace=space)
        async with asyncio.timeout(60):
            for informer in (wide, narrow):
                while {str(obj.key): obj.resource_version for obj in informer.lister.list()} != expected:
                    await asyncio.sleep(0.02)
        assert sum(wide.status.lists.values()) == len(spaces)
        if cluster.name != "embedded":
            assert not any(part.shares_watch for part in narrow.status.scopes)


async def _with_certificate(cluster: Cluster, user: str) -> Client:
    certificate, key = cluster.client_certificate(user)
    path = cluster.kubeconfig({"client-certificate": str(certificate), "client-key": str(key)})
    return Client(await ClusterConfig.load(path))
