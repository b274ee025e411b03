"""Roles that gather others have their rules."""

from __future__ import annotations

from typing import Any

from kinformer.testing import ApiServer

RBAC = "rbac.authorization.k8s.io/v1"


def _role(name: str, labels: dict[str, str], *resources: str) -> dict[str, Any]:
    rules = [{"apiGroups": [""], "resources": [one], "verbs": ["get"]} for one in resources]
    return {
        "apiVersion": RBAC,
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels},
        "rules": rules,
    }


def _resources(server: ApiServer, name: str) -> list[str]:
    server.settle()
    return [rule["resources"][0] for rule in server.get(RBAC, "ClusterRole", name).get("rules") or ()]


def test_a_role_has_the_rules_of_those_that_it_gathers_by_name_and_each_once() -> None:
    server = ApiServer(controllers={"clusterrole-aggregation"})
    selectors = [{"matchLabels": {"to": "all"}}]
    server.create(_role("all", {"to": "all"}) | {"aggregationRule": {"clusterRoleSelectors": selectors}})
    server.create(_role("b", {"to": "all"}, "pods", "secrets"))
    server.create(_role("a", {"to": "all"}, "nodes", "pods"))
    server.create(_role("c", {}, "services"))
    assert _resources(server, "all") == ["nodes", "pods", "secrets"]
    server.patch(RBAC, "ClusterRole", "c", {"metadata": {"labels": {"to": "all"}}})
    assert _resources(server, "all") == ["nodes", "pods", "secrets", "services"]
    server.delete(RBAC, "ClusterRole", "b")
    assert _resources(server, "all") == ["nodes", "pods", "services"]


def test_the_roles_of_a_new_cluster_are_filled_in() -> None:
    server = ApiServer(rbac=True, controllers="all", nodes=0)
    server.settle()
    # The numbers of a kube-controller-manager 1.36.3.
    counts = {name: len(server.get(RBAC, "ClusterRole", name)["rules"]) for name in ("view", "edit", "admin")}
    assert counts == {"view": 12, "edit": 27, "admin": 29}
