"""Role-based access control: the Roles and bindings in the store, evaluated as the RBAC authorizer does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer.testing._apiserver.rules.selectors import selects_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.store.storage import Store

__all__ = ["MASTERS", "Attributes", "User", "granted", "rules_of"]

_GROUP: Final = "rbac.authorization.k8s.io"
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
    return _gathered(store, stored.manifest, set()) if stored is not None else []


def _gathered(store: Store, role: dict[str, Any], seen: set[str]) -> list[dict[str, Any]]:
    """The rules of a role; those of the roles that its selectors choose, which may gather others in their turn."""
    selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
    if not selectors:
        return role.get("rules") or []
    seen.add(role["metadata"]["name"])
    found: list[dict[str, Any]] = []
    for _, stored in store.listed((_GROUP, "clusterroles")):
        metadata = stored.manifest["metadata"]
        labels = metadata.get("labels") or {}
        if metadata["name"] not in seen and any(selects_labels(selector, labels) for selector in selectors):
            found += [rule for rule in _gathered(store, stored.manifest, seen) if rule not in found]
    return found


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
