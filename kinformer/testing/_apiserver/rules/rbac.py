"""Role-based access control: the Roles and bindings in the store, evaluated as the RBAC authorizer does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer.testing._apiserver.rules.selectors import selects_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.store.storage import Store

__all__ = ["BOOTSTRAP", "MASTERS", "Attributes", "User", "granted", "rules_of"]

_GROUP: Final = "rbac.authorization.k8s.io"
_API: Final = f"{_GROUP}/v1"
_AUTHENTICATED: Final = "system:authenticated"
_ACCOUNT_PREFIX: Final = "system:serviceaccount:"

MASTERS: Final = "system:masters"
"""The group whose members may do everything, whatever the roles say."""


class User(NamedTuple):
    """The user of a request.

    Attributes:
        name: the name.
        groups: the groups.
        uid: the uid, or "".
        extra: further facts about the user.
    """

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = {}  # noqa: RUF012 - never changed


class Attributes(NamedTuple):
    """A request in the terms of authorization.

    Attributes:
        verb: the verb, as in RBAC.
        group: the API group.
        resource: the plural.
        subresource: the subresource, or "".
        namespace: the namespace; "" for all, or none.
        name: the name of the object, or "".
        path: the path of a request that is for no resource.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


def granted(store: Store, user: User, attributes: Attributes) -> str | None:
    """The reason why a user may do something, or `None`."""
    if MASTERS in user.groups:
        return ""
    for rule, reason in _rules(store, user, attributes.namespace):
        if _covers(rule, attributes):
            return reason
    return None


def rules_of(store: Store, user: User, namespace: str) -> list[dict[str, Any]]:
    """The rules that hold for a user in a namespace."""
    everything: list[dict[str, Any]] = [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ]
    found = everything if MASTERS in user.groups else []
    return found + [rule for rule, _ in _rules(store, user, namespace)]


def _rules(store: Store, user: User, namespace: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The rules that bindings give to a user, each with the reason for it."""
    bindings = [stored.manifest for _, stored in store.listed((_GROUP, "clusterrolebindings"))]
    if namespace:
        bindings += [s.manifest for _, s in store.listed((_GROUP, "rolebindings"), namespace)]
    for binding in bindings:
        subject = next((s for s in binding.get("subjects") or () if _is(user, s, namespace)), None)
        if subject is None:
            continue
        role = binding["roleRef"]
        kind = binding["kind"]
        where = f"{binding['metadata']['name']}/{namespace}" if kind == "RoleBinding" else binding["metadata"]["name"]
        to = subject["name"] if subject["kind"] != "ServiceAccount" else f"{subject['name']}/{subject.get('namespace')}"
        reason = f'RBAC: allowed by {kind} "{where}" of {role["kind"]} "{role["name"]}" to {subject["kind"]} "{to}"'
        for rule in _rules_of_role(store, role, namespace):
            yield rule, reason


def _is(user: User, subject: dict[str, Any], namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return bool(subject.get("name") == user.name)
        case "Group":
            return subject.get("name") in user.groups
        case "ServiceAccount":
            place = subject.get("namespace") or namespace
            return user.name == f"{_ACCOUNT_PREFIX}{place}:{subject.get('name')}"
    return False


def _rules_of_role(store: Store, reference: dict[str, Any], namespace: str) -> list[dict[str, Any]]:
    is_cluster = reference.get("kind") == "ClusterRole"
    key = ("" if is_cluster else namespace, reference.get("name", ""))
    stored = store.get((_GROUP, "clusterroles" if is_cluster else "roles"), key)
    if stored is None:
        return []
    aggregated = (stored.manifest.get("aggregationRule") or {}).get("clusterRoleSelectors")
    if not aggregated:
        return stored.manifest.get("rules") or []
    roles = [s.manifest for _, s in store.listed((_GROUP, "clusterroles")) if s is not stored]
    return [
        rule
        for role in roles
        if any(selects_labels(selector, role["metadata"].get("labels") or {}) for selector in aggregated)
        for rule in role.get("rules") or ()
    ]


def _covers(rule: dict[str, Any], attributes: Attributes) -> bool:
    if not _has(rule, "verbs", attributes.verb):
        return False
    if attributes.path:
        return any(
            url in {"*", attributes.path} or (url.endswith("*") and attributes.path.startswith(url[:-1]))
            for url in rule.get("nonResourceURLs") or ()
        )
    resource, subresource = attributes.resource, attributes.subresource
    wanted = f"{resource}/{subresource}" if subresource else resource
    resources = rule.get("resources") or ()
    names = rule.get("resourceNames") or ()
    return (
        _has(rule, "apiGroups", attributes.group)
        and (wanted in resources or "*" in resources or (bool(subresource) and f"*/{subresource}" in resources))
        and (not names or attributes.name in names)
    )


def _has(rule: dict[str, Any], field: str, value: str) -> bool:
    given = rule.get(field) or ()
    return "*" in given or value in given


def _role(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _API, "kind": "ClusterRole", "metadata": {"name": name}, "rules": [*rules]}


def _binding(role: str, group: str) -> dict[str, Any]:
    return {
        "apiVersion": _API,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _GROUP, "kind": "Group", "name": group}],
    }


def _aggregate(name: str, verbs: list[str]) -> list[dict[str, Any]]:
    """One of the roles for users, and the role with its rules; more are added by the label."""
    label = f"{_GROUP}/aggregate-to-{name}"
    whole = _role(name) | {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}}
    part = _role(f"system:aggregate-to-{name}", *({**rule, "verbs": verbs} for rule in _NAMESPACED))
    part["metadata"]["labels"] = {label: "true"}
    return [whole, part]


_READ: Final = ["get", "list", "watch"]
_WRITE: Final = [*_READ, "create", "update", "patch", "delete", "deletecollection"]
_NAMESPACED: Final[tuple[dict[str, Any], ...]] = (
    {
        "apiGroups": [""],
        "resources": [
            *("bindings", "configmaps", "endpoints", "events", "limitranges", "namespaces", "persistentvolumeclaims"),
            *("pods", "pods/log", "pods/status", "replicationcontrollers", "replicationcontrollers/scale"),
            *("resourcequotas", "serviceaccounts", "services"),
        ],
    },
    {"apiGroups": ["apps"], "resources": ["*"]},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"]},
    {"apiGroups": ["batch"], "resources": ["cronjobs", "jobs", "cronjobs/status", "jobs/status"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "networkpolicies", "ingresses/status"]},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets", "poddisruptionbudgets/status"]},
)
_DISCOVERY: Final = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]
_MONITORED: Final = [
    *("/flagz", "/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*"),
    "/statusz",
]
_HEALTH: Final = ["/healthz", "/livez", "/readyz", "/version", "/version/"]

BOOTSTRAP: Final[tuple[dict[str, Any], ...]] = (
    _role(
        "cluster-admin",
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ),
    _binding("cluster-admin", MASTERS),
    _role(
        "system:basic-user",
        {
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            "verbs": ["create"],
        },
        {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
    ),
    _binding("system:basic-user", _AUTHENTICATED),
    _role(
        "system:discovery",
        {"nonResourceURLs": [*_DISCOVERY, *_HEALTH], "verbs": ["get"]},
    ),
    _binding("system:discovery", _AUTHENTICATED),
    _role("system:public-info-viewer", {"nonResourceURLs": _HEALTH, "verbs": ["get"]}),
    {
        **_binding("system:public-info-viewer", _AUTHENTICATED),
        "subjects": [
            {"apiGroup": _GROUP, "kind": "Group", "name": name} for name in (_AUTHENTICATED, "system:unauthenticated")
        ],
    },
    _role(
        "system:auth-delegator",
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    ),
    _role(
        "system:node-bootstrapper",
        {
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["certificatesigningrequests"],
            "verbs": ["create", *_READ],
        },
    ),
    _role(
        "system:monitoring",
        {"nonResourceURLs": _MONITORED, "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
    ),
    *_aggregate("view", _READ),
    *_aggregate("edit", _WRITE),
    *_aggregate("admin", _WRITE),
)
"""The roles and bindings that a cluster comes with, as far as users know them (bootstrappolicy/policy.go)."""
