"""The rules for where pods run and how they find names, and for templates of pods (pkg/apis/core/validation)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, required
from kinformer.testing._apiserver.rules.fields.terms import (
    each,
    ip,
    label,
    label_value,
    on,
    qualified,
    subdomain,
)
from kinformer.testing._apiserver.rules.fields.volumes import template_metadata
from kinformer.testing._apiserver.rules.names import subdomain_faults
from kinformer.testing._apiserver.schemas.scalars import quantity_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.fields.terms import Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES"]

_MOST_NAME_SERVERS: Final = 3
_MOST_SEARCHES: Final = 32
_LONGEST_SEARCHES: Final = 2048
_SEARCH: Final = r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*"
_SEARCH_PATTERN: Final = r"[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?(\.[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?)*"
_SEARCH_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must "
    f"start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SEARCH}')"
)
_STANDARD: Final = {"cpu", "memory", "ephemeral-storage"}
_OF_CLUSTER: Final = {
    *("pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "storage"),
    *("persistentvolumeclaims", "services.nodeports", "services.loadbalancers"),
    *(f"{kind}.{name}" for kind in ("requests", "limits") for name in ("cpu", "memory", "ephemeral-storage")),
    "requests.storage",
}
"""The resources of quotas and limits that need no domain (pkg/apis/core/helper, standardResources)."""

_NOT_OF_CONTAINERS: Final = "must be a standard resource for containers"


def _label_values(value: dict[str, Any], path: str) -> Iterator[Cause]:
    for index, text in enumerate(value.get("values") or ()):
        yield from label_value(text, f"{path}.values[{index}]")


def _node_term(value: dict[str, Any], path: str) -> Iterator[Cause]:
    for index, one in enumerate(value.get("matchExpressions") or ()):
        yield from _label_values(one, f"{path}.matchExpressions[{index}]")
    for index, one in enumerate(value.get("matchFields") or ()):
        at, values = f"{path}.matchFields[{index}]", one.get("values") or []
        operator, key = one.get("operator") or "", one.get("key") or ""
        if operator in {"In", "NotIn"} and len(values) != 1:
            why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            yield required(f"{at}.values", why)
        elif operator in {"Exists", "DoesNotExist", "Gt", "Lt"}:
            yield invalid_value(f"{at}.operator", operator, "not a valid selector operator")
        if key != "metadata.name":
            yield invalid_value(f"{at}.key", key, "not a valid field selector key")
        else:
            for number, text in enumerate(values):
                yield from subdomain(text, f"{at}.values[{number}]")


def _affinity(value: dict[str, Any], path: str) -> Iterator[Cause]:
    # Kubernetes names no item of this list.
    for name in value.get("namespaces") or ():
        yield from label(name, f"{path}.namespace")
    yield from _label_keys(value, path, "matchLabelKeys", "mismatchLabelKeys")
    for index, key in enumerate(value.get("matchLabelKeys") or ()):
        if key in (value.get("mismatchLabelKeys") or ()):
            yield invalid_value(
                f"{path}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and mismatchLabelKeys"
            )


def _label_keys(value: dict[str, Any], path: str, *fields: str) -> Iterator[Cause]:
    for field in fields:
        keys = value.get(field) or []
        if keys and value.get("labelSelector") is None:
            yield forbidden(f"{path}.{field}", "must not be specified when labelSelector is not set")
            continue
        for index, key in enumerate(keys):
            yield from qualified(key, f"{path}.{field}[{index}]")


def _spread(value: dict[str, Any], path: str) -> Iterator[Cause]:
    action, domains = value.get("whenUnsatisfiable") or "", value.get("minDomains")
    if domains is not None and action != "DoNotSchedule":
        why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        yield invalid_value(f"{path}.minDomains", domains, why)
    yield from _label_keys(value, path, "matchLabelKeys")
    selector = value.get("labelSelector") or {}
    selected = {*(selector.get("matchLabels") or {})}
    selected |= {one.get("key") for one in selector.get("matchExpressions") or ()}
    for index, key in enumerate(value.get("matchLabelKeys") or ()):
        if key in selected:
            yield invalid_value(
                f"{path}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and labelSelector"
            )


def _toleration_value(value: dict[str, Any], path: str) -> Iterator[Cause]:
    # Kubernetes names the operator.
    if value.get("operator") in {None, "", "Equal"} and value.get("value"):
        yield from label_value(value["value"], f"{path}.operator")


def _dns(value: dict[str, Any], path: str) -> Iterator[Cause]:
    servers, searches = value.get("nameservers") or [], value.get("searches") or []
    if len(servers) > _MOST_NAME_SERVERS:
        why = f"must not have more than {_MOST_NAME_SERVERS} nameservers"
        yield invalid_value(f"{path}.nameservers", servers, why)
    yield from each(ip)(servers, f"{path}.nameservers")
    if len(searches) > _MOST_SEARCHES:
        yield invalid_value(f"{path}.searches", searches, f"must not have more than {_MOST_SEARCHES} search paths")
    if len(" ".join(searches)) > _LONGEST_SEARCHES:
        why = f"must not have more than {_LONGEST_SEARCHES} characters (including spaces) in the search list"
        yield invalid_value(f"{path}.searches", searches, why)
    for index, search in enumerate(searches):
        text = search if search == "." else search.removesuffix(".")
        if text == ".":
            continue
        if len(text) > 253:
            yield invalid_value(f"{path}.searches[{index}]", text, "must be no more than 253 bytes")
        if not re.fullmatch(_SEARCH_PATTERN, text):
            yield invalid_value(f"{path}.searches[{index}]", text, _SEARCH_RULE)


def _pod(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if value.get("dnsPolicy") == "None":
        config = value.get("dnsConfig")
        if config is None:
            yield required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.get("nameservers"):
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{path}.dnsConfig.nameservers", why)
    if value.get("priorityClassName"):
        yield from subdomain(value["priorityClassName"], f"{path}.priorityClassName")
    yield from subdomain(value.get("runtimeClassName"), f"{path}.runtimeClassName")
    gates: set[str] = set()
    for index, gate in enumerate(value.get("schedulingGates") or ()):
        name = gate.get("name") or ""
        yield from qualified(name, f"{path}.schedulingGates[{index}]")
        if name in gates:
            yield duplicate(f"{path}.schedulingGates[{index}]", name)
        gates.add(name)
    for name, amount in sorted((value.get("overhead") or {}).items()):
        at = f"{path}.overhead.limits[{name}]"
        yield from resource_name(name, at)
        if quantity_number(amount) < 0:
            yield invalid_value(at, str(amount), "must be greater than or equal to 0")


def resource_name(name: str, path: str, why: str = _NOT_OF_CONTAINERS) -> Iterator[Cause]:
    """Judge the name of a resource that a container may ask for.

    Args:
        name: the name.
        path: its path.
        why: the words for a name without a domain that is none of a container; "" to judge the form alone.
    """
    found = [*qualified(name, path)]
    yield from found
    is_of_container = name in _STANDARD or name.startswith("hugepages-")
    if "/" not in name:
        if not found and not is_of_container and (why or name not in _OF_CLUSTER):
            yield invalid_value(path, name, "must be a standard resource type or fully qualified")
        if why and not is_of_container:
            yield invalid_value(path, name, why)
    elif (
        why
        and "kubernetes.io/" not in name
        and (name.startswith("requests.") or [*qualified(f"requests.{name}", path)])
    ):
        yield invalid_value(path, name, "doesn't follow extended resource name standard")


def _template(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from template_metadata(value.get("metadata") or {}, path)


def _host_names(value: Any, path: str) -> Iterator[Cause]:
    for index, name in enumerate(value or ()):
        for fault in subdomain_faults(name):
            yield invalid_value(f"{path}[{index}]", name, fault)


RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "core/v1.PodSpec": (_pod,),
    "core/v1.PodTemplateSpec": (_template,),
    "core/v1.NodeSelectorTerm": (_node_term,),
    "core/v1.PodAffinityTerm": (_affinity,),
    "core/v1.TopologySpreadConstraint": (_spread,),
    "core/v1.Toleration": (_toleration_value,),
    "core/v1.PodDNSConfig": (_dns,),
    "core/v1.HostAlias": (on("hostnames", _host_names),),
    "apis/meta/v1.LabelSelectorRequirement": (_label_values,),
}
