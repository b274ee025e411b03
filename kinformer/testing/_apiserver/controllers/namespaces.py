"""The end of namespaces (pkg/controller/namespace), and what each new one gets: an account and a certificate."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from kinformer.testing._apiserver.controllers.actions import Create, Delete, Finish, SetStatus, Update
from kinformer.testing._apiserver.controllers.conditions import condition_of, made
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pods import is_deleting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kinformer.testing._apiserver.controllers.actions import Action, Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.store.storage import Change, Storage

__all__ = ["namespace_controller", "root_ca_controller", "service_account_controller"]

NAMESPACES: Final = ("", "namespaces")
_ACCOUNTS: Final = ("", "serviceaccounts")
_CONFIGMAPS: Final = ("", "configmaps")
_ROOT_CA: Final = "kube-root-ca.crt"
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
_ABOUT_ROOT_CA: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)

_GOOD: Final = (
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    ("NamespaceDeletionContentFailure", "ContentDeleted",
     "All content successfully deleted, may be waiting on finalization"),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
)  # fmt: skip
"""The conditions of a namespace whose deletion goes well."""


def namespace_controller() -> Controller:
    """Return the controller that ends namespaces."""
    return Controller("namespace", _end, every_change=_ending_namespace, component="namespace-controller")


def _ending_namespace(change: Change, cluster: Cluster) -> Iterable[str]:
    if change.storage == NAMESPACES:
        return [change.key[1]] if change.kind != "DELETED" and is_deleting(change.new.manifest) else []
    if not change.key[0]:
        return []
    found = cluster.get(NAMESPACES, ("", change.key[0]))
    return [change.key[0]] if found is not None and is_deleting(found) else []


def _end(name: str, cluster: Cluster) -> Iterator[Action]:
    namespace = cluster.get(NAMESPACES, ("", name))
    if namespace is None or not is_deleting(namespace) or not (namespace.get("spec") or {}).get("finalizers"):
        return
    content = cluster.content_of(name)
    for storage, manifest in content:
        if not is_deleting(manifest):
            yield Delete(storage, manifest, policy="Background")
    # These objects are marked, and wait for their finalizers or their end.
    staying = [(storage, one) for storage, one in content if is_deleting(one)]
    if content and len(staying) < len(content):
        return
    status = _reported(namespace.get("status") or {}, staying, cluster.stamp)
    if status != namespace.get("status"):
        yield SetStatus(namespace | {"status": status})
    if not content:
        yield Finish(name)


def _reported(status: Manifest, staying: list[tuple[Storage, Manifest]], now: str) -> Manifest:
    bad = {}
    if staying:
        kinds = Counter(f"{plural}.{group}" for (group, plural), _ in staying)
        listed = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(kinds.items()))
        bad["NamespaceContentRemaining"] = ("SomeResourcesRemain", f"Some resources are remaining: {listed}")
        finalizers = Counter(name for _, one in staying for name in one["metadata"].get("finalizers") or ())
        if finalizers:
            listed = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
            message = f"Some content in the namespace has finalizers remaining: {listed}"
            bad["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", message)
    conditions = []
    for kind, reason, message in _GOOD:
        state = "True" if kind in bad else "False"
        new = made(kind, state, now, *bad.get(kind, (reason, message)))
        old = condition_of(status, kind)
        if old is not None and old["status"] == state:
            new["lastTransitionTime"] = old["lastTransitionTime"]
        conditions.append(new)
    return status | {"phase": "Terminating", "conditions": conditions}


def _concerned_namespace(change: Change, _cluster: Cluster) -> Iterable[str]:
    return [change.key[1] if change.storage == NAMESPACES else change.key[0]]


def _is_alive(name: str, cluster: Cluster) -> bool:
    namespace = cluster.get(NAMESPACES, ("", name))
    return namespace is not None and not is_deleting(namespace)


def service_account_controller() -> Controller:
    """Return the controller that gives each namespace the account `default`."""
    concerns = dict.fromkeys((NAMESPACES, _ACCOUNTS), _concerned_namespace)
    return Controller("serviceaccount", _give_account, concerns, component="serviceaccount-controller")


def _give_account(name: str, cluster: Cluster) -> Iterator[Action]:
    if _is_alive(name, cluster) and cluster.get(_ACCOUNTS, (name, "default")) is None:
        yield Create({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name},
        })  # fmt: skip


def root_ca_controller() -> Controller:
    """Return the controller that gives each namespace the ConfigMap with the certificate of the API server."""
    return Controller(
        "root-ca",
        _give_certificate,
        {NAMESPACES: _concerned_namespace, _CONFIGMAPS: _of_configmap},
        component="root-ca-certificate-publisher-controller",
    )


def _of_configmap(change: Change, _cluster: Cluster) -> Iterable[str]:
    return [change.key[0]] if change.key[1] == _ROOT_CA else []


def _give_certificate(name: str, cluster: Cluster) -> Iterator[Action]:
    if not _is_alive(name, cluster):
        return
    current = cluster.get(_CONFIGMAPS, (name, _ROOT_CA))
    wanted = {"ca.crt": _CERTIFICATE}
    about = {"kubernetes.io/description": _ABOUT_ROOT_CA}
    if current is None:
        yield Create({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": _ROOT_CA, "namespace": name, "annotations": about},
            "data": wanted,
        })  # fmt: skip
    elif current.get("data") != wanted:
        metadata = current["metadata"]
        annotations = (metadata.get("annotations") or {}) | about
        yield Update(current | {"metadata": metadata | {"annotations": annotations}, "data": wanted})
