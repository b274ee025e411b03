"""The cells of networking, access, admission and flow control, and of the kinds by which a cluster is set up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.http.cells.core import load_balancer
from kinformer.testing._apiserver.http.cells.rows import duration, first_few, joined, label_selector

if TYPE_CHECKING:
    from kinformer.testing._apiserver.http.cells.rows import CellsOf, Row

__all__ = ["CELLS"]

_DEFAULT_INGRESS_CLASS: Final = "ingressclass.kubernetes.io/is-default-class"


def _ingress(row: Row) -> list[Any]:
    hosts: list[str] = []
    rules, is_cut = row.list_at("spec.rules"), False
    for rule in rules:
        is_cut = is_cut or len(hosts) == 3
        if not is_cut and rule.get("host"):
            hosts.append(rule["host"])
    shown = joined(hosts, "*") + (f" + {len(rules) - 3} more..." if is_cut else "")
    return [
        row.name,
        row.at("spec.ingressClassName", "<none>"),
        shown,
        load_balancer(row),
        "80, 443" if row.list_at("spec.tls") else "80",
        row.age,
    ]


def _ingress_class(row: Row) -> list[Any]:
    parameters = row.at("spec.parameters")
    shown = "<none>"
    if parameters is not None:
        group = parameters.get("apiGroup")
        shown = f"{parameters.get('kind', '')}{'' if group is None else f'.{group}'}/{parameters.get('name', '')}"
    is_default = row.annotation(_DEFAULT_INGRESS_CLASS) == "true"
    name = f"{row.name} (default)" if is_default else row.name
    return [name, row.at("spec.controller", ""), shown, row.age]


def _ip_address(row: Row) -> list[Any]:
    # The API server sends an age, for which its table has no column.
    parent = row.at("spec.parentRef")
    if parent is None:
        return [row.name, "<none>", row.age]
    group = parent.get("group", "")
    place = [f"{parent.get('resource', '')}{'.' if group else ''}{group}".lower()]
    place += [parent["namespace"]] if parent.get("namespace") else []
    return [row.name, "/".join([*place, parent.get("name", "")]), row.age]


def _endpoint_slice(row: Row) -> list[Any]:
    ports = [str(port.get("port", port.get("name", "*"))) for port in row.list_at("ports")]
    addresses = [str(one) for point in row.list_at("endpoints") for one in point.get("addresses") or ()]
    shown = [first_few(found, len(found), "<unset>") for found in (ports, addresses)]
    return [row.name, row.at("addressType", ""), *shown, row.age]


def _binding(row: Row) -> list[Any]:
    subjects = row.list_at("subjects")

    def named(kind: str) -> str:
        return ", ".join(one.get("name", "") for one in subjects if one.get("kind") == kind)

    accounts = (one for one in subjects if one.get("kind") == "ServiceAccount")
    return [
        row.name,
        f"{row.at('roleRef.kind', '')}/{row.at('roleRef.name', '')}",
        row.age,
        named("User"),
        named("Group"),
        ", ".join(f"{one.get('namespace', '')}/{one.get('name', '')}" for one in accounts),
    ]


def _signing_request(row: Row) -> list[Any]:
    kinds = {one.get("type") for one in row.list_at("status.conditions")}
    state = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    state += ",Failed" if "Failed" in kinds else ""
    state += ",Issued" if row.at("status.certificate") else ""
    seconds = row.at("spec.expirationSeconds")
    return [
        row.name,
        row.age,
        row.at("spec.signerName") or "<none>",
        row.at("spec.username", ""),
        "<none>" if seconds is None else duration(seconds),
        state,
    ]


def _admission_policy(rules: str) -> CellsOf:
    def cells(row: Row) -> list[Any]:
        parameters = row.at("spec.paramKind")
        shown = "<unset>" if parameters is None else "/".join(parameters.get(one, "") for one in ("apiVersion", "kind"))
        return [row.name, row.count(rules), shown, row.age]

    return cells


def _admission_binding(row: Row) -> list[Any]:
    name, selector = row.at("spec.paramRef.name"), row.at("spec.paramRef.selector")
    shown = "<unset>"
    if name:
        shown = f"{row.at('spec.paramRef.namespace') or '*'}/{name}"
    elif selector is not None:
        shown = _go_selector(selector)
    return [row.name, row.at("spec.policyName", ""), shown, row.age]


def _go_selector(selector: dict[str, Any]) -> str:
    """A label selector as Go prints the struct."""
    given = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{one.get('key', '')},Operator:{one.get('operator', '')},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{given}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )


def _webhooks(row: Row) -> list[Any]:
    return [row.name, row.count("webhooks"), row.age]


def _flow_schema(row: Row) -> list[Any]:
    return [
        row.name,
        row.at("spec.priorityLevelConfiguration.name", ""),
        row.at("spec.matchingPrecedence", 0),
        row.at("spec.distinguisherMethod.type", "<none>"),
        row.age,
        row.condition("Dangling").get("status", "?"),
    ]


def _priority_level(row: Row) -> list[Any]:
    limited = row.at("spec.limited")
    queuing = row.at("spec.limited.limitResponse.queuing")
    queues = ("queues", "handSize", "queueLengthLimit")
    return [
        row.name,
        row.at("spec.type", ""),
        "<none>" if limited is None else limited.get("nominalConcurrencyShares"),
        *("<none>" if queuing is None else queuing.get(field, 0) for field in queues),
        row.age,
    ]


def _api_service(row: Row) -> list[Any]:
    service, available = row.at("spec.service"), row.condition("Available")
    shown = "Local" if service is None else f"{service.get('namespace', '')}/{service.get('name', '')}"
    status = available.get("status", "Unknown")
    if status != "True" and available.get("reason"):
        status = f"{status} ({available['reason']})"
    return [row.name, shown, status, row.age]


def _priority_class(row: Row) -> list[Any]:
    given = [row.at("value", 0), row.at("globalDefault", False)]
    return [row.name, *given, row.age, row.at("preemptionPolicy", "")]


_ADMISSION: Final = "admissionregistration.k8s.io"
_FLOW: Final = "flowcontrol.apiserver.k8s.io"
_NETWORK: Final = "networking.k8s.io"
_RBAC: Final = "rbac.authorization.k8s.io"

CELLS: Final[dict[tuple[str, str], CellsOf]] = {
    (_NETWORK, "ingresses"): _ingress,
    (_NETWORK, "ingressclasses"): _ingress_class,
    (_NETWORK, "ipaddresses"): _ip_address,
    (_NETWORK, "networkpolicies"): lambda row: [row.name, label_selector(row.at("spec.podSelector", {})), row.age],
    (_NETWORK, "servicecidrs"): lambda row: [row.name, ",".join(row.list_at("spec.cidrs")), row.age],
    ("discovery.k8s.io", "endpointslices"): _endpoint_slice,
    (_RBAC, "rolebindings"): _binding,
    (_RBAC, "clusterrolebindings"): _binding,
    ("certificates.k8s.io", "certificatesigningrequests"): _signing_request,
    (_ADMISSION, "mutatingadmissionpolicies"): _admission_policy("spec.mutations"),
    (_ADMISSION, "mutatingadmissionpolicybindings"): _admission_binding,
    (_ADMISSION, "mutatingwebhookconfigurations"): _webhooks,
    (_ADMISSION, "validatingadmissionpolicies"): _admission_policy("spec.validations"),
    (_ADMISSION, "validatingadmissionpolicybindings"): _admission_binding,
    (_ADMISSION, "validatingwebhookconfigurations"): _webhooks,
    (_FLOW, "flowschemas"): _flow_schema,
    (_FLOW, "prioritylevelconfigurations"): _priority_level,
    ("apiregistration.k8s.io", "apiservices"): _api_service,
    ("scheduling.k8s.io", "priorityclasses"): _priority_class,
    ("coordination.k8s.io", "leases"): lambda row: [row.name, row.at("spec.holderIdentity", ""), row.age],
    ("node.k8s.io", "runtimeclasses"): lambda row: [row.name, row.at("handler", ""), row.age],
}
