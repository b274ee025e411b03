"""The health of the server: `/livez`, `/readyz` and `/healthz`, with the checks of a kube-apiserver 1.36."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["HEALTH_PATHS", "answer_health", "is_health"]

_FIRST: Final[dict[str, tuple[str, ...]]] = {
    "healthz": ("ping", "log", "loopback-serving-certificate", "etcd"),
    "livez": ("ping", "log", "loopback-serving-certificate", "etcd"),
    "readyz": ("ping", "log", "etcd", "etcd-readiness", "informer-sync"),
}
_HOOKS: Final = (
    *("start-apiserver-admission-initializer", "generic-apiserver-start-informers"),
    *("priority-and-fairness-config-consumer", "priority-and-fairness-filter", "storage-object-count-tracker-hook"),
    *("start-apiextensions-informers", "start-apiextensions-controllers", "crd-informer-synced"),
    *("start-system-namespaces-controller", "peer-endpoint-reconciler-controller"),
    "start-cluster-authentication-info-controller",
    *("start-kube-apiserver-identity-lease-controller", "start-kube-apiserver-identity-lease-garbage-collector"),
    *("storage-readiness", "start-legacy-token-tracking-controller", "start-service-ip-repair-controllers"),
    *("rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes", "priority-and-fairness-config-producer"),
    *("bootstrap-controller", "start-kubernetes-service-cidr-controller", "start-kube-aggregator-informers"),
    *("apiservice-status-local-available-controller", "apiservice-status-remote-available-controller"),
    *("apiservice-registration-controller", "apiservice-discovery-controller", "kube-apiserver-autoregistration"),
)
_LAST_HOOKS: Final = ("apiservice-openapi-controller", "apiservice-openapiv3-controller")


def _checks(name: str) -> tuple[str, ...]:
    hooks = (f"poststarthook/{hook}" for hook in _HOOKS)
    last = (f"poststarthook/{hook}" for hook in _LAST_HOOKS)
    shutdown = ("shutdown",) if name == "readyz" else ()
    return (*_FIRST[name], *hooks, "autoregister-completion", *last, *shutdown)


HEALTH_PATHS: Final = frozenset(f"/{name}" for name in _FIRST) | {
    f"/{name}/{check}" for name in _FIRST for check in _checks(name)
}
"""The paths that are answered."""


def is_health(path: str) -> bool:
    """Report whether a path belongs to the health of the server."""
    return path.split("/")[1] in _FIRST


def answer_health(path: str, *, verbose: bool, excluded: Collection[str]) -> web.Response:
    """Answer it: each check holds.

    Args:
        path: the path.
        verbose: name the checks.
        excluded: the checks that are left out.

    Raises:
        TextRefusal: 404, no such check.
    """
    if path not in HEALTH_PATHS:
        raise status.page_not_found()
    name, _, check = path.removeprefix("/").partition("/")
    if check or not verbose:
        return web.Response(text="ok")
    known = _checks(name)
    lines = [f"[+]{one} {'excluded: ' if one in excluded else ''}ok" for one in known]
    if unknown := [one for one in excluded if one not in known]:
        listed = ",".join(f'"{one}"' for one in sorted(unknown))
        lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
    return web.Response(text="\n".join([*lines, f"{name} check passed", ""]))
