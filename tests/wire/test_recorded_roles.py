"""Roles that were recorded: the example's operator works with them, and with no right less; pytest writes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from examples.shop_operator import MANAGER, Shop, ShopOperator
from kinformer import Client, ClusterConfig, EventRecorder, ForbiddenError, LeaderElector, SharedInformerFactory
from kinformer.resources import CONFIGMAPS, DEPLOYMENTS
from kinformer.testing import ApiServer
from kinformer.testing.recorded_roles import Right, rights_of, roles_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest import Pytester  # noqa: PT013 - for the annotation alone

    Run = Callable[..., pytest.RunResult]

USER: Final = "shop-operator"
SHOP: Final = {
    "apiVersion": "example.com/v1",
    "kind": "Shop",
    "metadata": {"name": "corner", "namespace": "default"},
    "spec": {"replicas": 1, "image": "shop:1"},
}


class Refusals:
    """Sees the codes of all answers to a client."""

    def __init__(self) -> None:
        self.seen = asyncio.Event()

    def requested(self, method: str, host: str, code: str, seconds: float) -> None:
        if code == "403":
            self.seen.set()

    def retried(self, method: str, host: str, code: str) -> None: ...


async def life_of_a_shop(server: ApiServer, refusals: Refusals) -> None:
    """Run the operator while a Shop is created, its Deployment is changed by others, and the Shop is deleted."""
    admin_config = ClusterConfig.for_server(server.url, token="root-token")
    config = ClusterConfig.for_server(server.url, token="operator-token")
    async with Client(admin_config) as admin, Client(config, metrics=refusals) as client:
        factory = SharedInformerFactory(client)
        elector = LeaderElector(client, MANAGER, namespace="default", identity="me", retry_period=0.1)
        before = LeaderElector(admin, MANAGER, namespace="default", identity="before")
        async with EventRecorder(client, MANAGER) as events:
            operator = ShopOperator(client, factory, say=events.normal, leader=elector)
            async with factory, asyncio.TaskGroup() as group:
                async with before:
                    running = group.create_task(operator.controller.run())
                    await until(lambda: bool(server.count("watch", "leases")))
                await admin.create(Shop, SHOP)
                await until(lambda: bool(server.list("apps/v1", "Deployment")))
                for replicas in (7, 8):
                    await admin.patch(DEPLOYMENTS, "corner", {"spec": {"replicas": replicas}}, namespace="default")
                    await until(lambda: server.get("apps/v1", "Deployment", "corner")["spec"]["replicas"] == 1)
                await until(lambda: any(event.get("count", 1) > 1 for event in server.list("v1", "Event")))
                await admin.delete(Shop, "corner", namespace="default")
                await until(lambda: not server.list("example.com/v1", "Shop"))
                running.cancel()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


async def is_refused(roles: list[dict[str, Any]] | None) -> tuple[bool, set[Right]]:
    """Run the scenario; return whether a request was refused, and the rights that the operator's requests needed.

    Without roles, the operator may do everything.
    """
    users = {"operator-token": USER, "root-token": "root"}
    masters = ["system:masters"]
    groups = {"root": masters} | ({USER: masters} if roles is None else {})
    server = ApiServer(tokens=users, groups=groups, rbac=True)
    server.create(Shop.crd())
    for role in roles or ():
        server.create(role)
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": role["metadata"]["name"]}
        subjects = [{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}]
        binding = {"apiVersion": role["apiVersion"], "kind": f"{role['kind']}Binding", "metadata": role["metadata"]}
        server.create(binding | {"roleRef": reference, "subjects": subjects})
    refusals = Refusals()
    async with server:
        scenario = asyncio.get_running_loop().create_task(life_of_a_shop(server, refusals))
        refused = asyncio.get_running_loop().create_task(refusals.seen.wait())
        try:
            async with asyncio.timeout(60):
                await asyncio.wait([scenario, refused], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (scenario, refused):
                task.cancel()
            await asyncio.gather(scenario, refused, return_exceptions=True)
        if not refusals.seen.is_set():
            await scenario
        return refusals.seen.is_set(), rights_of(server.requests, user=USER)


async def test_the_operator_works_with_the_recorded_roles_and_with_no_right_less() -> None:
    refused, rights = await is_refused(None)
    assert not refused
    roles = roles_of(rights, name="shop-operator")
    assert [(role["kind"], role["metadata"].get("namespace")) for role in roles] == [
        ("ClusterRole", None),
        ("Role", "default"),
    ]
    refused, _ = await is_refused(roles)
    assert not refused
    # `list` comes with `watch`, for servers that do not stream lists; this one does.
    needed = sorted({right[:3] for right in rights if right.verb != "list"})
    assert len(needed) >= 12
    not_missed = []
    for right in needed:
        less = roles_of((each for each in rights if each[:3] != right), name="shop-operator")
        refused, _ = await is_refused(less)
        if not refused:
            not_missed.append(right)
    assert not_missed == []


def test_without_a_request_for_all_namespaces_there_is_a_role_for_each() -> None:
    rights = {Right("watch", "", "pods", "a"), Right("get", "", "secrets", "b"), Right("get", "", "configmaps", "b")}
    roles = roles_of(rights, name="x")
    assert [(role["kind"], role["metadata"]) for role in roles] == [
        ("Role", {"name": "x", "namespace": "a"}),
        ("Role", {"name": "x", "namespace": "b"}),
    ]
    assert roles[0]["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
    assert roles[1]["rules"] == [{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get"]}]


TESTS: Final = """
from kinformer.resources import CONFIGMAPS, PODS

async def test_a(kube_client):
    await kube_client.list(PODS)

async def test_b(kube_client):
    await kube_client.create(CONFIGMAPS, {"metadata": {"name": "a"}}, namespace="default")
"""
ASYNCIO: Final = (
    "-p",
    "no:looptime_plugin",
    "-o",
    "asyncio_default_fixture_loop_scope=function",
    "--asyncio-mode=auto",
)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "workers"])
def test_pytest_writes_the_roles_of_all_tests(pytester: Pytester, run_pytest: Run, workers: tuple[str, ...]) -> None:
    pytester.makepyfile(TESTS)
    run = run_pytest(*ASYNCIO, *workers, "--kinformer-rbac=deploy/shop.yaml")
    assert run.ret == 0, "\n".join([*run.outlines, *run.errlines])
    run.assert_outcomes(passed=2)
    (role,) = yaml.safe_load_all((pytester.path / "deploy" / "shop.yaml").read_text())
    assert (role["kind"], role["metadata"]) == ("ClusterRole", {"name": "shop"})
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    ]


def test_after_a_failure_nothing_is_written(pytester: Pytester, run_pytest: Run) -> None:
    pytester.makepyfile(TESTS + "\n\ndef test_c():\n    assert False\n")
    run = run_pytest(*ASYNCIO, "--kinformer-rbac=rbac.yaml")
    run.stdout.fnmatch_lines(["*rbac.yaml is not written: a test failed*"])
    assert not (pytester.path / "rbac.yaml").exists()


async def test_an_apply_that_creates_needs_both_verbs_and_both_are_recorded() -> None:
    async with ApiServer(tokens={"t": "u"}) as server:
        server.deny("u", "create", "configmaps")
        async with Client(ClusterConfig.for_server(server.url, token="t")) as client:
            wanted = {"metadata": {"name": "a", "namespace": "default"}, "data": {"a": "b"}}
            with pytest.raises(ForbiddenError, match='cannot create resource "configmaps"'):
                await client.apply(CONFIGMAPS, wanted, field_manager="m")
            server.allow("u", "create", "configmaps")
            await client.apply(CONFIGMAPS, wanted, field_manager="m")
            assert {right.verb for right in rights_of(server.requests)} == {"create", "patch"}
            server.requests.clear()
            await client.apply(CONFIGMAPS, wanted | {"data": {"a": "c"}}, field_manager="m")
            assert {right.verb for right in rights_of(server.requests)} == {"patch"}
