"""The rules for services, endpoints, ingresses and network policies (pkg/apis/networking and discovery, validation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import forbidden, invalid_value, one_of, required
from kinformer.testing._apiserver.rules.fields.terms import (
    among,
    among_if_given,
    below,
    cidr,
    domain_path,
    either,
    ip,
    label,
    needed,
    number,
    on,
    port,
    qualified,
    subdomain,
    unique,
)
from kinformer.testing._apiserver.rules.names import port_name_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.fields.terms import Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES"]

_TRAFFIC: Final = ("PreferClose", "PreferSameZone", "PreferSameNode")
_ONE_PER_FAMILY: Final = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def _service(value: dict[str, Any], path: str) -> Iterator[Cause]:
    kind = value.get("type") or "ClusterIP"
    address = value.get("clusterIP")
    if address and address != "None" and kind != "ExternalName":
        yield from ip(address, f"{path}.clusterIPs[0]")
    if value.get("healthCheckNodePort") and not (
        kind == "LoadBalancer" and value.get("externalTrafficPolicy") == "Local"
    ):
        why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield invalid_value(f"{path}.healthCheckNodePort", value["healthCheckNodePort"], why)
    if value.get("loadBalancerClass") is not None and kind != "LoadBalancer":
        yield forbidden(f"{path}.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'")
    if kind == "ClusterIP":
        for index, one in enumerate(value.get("ports") or ()):
            if one.get("nodePort"):
                yield forbidden(f"{path}.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")


def _endpoint_address(value: dict[str, Any], path: str) -> Iterator[Cause]:
    given = value.get("ip") or ""
    faults = [*ip(given, f"{path}.ip")]
    yield from faults
    if faults:
        # Kubernetes looks at it a second time, for addresses that are of no use, and says it in other words.
        yield invalid_value(f"{path}.ip", given, "must be a valid IP address")
    yield from label(value.get("hostname"), f"{path}.hostname")
    yield from subdomain(value.get("nodeName"), f"{path}.nodeName")


def _subset(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if not value.get("addresses") and not value.get("notReadyAddresses"):
        yield required(path, "must specify `addresses` or `notReadyAddresses`")
    ports = value.get("ports") or ()
    for index, one in enumerate(ports):
        at = f"{path}.ports[{index}]"
        name = one.get("name")
        if not name and len(ports) > 1:
            yield required(f"{at}.name")
        elif name:
            yield from label(name, f"{at}.name")
        yield from number(port)(one.get("port"), f"{at}.port")
        yield from qualified(one.get("appProtocol"), f"{at}.appProtocol")


def _ingress(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if not value.get("rules") and value.get("defaultBackend") is None:
        shown = value.get("rules")
        yield invalid_value(path, shown, "either `defaultBackend` or `rules` must be specified")
    yield from subdomain(value.get("ingressClassName"), f"{path}.ingressClassName")


def _ingress_host(value: dict[str, Any], path: str) -> Iterator[Cause]:
    host = value.get("host") or ""
    if host.startswith("*."):
        yield from subdomain(host[2:], f"{path}.host")
    elif host:
        yield from subdomain(host, f"{path}.host")


def _ingress_path(value: dict[str, Any], path: str) -> Iterator[Cause]:
    kind, given = value.get("pathType"), value.get("path") or ""
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
    is_absolute = given.startswith("/")
    if kind in {"Exact", "Prefix"}:
        if not is_absolute:
            yield invalid_value(f"{path}.path", given, "must be an absolute path")
        for wrong in ("//", "/./", "/../", "%2f", "%2F"):
            if is_absolute and wrong in given:
                yield invalid_value(f"{path}.path", given, f"must not contain '{wrong}'")
    elif kind == "ImplementationSpecific" and given and not is_absolute:
        yield invalid_value(f"{path}.path", given, "must be an absolute path")


def _ingress_backend(value: dict[str, Any], path: str) -> Iterator[Cause]:
    service, resource = value.get("service"), value.get("resource")
    if service is not None and resource is not None:
        yield invalid_value(path, "", "cannot set both resource and service backends")
    elif service is None and resource is None:
        yield invalid_value(path, "", "resource or service backend is required")
    if service is None:
        return
    yield from either(needed(), label)(service.get("name"), f"{path}.service.name")
    given = service.get("port") or {}
    name, place = given.get("name") or "", given.get("number") or 0
    if name and place:
        yield invalid_value(path, "", "cannot set both port name & port number")
    elif name:
        for fault in port_name_faults(name):
            yield invalid_value(f"{path}.service.port.name", name, fault)
    elif place:
        yield from port(place, f"{path}.service.port.number")
    else:
        yield required(path, "port name or number is required")


def _class_parameters(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from subdomain(value.get("apiGroup"), f"{path}.apiGroup")
    yield from needed()(value.get("kind"), f"{path}.kind")
    yield from needed()(value.get("name"), f"{path}.name")
    scope = value.get("scope", "Cluster")
    yield from among("Cluster", "Namespace")(scope, f"{path}.scope")
    if scope == "Cluster" and value.get("namespace") is not None:
        yield forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    elif scope == "Namespace" and not value.get("namespace"):
        yield required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")


def _policy_port(value: dict[str, Any], path: str) -> Iterator[Cause]:
    given, last = value.get("port"), value.get("endPort")
    if isinstance(given, int):
        yield from port(given, f"{path}.port")
    elif given is not None:
        for fault in port_name_faults(given):
            yield invalid_value(f"{path}.port", given, fault)
    if last is None:
        return
    at = f"{path}.endPort"
    if given is None:
        yield invalid_value(at, last, "may not be specified when `port` is not specified")
    elif isinstance(given, str):
        yield invalid_value(at, last, "may not be specified when `port` is non-numeric")
    elif last < given:
        yield invalid_value(at, given, "must be greater than or equal to `port`")
    yield from port(last, at)


def _policy_peer(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if not any(value.get(field) is not None for field in ("podSelector", "namespaceSelector", "ipBlock")):
        yield required(path, "must specify a peer")
    if value.get("ipBlock") is not None and len(value) > 1:
        yield forbidden(path, "may not specify both ipBlock and another peer")


def _policy_types(value: dict[str, Any], path: str) -> Iterator[Cause]:
    kinds = value.get("policyTypes") or []
    if len(kinds) > 2:
        yield invalid_value(f"{path}.policyTypes", kinds, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(kinds):
        if kind not in {"Egress", "Ingress"}:
            yield one_of(f"{path}.policyTypes[{index}]", kind, ("Egress", "Ingress"))


def _service_networks(value: dict[str, Any], path: str) -> Iterator[Cause]:
    networks = value.get("cidrs") or []
    at = below(path, "cidrs")
    if not networks:
        yield required(at, "at least one CIDR required")
    elif len(networks) > 2:
        yield invalid_value(at, networks, "may only hold up to 2 values")
    elif len(networks) == 2 and (":" in networks[0]) == (":" in networks[1]):
        yield invalid_value(at, networks, _ONE_PER_FAMILY)
    for index, network in enumerate(networks):
        yield from cidr(network, f"{at}[{index}]")


def _parent(value: dict[str, Any], path: str) -> Iterator[Cause]:
    parent = value.get("parentRef")
    at = below(path, "parentRef")
    if parent is None:
        yield required(at)
        return
    yield from subdomain(parent.get("group") or None, f"{at}.group")
    for field in ("resource", "name"):
        yield from needed()(parent.get(field), f"{at}.{field}")


def _slice(value: dict[str, Any], path: str) -> Iterator[Cause]:
    kind = value.get("addressType")
    yield from needed()(kind, below(path, "addressType"))
    for index, point in enumerate(value.get("endpoints") or ()):
        at = f"endpoints[{index}]"
        addresses = point.get("addresses") or []
        if not addresses:
            yield required(f"{at}.addresses", "must contain at least 1 address")
        for number_, address in enumerate(addresses):
            if kind in {"IPv4", "IPv6"}:
                yield from ip(address, f"{at}.addresses[{number_}]")
        yield from label(point.get("hostname"), f"{at}.hostname")
        yield from subdomain(point.get("nodeName"), f"{at}.nodeName")
    yield from unique("name")(value.get("ports"), "ports")


RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "core/v1.ServiceSpec": (_service, on("trafficDistribution", among_if_given(*_TRAFFIC))),
    "core/v1.ServicePort": (on("appProtocol", qualified),),
    "core/v1.EndpointSubset": (_subset,),
    "core/v1.EndpointAddress": (_endpoint_address,),
    "networking/v1.IngressSpec": (_ingress,),
    "networking/v1.IngressTLS": (on("secretName", lambda value, path: subdomain(value or None, path)),),
    "networking/v1.IngressRule": (_ingress_host,),
    "networking/v1.HTTPIngressRuleValue": (on("paths", needed()),),
    "networking/v1.HTTPIngressPath": (_ingress_path,),
    "networking/v1.IngressBackend": (_ingress_backend,),
    "networking/v1.IngressClassSpec": (on("controller", either(needed(), domain_path)),),
    "networking/v1.IngressClassParametersReference": (_class_parameters,),
    "networking/v1.NetworkPolicySpec": (_policy_types,),
    "networking/v1.NetworkPolicyPort": (_policy_port,),
    "networking/v1.NetworkPolicyPeer": (_policy_peer,),
    "networking/v1.IPBlock": (on("cidr", either(needed(), cidr)),),
    "networking/v1.ServiceCIDRSpec": (_service_networks,),
    "networking/v1.IPAddressSpec": (_parent,),
    "discovery/v1.EndpointSlice": (_slice,),
    "discovery/v1.EndpointPort": (
        on("name", lambda value, path: label(value or None, path)),
        on("protocol", lambda value, path: () if value is None else among("SCTP", "TCP", "UDP")(value, path)),
        on("appProtocol", qualified),
    ),
}
