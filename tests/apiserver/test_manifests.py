"""Manifests on both servers: accepted as they are, and Roles of which no rule is too few or too many."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import importlib
import itertools
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from kinformer import Client, ClusterConfig, NotFoundError, Resource
from kinformer.cli._init import rights_of_the_template
from kinformer.custom_resources import resource_of
from kinformer.manifests import OWN_NAMESPACE, NewProject, files_of, plan_of, write
from kinformer.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, DEPLOYMENTS, NAMESPACES, ROLEBINDINGS, ROLES
from kinformer.testing import ApiServer
from kinformer.testing.recorded_roles import roles_of
from tests.unit.manifests.operators import led, planned, with_own_certificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from types import ModuleType

    from kinformer.testing import ControlPlane
    from tests.apiserver.clusters import Cluster

KUBECTL = os.environ.get("KINFORMER_KUBECTL") or shutil.which("kubectl")
HELM = os.environ.get("KINFORMER_HELM") or shutil.which("helm")
needs_kubectl = pytest.mark.skipif(not KUBECTL, reason="there is no kubectl: set KINFORMER_KUBECTL")
needs_helm = pytest.mark.skipif(not HELM, reason="there is no helm: set KINFORMER_HELM")

GROUPS: Final = ("system:serviceaccounts", "system:authenticated")
REVIEWS: Final = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    namespaced=False,
    watchable=False,
)
_NUMBERS: Final = itertools.count(1)


def run(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=[led, with_own_certificate], ids=["led", "webhooks"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The files of an operator, in the namespace "ops"."""
    write(tmp_path, files_of(planned(request.param(), []), "ops"))
    return tmp_path


@needs_kubectl
async def test_kubectl_applies_the_overlay_to_the_server(cluster: Cluster, folder: Path) -> None:
    kubeconfig = str(cluster.kubeconfig())
    # The name of a field that no version of the API has would be an error.
    command = (str(KUBECTL), "--kubeconfig", kubeconfig, "apply", "--server-side", "--validate=strict")
    await asyncio.to_thread(run, *command, "-k", str(folder / "overlay"))
    again = await asyncio.to_thread(run, *command, "--dry-run=server", "-k", str(folder / "overlay"))
    assert "deployment.apps/site-operator serverside-applied (server dry run)" in again
    async with cluster.client() as client:
        deployment = await client.get(DEPLOYMENTS, "site-operator", namespace="ops")
        assert deployment.at("spec.template.spec.containers.0.image") == "registry.example.com/site-operator:latest"
        for kind in ("validatingwebhookconfigurations", "customresourcedefinitions"):
            for found in await client.list(kind):
                await client.delete(kind, found)


@needs_kubectl
@needs_helm
async def test_helm_makes_the_same_objects_as_kustomize(folder: Path) -> None:
    values = ("--values", str(folder / "values.yaml"))
    chart = run(str(HELM), "template", "x", str(folder / "chart"), "--namespace", "ops", *values)
    plain = run(str(KUBECTL), "kustomize", str(folder / "overlay"))
    assert by_name(chart) == by_name(plain)
    monitored = run(
        str(HELM), "template", "x", str(folder / "chart"), "--set", "serviceMonitor.enabled=true,crds.install=false"
    )
    kinds = {kind for kind, _ in by_name(monitored)}
    assert "ServiceMonitor" in kinds
    assert "CustomResourceDefinition" not in kinds


def by_name(text: str) -> dict[tuple[str, str], Any]:
    found = {}
    for manifest in yaml.safe_load_all(text):
        if manifest and manifest["kind"] != "Namespace":
            manifest["metadata"].pop("annotations", None)
            found[manifest["kind"], manifest["metadata"]["name"]] = _without_empty(manifest)
    return found


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        filled = {key: _without_empty(each) for key, each in value.items()}
        return {key: each for key, each in filled.items() if each not in ({}, [], None)}
    return [_without_empty(each) for each in value] if isinstance(value, list) else value


# The Roles


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The operator of a new project."""
    folder = tmp_path_factory.mktemp("proof")
    NewProject("proof-operator", "proof.example.com", "Site").create(folder / "it")
    sys.path.insert(0, str(folder / "it"))
    try:
        yield importlib.import_module("proof_operator.operator")
    finally:
        sys.path.remove(str(folder / "it"))
        for name in [each for each in sys.modules if each.partition(".")[0] == "proof_operator"]:
            del sys.modules[name]


@pytest.fixture(params=["embedded", pytest.param("real", marks=[pytest.mark.real, pytest.mark.timeout(300)])])
async def admin_config(request: pytest.FixtureRequest) -> AsyncIterator[ClusterConfig]:
    """The administrator of a server with RBAC."""
    if request.param == "real":
        plane: ControlPlane = request.getfixturevalue("control_plane")
        yield ClusterConfig.for_server(plane.url, token=plane.token, ca_file=plane.ca_file)
        return
    groups = {"admin": ["system:masters"]}
    async with ApiServer(rbac=True, tokens={"admin": "admin"}, groups=groups) as server:
        yield ClusterConfig.for_server(server.url, token="admin")


class Refusals:
    """Sees the codes of all answers to a client."""

    def __init__(self) -> None:
        self.seen = asyncio.Event()

    def requested(self, method: str, host: str, code: str, seconds: float) -> None:
        if code == "403":
            self.seen.set()

    def retried(self, method: str, host: str, code: str) -> None: ...


async def roles_of_the_operator(operator: ModuleType) -> list[dict[str, Any]]:
    """The Roles and bindings that `kinformer manifests` makes of the recorded rights."""
    custom = operator.Site
    recorded = roles_of(rights_of_the_template(resource_of(custom)), name="proof-operator")
    async with Client(ClusterConfig.for_server("http://127.0.0.1:1", namespace=OWN_NAMESPACE)) as client:
        plan = plan_of(
            operator.manager(client), name="proof-operator", target="proof_operator.operator", recorded=recorded
        )
    return [*yaml.safe_load_all(files_of(plan, "ops")["base/roles.yaml"].text)]


async def grant(admin: Client, client: Client, roles: list[dict[str, Any]], account: str) -> None:
    """Create the Roles under a name of their own for an account, and wait until the server knows them."""
    resources = {each.kind: each for each in (CLUSTERROLES, CLUSTERROLEBINDINGS, ROLES, ROLEBINDINGS)}
    for manifest in copy.deepcopy(roles):
        manifest["metadata"]["name"] = account
        if "roleRef" in manifest:
            manifest["roleRef"]["name"] = account
            manifest["subjects"][0]["name"] = account
        await admin.create(resources[manifest["kind"]], manifest)
    for role in roles:
        for rule in role.get("rules", ()):
            for resource, verb in itertools.product(rule["resources"], rule["verbs"]):
                plural, _, subresource = resource.partition("/")
                attributes = {
                    "verb": verb,
                    "group": rule["apiGroups"][0],
                    "resource": plural,
                    "subresource": subresource,
                }
                attributes["namespace"] = role["metadata"].get("namespace", "")
                await allowed(client, attributes)


async def allowed(client: Client, attributes: dict[str, str]) -> None:
    async with asyncio.timeout(30):
        while True:
            answer = await client.create(REVIEWS, {"spec": {"resourceAttributes": attributes}})
            if answer.at("status.allowed"):
                return
            await asyncio.sleep(0.02)


async def works(operator: ModuleType, config: ClusterConfig, roles: list[dict[str, Any]]) -> bool:
    """Run the operator with these Roles: true if it did its work, false if the server refused a request."""
    account = f"proof-{next(_NUMBERS)}"
    refusals = Refusals()
    own = dataclasses.replace(config, namespace="ops").as_user(f"system:serviceaccount:ops:{account}", groups=GROUPS)
    async with (
        Client(config) as admin,
        Client(own, metrics=refusals) as client,
    ):
        await admin.install(operator.Site)
        await grant(admin, client, roles, account)
        wanted = {"metadata": {"name": account, "namespace": "default"}, "spec": {"image": "nginx"}}
        await admin.create(resource_of(operator.Site), wanted)
        with contextlib.suppress(Exception):
            async with operator.manager(client, port=0):
                return await done(admin, operator, account, refusals)
        return False


async def done(admin: Client, operator: ModuleType, name: str, refusals: Refusals) -> bool:
    async with asyncio.timeout(60):
        while not refusals.seen.is_set():
            with contextlib.suppress(NotFoundError):
                await admin.get(DEPLOYMENTS, name, namespace="default")
                site = await admin.get(operator.Site, name, namespace="default")
                if site.status is not None:
                    return True
            await asyncio.sleep(0.02)
    return False


async def test_the_operator_works_with_its_roles_and_with_no_rule_less(
    admin_config: ClusterConfig, operator: ModuleType
) -> None:
    roles = await roles_of_the_operator(operator)
    async with Client(admin_config) as admin:
        for name in ("ops", "default"):
            with contextlib.suppress(Exception):
                await admin.create(NAMESPACES, {"metadata": {"name": name}})
    assert await works(operator, admin_config, roles)
    rules = [(place, number) for place, role in enumerate(roles) for number in range(len(role.get("rules", ())))]
    assert len(rules) >= 4
    for place, number in rules:
        fewer = copy.deepcopy(roles)
        removed = fewer[place]["rules"].pop(number)
        assert not await works(operator, admin_config, fewer), f"without {removed} it works as well"
