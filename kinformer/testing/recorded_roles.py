"""The least Roles that cover recorded requests: `roles_of(server.requests)`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.testing._apiserver.http.handler import RequestRecord

__all__ = ["Right", "rights_of", "roles_of"]

_API: Final = "rbac.authorization.k8s.io/v1"
_LEASES: Final = ("coordination.k8s.io", "leases")
_ORDER: Final = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
# Every user may ask for the own rights (ClusterRole system:basic-user).
_OF_EVERY_USER: Final = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}


class Right(NamedTuple):
    """One right that a request needed.

    Attributes:
        verb: as in RBAC.
        group: the API group; "" for the core group.
        resource: the plural, with its subresource: "sites/status".
        namespace: the namespace of the request; "" for all of them, or for a cluster-scoped resource.
    """

    verb: str
    group: str
    resource: str
    namespace: str


def rights_of(requests: Iterable[RequestRecord], *, user: str = "") -> set[Right]:
    """Return the rights that requests needed.

    Discovery and reviews of the own rights are left out: every user has these.

    Args:
        requests: the requests, such as `ApiServer.requests`.
        user: only the requests of this user; "" for those of all.
    """
    counted = [
        request
        for request in requests
        if request.resource and request.resource not in _OF_EVERY_USER and user in {"", request.user}
    ]
    found = {Right(*request.right, request.namespace) for request in counted}
    # An apply of an absent object needs both verbs.
    return found | {Right("create", *request.right[1:], request.namespace) for request in counted if request.creates}


def roles_of(rights: Iterable[Right], *, name: str) -> list[dict[str, Any]]:
    """Return the manifests of the least Roles that give some rights.

    If a request was for all namespaces or for a cluster-scoped resource, the rights are in a ClusterRole, except for
    leases in one namespace only, which are in a Role there. Otherwise there is a Role for each namespace.

    An informer's watch gets the verb `list`, too: a server without streaming lists is asked for pages. No rule names
    single objects.

    Args:
        rights: the rights.
        name: the name of the roles.
    """
    given = set(rights)
    given |= {right._replace(verb="list") for right in given if right.verb == "watch" and right[1:3] != _LEASES}
    lease_namespaces = {right.namespace for right in given if right[1:3] == _LEASES}
    whole = any(not right.namespace for right in given)
    found: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for right in given:
        apart = right[1:3] == _LEASES and len(lease_namespaces) == 1
        place = right.namespace if apart or not whole else ""
        found[place].add(right[:3])
    return [_role(name, namespace, found[namespace]) for namespace in sorted(found)]


def _role(name: str, namespace: str, rights: set[tuple[str, str, str]]) -> dict[str, Any]:
    verbs: dict[tuple[str, str], set[str]] = defaultdict(set)
    for verb, group, resource in rights:
        verbs[group, resource].add(verb)
    # Resources of one group with the same verbs share a rule.
    rules: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource), allowed in sorted(verbs.items()):
        rules[group, tuple(sorted(allowed, key=_place))].append(resource)
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {
        "apiVersion": _API,
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": metadata,
        "rules": [
            {"apiGroups": [group], "resources": resources, "verbs": list(allowed)}
            for (group, allowed), resources in rules.items()
        ],
    }


def _place(verb: str) -> tuple[int, str]:
    return (_ORDER.index(verb) if verb in _ORDER else len(_ORDER)), verb
