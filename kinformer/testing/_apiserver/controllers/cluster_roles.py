"""Roles that gather others get their rules (pkg/controller/clusterroleaggregation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.testing._apiserver.controllers.actions import Update
from kinformer.testing._apiserver.controllers.cluster import labels_of
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.rules.selectors import selects_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.controllers.actions import Action, Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key

__all__ = ["cluster_role_controller"]

ROLES: Final = ("rbac.authorization.k8s.io", "clusterroles")


def cluster_role_controller() -> Controller:
    """Return the controller of ClusterRoles with an `aggregationRule`."""
    return Controller(
        "clusterrole-aggregation", _gather, {ROLES: _gathering}, manager="clusterrole-aggregation-controller"
    )


def _gathering(_: Change, cluster: Cluster) -> Iterator[Key]:
    """Any role may be gathered by each that gathers."""
    for role in cluster.all(ROLES):
        if role.get("aggregationRule"):
            yield "", role["metadata"]["name"]


def _gather(key: Key, cluster: Cluster) -> Iterator[Action]:
    role = cluster.get(ROLES, key)
    if role is None or not role.get("aggregationRule"):
        return
    others = sorted(cluster.all(ROLES), key=lambda one: str(one["metadata"]["name"]))
    rules: list[Manifest] = []
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        for other in others:
            if other["metadata"]["name"] != key[1] and selects_labels(selector, labels_of(other)):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    if rules != (role.get("rules") or []):
        yield Update(role | {"rules": rules})
