"""The rules for services, endpoints, ingresses and network policies (pkg/apis/networking and discovery, validation)."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, one_of, required
from kinformer.testing._apiserver.rules.fields.services import special_address
from kinformer.testing._apiserver.rules.fields.terms import (
    among,
    among_if_given,
    below,
    cidr,
    domain_path,
    either,
    ip,
    label,
    label_value,
    needed,
    number,
    on,
    path_segment,
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
_WILDCARD: Final = r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_WILDCARD_RULE: Final = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', "
    f"regex used for validation is '{_WILDCARD}')"
)
_ONE_PER_FAMILY: Final = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def _endpoint_address(value: dict[str, Any], path: str) -> Iterator[Cause]:
    given = value.get("ip") or ""
    faults = [*ip(given, f"{path}.ip")]
    yield from faults
    if faults:
        # Kubernetes looks at it a second time, for addresses that are of no use, and says it in other words.
        yield invalid_value(f"{path}.ip", given, "must be a valid IP address")
    yield from special_address(given, f"{path}.ip")
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
    for index, tls in enumerate(value.get("tls") or ()):
        for number_, host in enumerate(tls.get("hosts") or ()):
            yield from _host(host, f"{path}.tls[{index}].hosts[{number_}]")


def _host(host: str, path: str) -> Iterator[Cause]:
    if "*" in host:
        if not re.fullmatch(_WILDCARD, host):
            yield invalid_value(path, host, _WILDCARD_RULE)
    else:
        yield from subdomain(host, path)


def _ingress_host(value: dict[str, Any], path: str) -> Iterator[Cause]:
    host, at = value.get("host") or "", f"{path}.host"
    if not host:
        return
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        yield invalid_value(at, host, "must be a DNS name, not an IP address")
    yield from _host(host, at)


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
    if resource is not None and service is None:
        yield from _resource_backend(resource, f"{path}.resource")
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


def _resource_backend(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if value.get("apiGroup") is not None:
        yield from subdomain(value["apiGroup"], f"{path}.apiGroup")
    for field in ("kind", "name"):
        yield from either(needed(), path_segment)(value.get(field), f"{path}.{field}")


def _class_parameters(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from subdomain(value.get("apiGroup"), f"{path}.apiGroup")
    yield from either(needed(), path_segment)(value.get("kind"), f"{path}.kind")
    yield from either(needed(), path_segment)(value.get("name"), f"{path}.name")
    scope = value.get("scope", "Cluster")
    yield from among("Cluster", "Namespace")(scope, f"{path}.scope")
    if scope == "Cluster" and value.get("namespace") is not None:
        yield forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    elif scope == "Namespace" and not value.get("namespace"):
        yield required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif scope == "Namespace":
        yield from label(value["namespace"], f"{path}.namespace")


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


def _exceptions(value: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the networks that a network leaves out."""
    try:
        whole = ip_network(value.get("cidr") or "", strict=False)
    except ValueError:
        return
    for index, text in enumerate(value.get("except") or ()):
        at = f"{path}.except[{index}]"
        if found := [*cidr(text, at)]:
            yield from found
            continue
        part = ip_network(text, strict=False)
        is_inside = part.version == whole.version and part.network_address in whole
        if not is_inside or part.prefixlen <= whole.prefixlen:
            yield invalid_value(at, text, f"must be a strict subset of `cidr` ({value['cidr']})")


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


def _slice_address(kind: str, address: str, path: str) -> Iterator[Cause]:
    if found := [*ip(address, path)]:
        yield from found
    elif f"IPv{ip_address(address).version}" != kind:
        yield invalid_value(path, address, f"must be an {kind} address")
    else:
        yield from special_address(address, path)


def _hints(value: dict[str, Any], path: str) -> Iterator[Cause]:
    for field, check in (("forZones", label_value), ("forNodes", subdomain)):
        seen: set[str] = set()
        for index, one in enumerate(value.get(field) or ()):
            at, name = f"{path}.{field}[{index}].name", one.get("name") or ""
            if name in seen:
                yield duplicate(at, name)
            seen.add(name)
            yield from check(name, at)


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
                yield from _slice_address(kind, address, f"{at}.addresses[{number_}]")
        yield from label(point.get("hostname"), f"{at}.hostname")
        yield from subdomain(point.get("nodeName"), f"{at}.nodeName")
        yield from _hints(point.get("hints") or {}, f"{at}.hints")
    yield from unique("name")(value.get("ports"), "ports")


RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "core/v1.ServiceSpec": (on("trafficDistribution", among_if_given(*_TRAFFIC)),),
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
    "networking/v1.IPBlock": (on("cidr", either(needed(), cidr)), _exceptions),
    "networking/v1.ServiceCIDRSpec": (_service_networks,),
    "networking/v1.IPAddressSpec": (_parent,),
    "discovery/v1.EndpointSlice": (_slice,),
    "discovery/v1.EndpointPort": (
        on("name", lambda value, path: label(value or None, path)),
        on("protocol", lambda value, path: () if value is None else among("SCTP", "TCP", "UDP")(value, path)),
        on("appProtocol", qualified),
    ),
}
