"""The names of the controllers, and those that a test asks for. This imports no controller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["CONTROLLERS", "chosen"]

CONTROLLERS: Final = (
    "namespace",
    "serviceaccount",
    "root-ca",
    "garbage-collector",
    "replicaset",
    "replicationcontroller",
    "deployment",
    "statefulset",
    "daemonset",
    "job",
    "cronjob",
    "persistentvolume",
    "endpointslice",
    "endpoints",
    "clusterrole-aggregation",
    "csrsigning",
    "disruption",
    "horizontalpodautoscaler",
    "node-lifecycle",
    "scheduler",
    "kubelet",
)
"""The names of all controllers."""


def chosen(controllers: str | Collection[str]) -> frozenset[str]:
    """Return the names of the controllers that are asked for: "all", "none", one name, or several.

    Raises:
        ValueError: there is no controller of a name.
    """
    if controllers == "all":
        return frozenset(CONTROLLERS)
    if controllers == "none":
        return frozenset()
    names = frozenset([controllers] if isinstance(controllers, str) else controllers)
    if unknown := sorted(names - {*CONTROLLERS}):
        msg = f'no controller is called {unknown[0]!r}; there are {", ".join(CONTROLLERS)}, and "all" for all of them'
        raise ValueError(msg)
    return names
