"""The rules for services: their addresses, families and policies (pkg/apis/core/validation, validateService)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, one_of
from kinformer.testing._apiserver.rules.fields.terms import between, cidr, ip, label_value, qualified, subdomain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.fields.terms import Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES", "SERVICE_NETWORK", "special_address"]

SERVICE_NETWORK: Final = ip_network("10.96.0.0/12")
"""The addresses of services, those of a cluster of kubeadm."""

_FAMILIES: Final = ("IPv4", "IPv6")
_LONGEST_AFFINITY: Final = 86400
_EXTERNAL: Final = ("NodePort", "LoadBalancer")
_ONLY_BALANCED: Final = "may only be used when `type` is 'LoadBalancer'"


def special_address(text: str, path: str) -> Iterator[Cause]:
    """Judge an address that traffic is sent to: it is none of the host's own."""
    try:
        address = ip_address(text)
    except ValueError:
        return
    if address.is_unspecified:
        yield invalid_value(path, text, f"may not be unspecified ({text})")
    if address.is_loopback:
        yield invalid_value(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        yield invalid_value(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address in ip_network("224.0.0.0/24" if address.version == 4 else "ff02::/16"):
        why = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        yield invalid_value(path, text, why)


def _service(value: dict[str, Any], path: str) -> Iterator[Cause]:
    kind = value.get("type") or "ClusterIP"
    if kind == "ExternalName":
        yield from _external_name(value, path)
    else:
        yield from _addresses(value, path, kind)
    for key, text in sorted((value.get("selector") or {}).items()):
        yield from qualified(key, f"{path}.selector")
        yield from label_value(text, f"{path}.selector")
    yield from _affinity(value, path)
    for index, address in enumerate(value.get("externalIPs") or ()):
        at = f"{path}.externalIPs[{index}]"
        yield from ip(address, at)
        yield from special_address(address, at)
    yield from _ports_of_nodes(value, path, kind)
    yield from _balancer(value, path, kind)
    yield from _policies(value, path, kind)


def _external_name(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if value.get("clusterIPs") or value.get("clusterIP"):
        yield forbidden(f"{path}.clusterIPs", "may not be set for ExternalName services")
    if value.get("ipFamilies"):
        yield forbidden(f"{path}.ipFamilies", "may not be set for ExternalName services")
    if value.get("ipFamilyPolicy") is not None:
        yield forbidden(f"{path}.ipFamilyPolicy", "may not be set for ExternalName services")
    name = (value.get("externalName") or "").removesuffix(".")
    if name:
        yield from subdomain(name, f"{path}.externalName")


def _addresses(value: dict[str, Any], path: str, kind: str) -> Iterator[Cause]:
    first, all_of_them = value.get("clusterIP") or "", value.get("clusterIPs") or []
    at = f"{path}.clusterIPs"
    if kind in _EXTERNAL and (all_of_them or [first]) == ["None"]:
        yield invalid_value(f"{at}[0]", "None", f"may not be set to 'None' for {kind} services")
    if first and all_of_them and all_of_them[0] != first:
        yield invalid_value(at, all_of_them, "first value must match `clusterIP`")
    elif all_of_them and not first:
        yield invalid_value(at, all_of_them, "must be empty when `clusterIP` is not specified")
    families = value.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            yield one_of(f"{path}.ipFamilies[{index}]", family, _FAMILIES)
        if family in families[:index]:
            yield duplicate(f"{path}.ipFamilies[{index}]", family)
    if value.get("ipFamilyPolicy") == "RequireDualStack":
        why = "this cluster is not configured for dual-stack services"
        yield invalid_value(f"{path}.ipFamilyPolicy", "RequireDualStack", why)
    yield from _each_address(all_of_them or ([first] if first else []), families, at)


def _each_address(addresses: list[str], families: list[str], path: str) -> Iterator[Cause]:
    wrong = False
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                wrong = True
                yield invalid_value(path, addresses, "'None' must be the first and only value")
            continue
        found = [*ip(address, f"{path}[{index}]")]
        wrong = wrong or bool(found)
        yield from found
    if len(addresses) > 2:
        yield invalid_value(path, addresses, "may only hold up to 2 values")
    if wrong or addresses == ["None"]:
        return
    versions = [ip_address(address).version for address in addresses]
    for index, version in enumerate(versions):
        if version == 6:
            yield invalid_value(f"{path}[{index}]", addresses, "IPv6 is not configured on this cluster")
        elif ip_address(addresses[index]) not in SERVICE_NETWORK:
            why = f"the provided IP ({addresses[index]}) is not in the valid range"
            range_ = f"The range of valid IPs is {SERVICE_NETWORK}"
            yield invalid_value(path, addresses, f"failed to allocate IP {addresses[index]}: {why}. {range_}")
    if len(versions) > 1 and len({*versions}) < 2:
        yield invalid_value(path, addresses, "may specify no more than one IP for each IP family")
    for index, (address, family) in enumerate(zip(addresses, families, strict=False)):
        if family in _FAMILIES and family != f"IPv{versions[index]}":
            why = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield invalid_value(f"{path}[{index}]", address, why)


def _affinity(value: dict[str, Any], path: str) -> Iterator[Cause]:
    config, at = value.get("sessionAffinityConfig"), f"{path}.sessionAffinityConfig"
    if value.get("sessionAffinity") == "ClientIP" and config is not None:
        seconds = (config.get("clientIP") or {}).get("timeoutSeconds")
        # The default is the time of an affinity without any config.
        if seconds is not None and not 0 < seconds <= _LONGEST_AFFINITY:
            why = f"must be greater than 0 and less than {_LONGEST_AFFINITY}"
            yield invalid_value(f"{at}.clientIP.timeoutSeconds", seconds, why)


def _ports_of_nodes(value: dict[str, Any], path: str, kind: str) -> Iterator[Cause]:
    seen: set[tuple[str, int]] = set()
    for index, port in enumerate(value.get("ports") or ()):
        number, at = port.get("nodePort") or 0, f"{path}.ports[{index}].nodePort"
        if not number:
            continue
        if kind == "ClusterIP":
            yield forbidden(at, "may not be used when `type` is 'ClusterIP'")
        one = (port.get("protocol") or "TCP", number)
        if one in seen:
            yield duplicate(at, number)
        seen.add(one)


def _balancer(value: dict[str, Any], path: str, kind: str) -> Iterator[Cause]:
    ranges = value.get("loadBalancerSourceRanges") or []
    # Kubernetes writes this path with a capital.
    at = f"{path}.LoadBalancerSourceRanges"
    if ranges and kind != "LoadBalancer":
        yield forbidden(at, _ONLY_BALANCED)
    for index, network in enumerate(ranges):
        yield from cidr(network.strip(), f"{at}[{index}]")
    if kind != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if value.get(field) is not None:
                yield forbidden(f"{path}.{field}", _ONLY_BALANCED)
    else:
        yield from qualified(value.get("loadBalancerClass"), f"{path}.loadBalancerClass")


def _policies(value: dict[str, Any], path: str, kind: str) -> Iterator[Cause]:
    policy = value.get("externalTrafficPolicy") or ""
    is_external = kind in _EXTERNAL or (kind == "ClusterIP" and bool(value.get("externalIPs")))
    if policy and not is_external:
        why = "may only be set for externally-accessible services"
        yield invalid_value(f"{path}.externalTrafficPolicy", policy, why)
    number, at = value.get("healthCheckNodePort") or 0, f"{path}.healthCheckNodePort"
    if number and not (kind == "LoadBalancer" and policy == "Local"):
        why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield invalid_value(at, number, why)
    elif number:
        yield from between(1, 65535)(number, at)


RULES: Final[dict[str, tuple[Rule, ...]]] = {"core/v1.ServiceSpec": (_service,)}
