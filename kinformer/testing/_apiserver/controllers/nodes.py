"""The taint of nodes that are not ready (pkg/controller/nodelifecycle)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.testing._apiserver.controllers.actions import Update
from kinformer.testing._apiserver.controllers.conditions import condition_of
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.rules.admission import NOT_READY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kinformer.testing._apiserver.controllers.actions import Action
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Key

__all__ = ["node_lifecycle_controller"]

_NODES: Final = ("", "nodes")


def node_lifecycle_controller() -> Controller:
    """Return the controller that puts the taint `not-ready` on nodes and takes it off."""
    return Controller("node-lifecycle", _mark, {_NODES: _of_node}, component="node-controller")


def _of_node(change: Change, _cluster: Cluster) -> Iterable[Key]:
    return [] if change.kind == "DELETED" else [change.key]


def _mark(key: Key, cluster: Cluster) -> Iterator[Action]:
    node = cluster.get(_NODES, key)
    if node is None:
        return
    ready = condition_of(node.get("status") or {}, "Ready")
    if ready is None:
        return  # no kubelet has said anything; a new node has the taint from its admission
    spec = node.get("spec") or {}
    taints = spec.get("taints") or []
    others = [one for one in taints if (one.get("key"), one.get("effect")) != tuple(NOT_READY.values())]
    wanted = others if ready.get("status") == "True" else [*others, NOT_READY]
    if len(wanted) != len(taints):
        kept = {name: value for name, value in spec.items() if name != "taints"}
        yield Update(node | {"spec": kept | ({"taints": wanted} if wanted else {})})
